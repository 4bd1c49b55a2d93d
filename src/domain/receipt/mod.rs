//! What a boot was given, and the digest by which store and agent agree on it. Holds no value.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::resolve::{
    Chosen, ReleaseReason, Resolution, Shadowed, SkipReason, Skipped, meant_by_reference,
};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};

#[cfg(test)]
mod tests;

/// What a boot was given, what was skipped and why, and the state of the store that decided it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The entries that were released.
    pub entries: Vec<ReceiptEntry>,
    /// The secrets that were in scope and not released.
    pub skipped: Vec<Skipped>,
    /// The revision of the store.
    pub revision: u64,
}

/// One released secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReceiptEntry {
    /// The name it is exported as; for a reference, the name it would be.
    pub env: EnvName,
    /// Its name.
    pub name: SecretName,
    /// The secret.
    pub id: SecretId,
    /// Its scope.
    pub scope: ScopeKind,
    /// The version that was released.
    pub version: VersionId,
    /// Whether the value may be shown.
    pub kind: Kind,
    /// How it is delivered.
    pub delivery: Delivery,
    /// Why the boot got it.
    pub by: ReleaseReason,
    /// What it overrides.
    pub shadows: Vec<Shadowed>,
}

impl Receipt {
    /// The receipt of a resolution that is released whole. A secret that several references mean, or that is also
    /// exported, is one entry.
    pub fn of(resolution: Resolution, revision: u64) -> Self {
        let Resolution { variables, references, skipped } = resolution;
        let mut entries: Vec<ReceiptEntry> = variables.into_values().map(ReceiptEntry::from).collect();
        let mut seen: BTreeSet<SecretId> = entries.iter().map(|entry| entry.id).collect();
        entries.extend(
            references
                .into_values()
                .flatten()
                // A secret is one entry, whatever refers to it: its value is sent once.
                .filter(|chosen| seen.insert(chosen.id))
                .map(ReceiptEntry::from),
        );
        entries.sort_by(|a, b| a.order().cmp(&b.order()));
        Self { entries, skipped, revision }
    }

    /// The number of entries released.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The index of the entry that the store chose for the reference `asked`. `None` if the secret that it means was not released, or is a
    /// file: no other secret takes its place.
    pub(crate) fn referenced(&self, asked: &str) -> Option<usize> {
        let skipped = self.skipped.iter().filter(|skipped| skipped.reason != SkipReason::PluginNotRunning);
        let entries = self.entries.iter().map(|entry| (&entry.name, &entry.env, entry.scope, &entry.id));
        let all = entries
            .chain(skipped.map(|skipped| (&skipped.name, &skipped.env, skipped.scope_kind, &skipped.id)));
        let meant = meant_by_reference(&all.collect::<Vec<_>>(), asked)?;
        let is_meant = |entry: &ReceiptEntry| entry.id == *meant && entry.delivery == Delivery::Variable;
        self.entries.iter().position(is_meant)
    }

    /// SHA-256 over a label, the number of entries and, for each, exported name, id, version, scope, delivery and
    /// reason, every part with its length in front. The order of the entries does not matter.
    pub fn digest(&self) -> Digest {
        let mut entries: Vec<&ReceiptEntry> = self.entries.iter().collect();
        entries.sort_by(|a, b| a.order().cmp(&b.order()));
        let count = (entries.len() as u64).to_be_bytes();
        let head: [&[u8]; 2] = [b"dropsafe receipt v1", &count];
        Digest::of_parts(head.into_iter().chain(entries.into_iter().flat_map(ReceiptEntry::parts)))
    }
}

impl ReceiptEntry {
    /// The name of the variable that it becomes. A file is announced by its path in `NAME_FILE`, as container images do.
    pub(crate) fn variable_name(&self) -> String {
        match self.delivery {
            Delivery::Variable => self.env.as_str().to_owned(),
            Delivery::File => format!("{}_FILE", self.env),
        }
    }

    fn order(&self) -> (&EnvName, ReleaseReason, &SecretId, &VersionId, ScopeKind, Delivery) {
        (&self.env, self.by, &self.id, &self.version, self.scope, self.delivery)
    }

    fn parts(&self) -> [&[u8]; 6] {
        [
            self.env.as_str().as_bytes(),
            self.id.as_bytes(),
            self.version.as_bytes(),
            self.scope.as_str().as_bytes(),
            self.delivery.as_str().as_bytes(),
            self.by.as_str().as_bytes(),
        ]
    }
}

impl From<Chosen> for ReceiptEntry {
    fn from(chosen: Chosen) -> Self {
        Self {
            env: chosen.env,
            name: chosen.name,
            id: chosen.id,
            scope: chosen.scope_kind,
            version: chosen.version,
            kind: chosen.kind,
            delivery: chosen.delivery,
            by: chosen.by,
            shadows: chosen.shadows,
        }
    }
}
