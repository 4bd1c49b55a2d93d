//! What the store has acknowledged: the newest value of each secret, and which credentials still work.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::domain::id::{MemberId, SlotId, TicketId, TokenId};

/// The names of secrets. No two have the same first word, so that none is withheld as an address of another's service.
pub(super) const NAMES: [&str; 5] = ["alpha-key", "beta-key", "gamma-key", "delta-key", "epsilon-key"];
/// Secrets of this name belong to the plugin, which is disabled at times.
pub(super) const OF_PLUGIN: &str = "epsilon-key";
pub(super) const PLUGIN: &str = "mcp";
/// Values of this name are long, and are stored apart.
const LONG: &str = "delta-key";
/// Credentials that are tried after each change. The oldest are forgotten.
const MAX_PROOFS: usize = 24;

/// What the values of a boot must be, by exported name.
pub(super) type Variables = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct ModelSecret {
    pub(super) id: SecretId,
    pub(super) value: String,
}

pub(super) struct ModelPerson {
    pub(super) name: MemberName,
    pub(super) caller: Caller,
    /// An unlimited ticket, which each check of the released values uses.
    pub(super) ticket: Credential,
    pub(super) secrets: BTreeMap<&'static str, ModelSecret>,
    pub(super) is_removed: bool,
}

/// What somebody can present.
pub(super) enum Proof {
    Ticket(Credential, TicketId),
    Token(Credential, TokenId),
    Session(SessionKey),
    /// A code that was redeemed.
    Enrolment(Credential),
    Passphrase(String, SlotId),
}

pub(super) struct ModelProof {
    pub(super) proof: Proof,
    /// The index of the person whose it is. A passphrase is nobody's.
    pub(super) person: usize,
    pub(super) works: bool,
    pub(super) uses_left: Option<u64>,
    /// Whether the launcher created it.
    pub(super) is_launched: bool,
}

pub(super) struct Model {
    pub(super) people: Vec<ModelPerson>,
    pub(super) shared: BTreeMap<&'static str, ModelSecret>,
    pub(super) is_plugin_disabled: bool,
    pub(super) proofs: Vec<ModelProof>,
    pub(super) launcher: Option<(Caller, MemberId)>,
    /// What was refused with an error after which it may be stored all the same, as after a lost answer. `None` is a deletion.
    pub(super) unacknowledged: Vec<(Option<usize>, &'static str, Option<String>)>,
    /// Whether the plugin may have been enabled or disabled by a step that failed.
    pub(super) is_plugin_uncertain: bool,
    /// Whether a step has failed, and may have been made in part.
    pub(super) is_uncertain: bool,
    values: u32,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            people: Vec::new(),
            shared: BTreeMap::new(),
            is_plugin_disabled: false,
            proofs: Vec::new(),
            launcher: None,
            unacknowledged: Vec::new(),
            is_plugin_uncertain: false,
            is_uncertain: false,
            values: 0,
        }
    }

    /// A value that no secret had before.
    pub(super) fn new_value(&mut self, name: &str) -> String {
        self.values += 1;
        let padding = if name == LONG { 40_000 } else { 0 };
        format!("value-{}{}", self.values, "x".repeat(padding))
    }

    pub(super) fn secrets(&mut self, owner: Option<usize>) -> &mut BTreeMap<&'static str, ModelSecret> {
        match owner {
            Some(person) => &mut self.people[person].secrets,
            None => &mut self.shared,
        }
    }

    /// The people who were not removed.
    pub(super) fn active(&self) -> Vec<usize> {
        (0..self.people.len()).filter(|index| !self.people[*index].is_removed).collect()
    }

    /// What a boot of this person releases.
    pub(super) fn variables(&self, person: usize) -> Variables {
        let own = &self.people[person].secrets;
        // A private secret that is withheld leaves its name unset.
        let mut all: BTreeMap<_, _> = self.shared.iter().collect();
        all.extend(own.iter());
        if self.is_plugin_disabled {
            all.remove(&OF_PLUGIN);
        }
        all.into_iter().map(|(name, secret)| (exported(name), secret.value.clone())).collect()
    }

    /// Whether a boot of this person may release these: what was acknowledged, or what may be stored without.
    pub(super) fn allows(&self, person: usize, found: &Variables) -> bool {
        let expected = self.variables(person);
        let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        names.into_iter().filter(|name| found.get(*name) != expected.get(*name)).all(|name| {
            let of_person = self
                .unacknowledged
                .iter()
                .filter(|(owner, of, _)| owner.is_none_or(|owner| owner == person) && exported(of) == *name);
            (self.is_plugin_uncertain && exported(OF_PLUGIN) == *name)
                || of_person.clone().any(|(.., value)| value.as_ref() == found.get(name))
                // Without the private one, the shared one is released.
                || of_person.clone().any(|(owner, _, value)| owner.is_some() && value.is_none())
        })
    }

    pub(super) fn add_proof(&mut self, person: usize, proof: Proof, works: bool, uses_left: Option<u64>) {
        self.proofs.push(ModelProof { proof, person, works, uses_left, is_launched: false });
        if self.proofs.len() > MAX_PROOFS {
            let oldest = self.proofs.iter().position(|proof| !proof.works).unwrap_or(0);
            self.proofs.remove(oldest);
        }
    }

    /// The indices of the proofs that match.
    pub(super) fn proofs_that(&self, matches: impl Fn(&ModelProof) -> bool) -> Vec<usize> {
        (0..self.proofs.len()).filter(|index| matches(&self.proofs[*index])).collect()
    }

    /// Everything of a removed person ends.
    pub(super) fn remove_person(&mut self, person: usize) {
        self.people[person].is_removed = true;
        self.people[person].secrets.clear();
        for proof in self.proofs.iter_mut().filter(|proof| proof.person == person) {
            proof.works = false;
        }
    }
}

fn exported(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// What was released, by exported name.
pub(super) fn released_variables(released: Released) -> Variables {
    variables(released).into_iter().collect()
}
