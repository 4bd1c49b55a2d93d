//! The steps of a history: what people, machines and the background tasks do. Each changes the model once the store has
//! acknowledged it, also in a store that somebody has tampered with.

use super::super::*;
use super::history::{BootOutcome, History, Step, plugin};
use super::model::{ModelSecret, NAMES, OF_PLUGIN, Proof};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The steps, each as often as it is likely.
const STEPS: [(&str, usize); 17] = [
    ("deposit", 24),
    ("deposit again", 4),
    ("delete", 6),
    ("boot", 8),
    ("boot at the second server", 6),
    ("ticket", 10),
    ("use ticket", 14),
    ("revoke ticket", 6),
    ("token", 6),
    ("session", 6),
    ("launcher", 6),
    ("member", 4),
    ("key slot", 4),
    ("lock and unlock", 2),
    ("plugin", 4),
    ("settle", 6),
    ("rare", 3),
];

impl History {
    /// Makes one random step.
    pub(super) async fn step(&mut self) -> (&'static str, Step) {
        let total: usize = STEPS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.random.below(total);
        let chosen = STEPS.iter().find(|(_, weight)| {
            let is_here = at < *weight;
            at = at.saturating_sub(*weight);
            is_here
        });
        let name = chosen.unwrap().0;
        (name, self.run(name).await)
    }

    async fn run(&mut self, name: &str) -> Step {
        let active = self.model.active();
        let person = *self.random.pick(&active).unwrap();
        match name {
            "deposit" => self.deposit().await,
            "deposit again" => self.deposit_again().await,
            "delete" => self.delete().await,
            "boot" => as_step(self.boot(&self.world.store, person).await),
            "boot at the second server" => as_step(self.boot(&self.second, person).await),
            "ticket" => self.create_ticket(person).await,
            "use ticket" => self.use_ticket().await,
            "revoke ticket" => self.revoke_ticket().await,
            "token" => self.change_tokens(person).await,
            "session" => self.change_sessions(person).await,
            "launcher" => self.change_launcher(person).await,
            "member" => self.change_members().await,
            "key slot" => self.change_key_slots().await,
            "lock and unlock" => self.lock_and_unlock().await,
            "plugin" => {
                let enabled = self.model.is_plugin_disabled;
                let changed =
                    self.world.store.set_plugin_enabled(&self.world.admin, &plugin(), enabled).await;
                let changed = changed.map_err(|error| error.code());
                self.model.is_plugin_uncertain |= changed.is_err();
                changed?;
                self.model.is_plugin_disabled = !enabled;
                Ok(())
            }
            "settle" => self.world.store.settle_all().await.map_err(|failure| failure.code()),
            _ if self.random.percent(50) => self.reencrypt().await,
            _ => self.retain().await,
        }
    }

    /// A scope, and who deposits there.
    fn scope(&mut self) -> (Option<usize>, ScopeKind, Caller) {
        let active = self.model.active();
        match self.random.pick(&active) {
            Some(person) if self.random.percent(60) => {
                (Some(*person), ScopeKind::Private, self.model.people[*person].caller.clone())
            }
            _ => (None, ScopeKind::Shared, self.world.admin.clone()),
        }
    }

    fn new_secret(&mut self, name: &str, scope: ScopeKind) -> (NewSecret, String) {
        let value = self.model.new_value(name);
        let mut new = new_secret(name, scope, &value);
        new.attributes.plugin = (name == OF_PLUGIN).then(plugin);
        (new, value)
    }

    async fn deposit(&mut self) -> Step {
        let (owner, scope, caller) = self.scope();
        let name = NAMES[self.random.below(NAMES.len())];
        let id = match self.model.secrets(owner).get(name).map(|secret| secret.id) {
            Some(id) => {
                let value = self.model.new_value(name);
                let replaced = self.world.store.replace_secret(&caller, id, None, replacement(&value)).await;
                self.note(owner, name, Some(&value), replaced.map_err(|error| error.code()))?;
                self.model.secrets(owner).insert(name, ModelSecret { id, value });
                return Ok(());
            }
            None => self.new_secret(name, scope),
        };
        self.create(owner, name, id).await
    }

    async fn create(
        &mut self,
        owner: Option<usize>,
        name: &'static str,
        (new, value): (NewSecret, String),
    ) -> Step {
        let caller = match owner {
            Some(person) => &self.model.people[person].caller,
            None => &self.world.admin,
        };
        let created = self.world.store.create_secret(caller, new, None).await;
        let created = self.note(owner, name, Some(&value), created.map_err(|error| error.code()))?;
        let id = created.secret.meta.id;
        self.model.secrets(owner).insert(name, ModelSecret { id, value });
        Ok(())
    }

    /// Notes a change that may be stored although it failed.
    fn note<T>(
        &mut self,
        owner: Option<usize>,
        name: &'static str,
        value: Option<&String>,
        outcome: Result<T, Code>,
    ) -> Result<T, Code> {
        if let Err(Code::Corrupt | Code::Unavailable | Code::Internal) = outcome {
            self.model.unacknowledged.push((owner, name, value.cloned()));
        }
        outcome
    }

    /// Creates a secret under a name that is taken.
    async fn deposit_again(&mut self) -> Step {
        let (owner, scope, _) = self.scope();
        let names: Vec<_> = self.model.secrets(owner).keys().copied().collect();
        let Some(name) = self.random.pick(&names).copied() else { return Ok(()) };
        let new = self.new_secret(name, scope);
        match self.create(owner, name, new).await {
            Err(Code::NameTaken) => Ok(()),
            other => other,
        }
    }

    async fn delete(&mut self) -> Step {
        let (owner, _, caller) = self.scope();
        let names: Vec<_> = self.model.secrets(owner).keys().copied().collect();
        let Some(name) = self.random.pick(&names).copied() else { return Ok(()) };
        let id = self.model.secrets(owner)[name].id;
        let deleted = self.world.store.delete_secret(&caller, id, None).await;
        self.note(owner, name, None, deleted.map_err(|error| error.code()))?;
        self.model.secrets(owner).remove(name);
        Ok(())
    }

    async fn create_ticket(&mut self, person: usize) -> Step {
        let uses = 1 + self.random.below(3) as u64;
        let new = NewTicket { uses: Some(uses), ..NewTicket::default() };
        let issued = self.world.store.create_ticket(&self.model.people[person].caller, new, None).await;
        let issued = issued.map_err(|error| error.code())?;
        let proof = Proof::Ticket(issued.credential, issued.ticket.id);
        self.model.add_proof(person, proof, true, Some(uses));
        Ok(())
    }

    async fn use_ticket(&mut self) -> Step {
        let tickets = self.model.proofs_that(|proof| proof.works && matches!(proof.proof, Proof::Ticket(..)));
        let Some(index) = self.random.pick(&tickets).copied() else { return Ok(()) };
        let proof = &self.model.proofs[index];
        let Proof::Ticket(credential, _) = &proof.proof else { return Ok(()) };
        let outcome = self.boot_with(&self.world.store, credential, proof.person).await;
        if outcome == BootOutcome::Right {
            let proof = &mut self.model.proofs[index];
            proof.uses_left = proof.uses_left.map(|uses| uses - 1);
            proof.works = proof.uses_left != Some(0);
        }
        as_step(outcome)
    }

    async fn revoke_ticket(&mut self) -> Step {
        let tickets = self.model.proofs_that(|proof| {
            proof.works && !proof.is_launched && matches!(proof.proof, Proof::Ticket(..))
        });
        let Some(index) = self.random.pick(&tickets).copied() else { return Ok(()) };
        let proof = &self.model.proofs[index];
        let Proof::Ticket(_, id) = &proof.proof else { return Ok(()) };
        let revoked = self.world.store.revoke_ticket(&self.model.people[proof.person].caller, *id).await;
        revoked.map_err(|error| error.code())?;
        self.model.proofs[index].works = false;
        Ok(())
    }

    async fn change_tokens(&mut self, person: usize) -> Step {
        let tokens = self.model.proofs_that(|proof| proof.works && matches!(proof.proof, Proof::Token(..)));
        if let Some(index) = self.random.pick(&tokens).copied().filter(|_| self.random.percent(50)) {
            let proof = &self.model.proofs[index];
            let Proof::Token(_, id) = &proof.proof else { return Ok(()) };
            let revoked = self.world.store.revoke_token(&self.model.people[proof.person].caller, *id).await;
            revoked.map_err(|error| error.code())?;
            self.model.proofs[index].works = false;
            return Ok(());
        }
        let caller = &self.model.people[person].caller;
        let issued = self.world.store.create_token(caller, NewToken::default(), None).await;
        let issued = issued.map_err(|error| error.code())?;
        self.model.add_proof(person, Proof::Token(issued.credential, issued.token.id), true, None);
        Ok(())
    }

    /// Signs in with a token of its own, and out again at once or later.
    async fn change_sessions(&mut self, person: usize) -> Step {
        let caller = self.model.people[person].caller.clone();
        let issued = self.world.store.create_token(&caller, NewToken::default(), None).await;
        let token = issued.map_err(|error| error.code())?.credential;
        let started = self.world.store.log_in(&token, None, "r1").await;
        let (_, key) = started.map_err(|error| error.code())?;
        // As it was while it lasted.
        self.remember().await;
        let ended = self.world.store.log_out(&caller, &key).await;
        ended.map_err(|error| error.code())?;
        self.model.add_proof(person, Proof::Session(key), false, None);
        Ok(())
    }

    /// The person accepts the launcher, which creates a ticket, and withdraws at times.
    async fn change_launcher(&mut self, person: usize) -> Step {
        let (store, person_name) = (&self.world.store, self.model.people[person].name.clone());
        let (launcher, id) = self.model.launcher.clone().unwrap();
        let caller = &self.model.people[person].caller;
        let accepted = store.accept_launcher(caller, &member("platform"), id).await;
        accepted.map_err(|error| error.code())?;
        let new = NewTicket { member: Some(person_name), ..NewTicket::default() };
        let issued = store.create_ticket(&launcher, new, None).await.map_err(|error| error.code())?;
        let is_withdrawn = self.random.percent(60);
        self.model.add_proof(person, Proof::Ticket(issued.credential, issued.ticket.id), true, None);
        self.model.proofs.last_mut().unwrap().is_launched = true;
        if !is_withdrawn {
            return Ok(());
        }
        self.remember().await;
        let caller = &self.model.people[person].caller;
        let withdrawn = self.world.store.withdraw_acceptance(caller, &member("platform")).await;
        withdrawn.map_err(|error| error.code())?;
        for proof in self.model.proofs.iter_mut().filter(|proof| proof.is_launched && proof.person == person)
        {
            proof.works = false;
        }
        self.world.store.finish_withdrawals().await.map_err(|failure| failure.code())
    }

    async fn change_members(&mut self) -> Step {
        let active = self.model.active();
        if active.len() < 4 {
            return self.add_person().await;
        }
        let person = *self.random.pick(&active).unwrap();
        let removed =
            self.world.store.remove_member(&self.world.admin, &self.model.people[person].name).await;
        removed.map_err(|error| error.code())?;
        self.model.remove_person(person);
        self.world.store.clear_removed_members().await.map_err(|failure| failure.code())
    }

    async fn change_key_slots(&mut self) -> Step {
        let slots =
            self.model.proofs_that(|proof| proof.works && matches!(proof.proof, Proof::Passphrase(..)));
        if let Some(index) = self.random.pick(&slots).copied() {
            let Proof::Passphrase(_, id) = &self.model.proofs[index].proof else { return Ok(()) };
            let removed = self.world.store.remove_keyslot(&self.world.operator, *id).await;
            removed.map_err(|error| error.code())?;
            self.model.proofs[index].works = false;
            return Ok(());
        }
        let passphrase = self.model.new_value("");
        let added = self.world.store.add_keyslot(&self.world.operator, passphrase_slot(&passphrase)).await;
        let id = added.map_err(|error| error.code())?.id;
        self.model.add_proof(usize::MAX, Proof::Passphrase(passphrase, id), true, None);
        Ok(())
    }

    async fn lock_and_unlock(&mut self) -> Step {
        self.world.store.lock(&self.world.operator).await.map_err(|error| error.code())?;
        let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
        let unlocked = self.world.store.unlock(&self.world.operator, secret).await;
        unlocked.map(drop).map_err(|error| error.code())
    }

    async fn reencrypt(&mut self) -> Step {
        let store = &self.world.store;
        store.reencrypt_all(&self.world.operator).await.map_err(|error| error.code())?;
        for _ in 0..1000 {
            let progress = store.reencrypt_progress(&self.world.operator).await;
            if !progress.map_err(|error| error.code())?.running {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Background tasks try again later, when something they need was changed.
        Err(Code::Unavailable)
    }

    /// A month passes, and old boots and entries are pruned. No session lasts that long.
    async fn retain(&mut self) -> Step {
        self.world.clock.advance(DAY * 31);
        self.model.proofs.retain(|proof| !matches!(proof.proof, Proof::Session(_)));
        self.world.store.prune_boots().await.map_err(|failure| failure.code())?;
        self.world.store.prune_audit().await.map_err(|failure| failure.code())
    }
}

/// What a boot that releases the right values is, beside other steps.
fn as_step(outcome: BootOutcome) -> Step {
    match outcome {
        BootOutcome::Right => Ok(()),
        BootOutcome::Refused(code) => Err(code),
        // Counted where the same boot is made again, for every person.
        BootOutcome::Wrong(_) => Err(Code::Internal),
    }
}
