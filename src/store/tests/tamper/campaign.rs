//! A campaign: a history, and changes of its rows by the owner of the byte store. After each change, everything is tried on servers
//! that knew the store before and on servers that did not, and then the background check must report it.

use super::super::*;
use super::actions::Tampering;
use super::bytes::{BytePlace, Changes};
use super::counts::{Counts, Detection, StoreState, TamperResult};
use super::history::{BootOutcome, History, try_boot};
use super::model::Proof;
use super::random::Random;
use crate::store::engine::audit::verify::{Coverage, Pace, verify};
use crate::store::tables::{catalog, scope_stamps};

/// Steps before the first change, and after each that was undone.
const FIRST_STEPS: usize = 40;
const STEPS: usize = 8;
/// Changes of one store.
const CHANGES: usize = 12;

/// What the trials after one change showed.
struct Trial {
    first: Detection,
    worked_until_check: bool,
    /// Whether a server that has read nothing may release older values: the rows that say which are the newest were restored too.
    may_be_older: bool,
    /// As above, for every server: what is restored is not a secret.
    may_differ: bool,
    defects: Vec<String>,
    boots: u64,
}

/// Runs `count` changes on stores at places like this one.
pub(super) async fn run(place: fn() -> BytePlace, seed: u64, count: usize, counts: &mut Counts) {
    let mut left = count;
    let mut world = 0;
    while left > 0 {
        let random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(world));
        let began = std::time::Instant::now();
        let mut history = History::new(place(), random).await;
        history.go_on(FIRST_STEPS).await;
        if std::env::var_os("DROPSAFE_TAMPER_TRACE").is_some() {
            eprintln!("store {world} after {:?}", began.elapsed());
        }
        for _ in 0..CHANGES.min(left) {
            left -= 1;
            let state = if left.is_multiple_of(2) { StoreState::Running } else { StoreState::Stopped };
            let about = format!("seed {seed}, store {world}, {state:?}, {left} left");
            if !history.tamper(state, &about, counts).await {
                break;
            }
            history.go_on(STEPS).await;
        }
        world += 1;
    }
}

impl History {
    /// Makes one change and tries everything. Returns whether it could be undone, so that the history can go on.
    async fn tamper(&mut self, state: StoreState, about: &str, counts: &mut Counts) -> bool {
        self.settle().await;
        // At times, the first server has older values in its cache than those that it has stored.
        let has_booted = state == StoreState::Running && self.random.percent(60);
        if has_booted {
            for person in self.model.active() {
                assert_eq!(self.boot(&self.world.store, person).await, BootOutcome::Right);
            }
            self.settle().await;
        } else if state == StoreState::Stopped {
            self.stop().await;
        }
        let now = self.past.last().unwrap().clone();
        let tampering = Tampering::choose(&mut self.random, &now, &self.past, self.bytes.can_set_revisions());
        self.owner.write(&tampering.changes, tampering.with_revisions).await;
        let about = format!("{about}: {} ({})", tampering.action.as_str(), tampering.tables());
        let (trace, began) = (std::env::var_os("DROPSAFE_TAMPER_TRACE").is_some(), std::time::Instant::now());
        if trace {
            eprintln!("{about}");
        }
        let mut trial = Trial::new(&tampering);
        let is_found_by_check = !self.is_verified(state).await;
        let started = match state {
            StoreState::Running => self.try_running(&mut trial, has_booted).await,
            StoreState::Stopped => self.try_start(&mut trial).await,
        };
        if started {
            self.check_and_try_again(&mut trial, is_found_by_check).await;
        }
        if is_found_by_check {
            trial.notice(Detection::ByCheck);
        }
        let checkpoint_step = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
        trial.judge(&tampering, self.heads_step.max(checkpoint_step));
        counts.boots += trial.boots;
        counts.defects.extend(trial.defects.iter().map(|defect| format!("{about}: {defect}")));
        let result = TamperResult {
            action: tampering.action,
            rows: tampering.changes.len(),
            first: trial.first,
            is_found_by_check,
            worked_until_check: trial.worked_until_check,
        };
        counts.add(self.bytes.name(), state, &result);
        let is_undone = self.undo(&tampering.before, &tampering.changes, started).await;
        if trace {
            eprintln!("  noticed {:?}, undone: {is_undone}, after {:?}", result.first, began.elapsed());
        }
        is_undone
    }

    /// Waits until no background task writes any more, and keeps the rows.
    async fn settle(&mut self) {
        loop {
            self.world.store.settle_all().await.unwrap();
            self.remember().await;
            tokio::time::sleep(Duration::from_millis(40)).await;
            self.remember().await;
            let [.., before, after] = self.past.as_slice() else { return };
            if before == after {
                self.past.pop();
                return;
            }
        }
    }

    /// Whether a verification finds nothing. It writes nothing.
    async fn is_verified(&self, state: StoreState) -> bool {
        let kv = match state {
            StoreState::Running => Arc::clone(&self.world.kv),
            StoreState::Stopped => self.bytes.open(),
        };
        let records = Records::new(Arc::clone(&kv), record_key(), Arc::new(KernelEntropy));
        let is_verified = verify(&records, Coverage::State, Pace::Full).await.is_ok_and(|found| found.ok);
        if state == StoreState::Stopped {
            kv.close().await;
        }
        is_verified
    }

    /// Operations and boots on the first server, then on the second, then on one that starts now.
    async fn try_running(&mut self, trial: &mut Trial, has_booted: bool) -> bool {
        self.try_steps(trial).await;
        // Otherwise it has not made every change of a value itself, and may not have seen the newest stamp of each scope.
        let has_newest = has_booted || !self.was_restarted;
        self.try_boots(&self.world.store.clone(), trial, has_newest).await;
        self.try_proofs(&self.world.store.clone(), trial).await;
        self.try_boots(&self.second.clone(), trial, false).await;
        self.try_proofs(&self.second.clone(), trial).await;
        let heads = self.heads.clone();
        if self.world.store.follow_log_heads(Some(&heads), None).await.is_err() {
            trial.notice(Detection::AtStart);
        }
        self.try_new_server(trial).await;
        if !self.continues_checkpoint().await {
            trial.notice(Detection::ByCheckpoint);
        }
        true
    }

    async fn try_start(&mut self, trial: &mut Trial) -> bool {
        if let Err(why) = self.start().await {
            trial.notice_start(&why);
            return false;
        }
        self.try_steps(trial).await;
        self.try_boots(&self.world.store.clone(), trial, false).await;
        self.try_proofs(&self.world.store.clone(), trial).await;
        if !self.continues_checkpoint().await {
            trial.notice(Detection::ByCheckpoint);
        }
        true
    }

    /// A few steps of the history. In a store that was changed, each may be refused.
    async fn try_steps(&mut self, trial: &mut Trial) {
        for _ in 0..3 {
            match self.step().await.1 {
                Ok(()) => {}
                Err(Code::Corrupt | Code::Unavailable | Code::Internal) => {
                    trial.notice(Detection::AtOnce);
                    // A step has several commits, and the model knows only whether it succeeded.
                    self.model.is_uncertain = true;
                }
                // Somebody was told something wrong, but not that the store was changed.
                Err(_) => {}
            }
        }
        let status = self.world.store.status(&self.world.operator).await;
        if status.is_err_and(|error| error.code() == Code::Corrupt) {
            trial.notice(Detection::AtOnce);
        }
    }

    /// Boots for everybody.
    async fn try_boots(&self, store: &Store, trial: &mut Trial, has_newest: bool) {
        for person in self.model.active() {
            let outcome = self.boot(store, person).await;
            trial.take_boot(outcome, has_newest);
        }
    }

    /// Presents all that must not work.
    async fn try_proofs(&self, store: &Store, trial: &mut Trial) {
        for proof in self.model.proofs.iter().filter(|proof| !proof.works) {
            let works = match &proof.proof {
                Proof::Ticket(ticket, _) => try_boot(store, ticket).await.is_ok(),
                Proof::Token(token, _) => store.authenticate(token, None).await.is_ok(),
                Proof::Session(key) => store.session(key, None).await.is_ok(),
                Proof::Enrolment(code) => {
                    store.redeem_enrolment(code, None, "r2", Redemption::default()).await.is_ok()
                }
                // Tried where a server starts.
                Proof::Passphrase(..) => false,
            };
            trial.take_access(works);
        }
        for person in self.model.people.iter().filter(|person| person.is_removed) {
            trial.take_access(store.authenticate(&person.ticket, None).await.is_ok());
        }
    }

    /// A server that starts now, without heads of its own.
    async fn try_new_server(&self, trial: &mut Trial) {
        let kv = self.bytes.open_beside(&self.world.kv);
        let (clock, random) = (self.world.clock.clone(), Arc::new(KernelEntropy));
        let store = match Store::open(kv, record_key(), clock, random).await {
            Ok(store) => store,
            Err(_) => return trial.notice(Detection::AtStart),
        };
        // Removed passphrases open nothing, whatever the keys are.
        for proof in self.model.proofs.iter().filter(|proof| !proof.works) {
            if let Proof::Passphrase(text, _) = &proof.proof {
                let secret = UnlockSecret::Passphrase(Zeroizing::new(text.clone()));
                trial.take_access(store.unlock(&Caller::this_process(), secret).await.is_ok());
            }
        }
        let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
        if store.unlock(&Caller::this_process(), secret).await.is_err() {
            return trial.notice(Detection::AtStart);
        }
        self.try_boots(&store, trial, false).await;
        self.try_proofs(&store, trial).await;
    }

    /// The background check, after which nothing works that should not.
    async fn check_and_try_again(&mut self, trial: &mut Trial, is_found: bool) {
        let found = self.world.store.check_state(Pace::Full).await;
        let is_reported = found.as_ref().map_or(true, |found| !found.ok);
        if is_found && !is_reported {
            trial.defects.push("what was written after the change hides it from the check".to_owned());
        }
        if !is_found {
            return;
        }
        let _ = self.second.check_state_if_due().await;
        let mut after = Trial::empty();
        for store in [self.world.store.clone(), self.second.clone()] {
            self.try_boots(&store, &mut after, true).await;
            self.try_proofs(&store, &mut after).await;
        }
        if after.worked_until_check {
            trial.defects.push("what must not work does after the check".to_owned());
        }
        trial.boots += after.boots;
        trial.defects.extend(after.defects.into_iter().map(|defect| format!("after the check: {defect}")));
    }

    /// Restores the rows, if the store has not written them since. Then everything is as it was.
    async fn undo(&mut self, before: &Changes, changes: &Changes, started: bool) -> bool {
        let rows = self.owner.rows().await;
        let is_unchanged = changes
            .iter()
            .all(|(key, row)| rows.get(key).map(|(value, _)| value) == row.as_ref().map(|(value, _)| value));
        if !is_unchanged || self.model.is_uncertain {
            return false;
        }
        self.owner.write(before, false).await;
        if !started && self.start().await.is_err() {
            return false;
        }
        let mut is_sound = true;
        for store in [&self.world.store, &self.second] {
            is_sound &= !store.is_locked();
            is_sound &= store.check_state(Pace::Full).await.is_ok_and(|found| found.ok);
        }
        for person in self.model.active() {
            is_sound &= self.boot(&self.world.store, person).await == BootOutcome::Right;
            is_sound &= self.boot(&self.second, person).await == BootOutcome::Right;
        }
        is_sound
    }
}

impl Trial {
    fn empty() -> Self {
        Self {
            first: Detection::Never,
            worked_until_check: false,
            may_be_older: false,
            may_differ: false,
            defects: Vec::new(),
            boots: 0,
        }
    }

    fn new(tampering: &Tampering) -> Self {
        let may_differ = tampering.touches(catalog::PLUGIN_LIST.letter) && !tampering.is_harmless();
        let restores = |letter| tampering.touches(letter) && !tampering.is_harmless();
        let may_be_older = restores(scope_stamps::SCOPE_STAMPS.letter) || may_differ;
        Self { may_be_older, may_differ, ..Self::empty() }
    }

    fn notice(&mut self, detection: Detection) {
        self.first = self.first.min(detection);
    }

    fn notice_start(&mut self, _why: &str) {
        self.notice(Detection::AtStart);
    }

    /// `has_newest`: the server has seen the newest values of everybody.
    fn take_boot(&mut self, outcome: BootOutcome, has_newest: bool) {
        self.boots += 1;
        match outcome {
            BootOutcome::Right => {}
            BootOutcome::Refused(Code::Corrupt) => self.notice(Detection::AtBoot),
            // Another reason, such as a ticket that is gone: nothing is released.
            BootOutcome::Refused(_) => {}
            BootOutcome::Wrong(_) if self.may_differ || (self.may_be_older && !has_newest) => {
                self.worked_until_check = true;
            }
            BootOutcome::Wrong(what) => self.defects.push(format!("a wrong release: {what}")),
        }
    }

    fn take_access(&mut self, works: bool) {
        self.worked_until_check |= works;
    }

    /// What may stay unnoticed: what is harmless, and a state of the whole store that is not older than what a server or a checkpoint
    /// has seen.
    fn judge(&mut self, tampering: &Tampering, seen_step: usize) {
        if self.first != Detection::Never {
            return;
        }
        let is_allowed = tampering.whole_step.is_some_and(|step| step >= seen_step);
        if tampering.is_harmless() {
            self.first = Detection::Harmless;
        } else if !is_allowed {
            self.defects.push("nothing noticed it".to_owned());
        }
    }
}
