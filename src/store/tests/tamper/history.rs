//! A store that people and machines use, step by step, with the rows as they were after each step.

use super::super::*;
use super::bytes::{ByteOwner, BytePlace, Rows};
use super::checkpoint::KeptCheckpoint;
use super::model::{Model, ModelPerson, PLUGIN, Proof, Variables, released_variables};
use super::random::Random;
use crate::domain::name::PluginName;
use crate::store::LogHeadsError;

/// The outcome of a step: the code of its refusal.
pub(super) type Step = Result<(), Code>;

/// The outcome of a boot beside what the model says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BootOutcome {
    Right,
    Refused(Code),
    /// Something else was released: its description without long values.
    Wrong(String),
}

pub(super) struct History {
    pub(super) bytes: BytePlace,
    pub(super) owner: ByteOwner,
    pub(super) world: World,
    /// A second server of the same store, which boots at times.
    pub(super) second: Store,
    pub(super) model: Model,
    pub(super) past: Vec<Rows>,
    /// The heads that the first server has in its data folder, and the step after which it stored them.
    pub(super) heads: String,
    pub(super) heads_step: usize,
    pub(super) checkpoint: Option<KeptCheckpoint>,
    /// Whether the first server was started again, so that it has not seen everything that it wrote before.
    pub(super) was_restarted: bool,
    pub(super) random: Random,
}

pub(super) fn plugin() -> PluginName {
    PluginName::parse(PLUGIN).unwrap()
}

impl History {
    pub(super) async fn new(bytes: BytePlace, random: Random) -> Self {
        let kv = bytes.open();
        let world = World::on(Arc::clone(&kv)).await;
        let second = open(bytes.open_beside(&kv), world.clock.clone()).await;
        unlock(&second).await;
        let heads = world.store.follow_log_heads(None, None).await.unwrap();
        let owner = bytes.owner();
        let mut history = Self {
            bytes,
            owner,
            world,
            second,
            model: Model::new(),
            past: Vec::new(),
            heads,
            heads_step: 0,
            checkpoint: None,
            was_restarted: false,
            random,
        };
        history.begin().await.unwrap();
        history.remember().await;
        history
    }

    async fn begin(&mut self) -> Step {
        let (store, admin) = (&self.world.store, &self.world.admin);
        let new = NewPlugin {
            name: plugin(),
            title: None,
            required: Vec::new(),
            optional: Vec::new(),
            enabled: Some(true),
        };
        store.put_plugin(admin, new).await.map_err(|error| error.code())?;
        let retention = RetentionChange { boots: Some(1), audit: Some(30) };
        let change = PolicyChange { retention, ..PolicyChange::default() };
        store.set_policy(admin, change).await.map_err(|error| error.code())?;
        let new = NewMember::launcher(member("platform"));
        let created = store.create_member(admin, new, None).await.map_err(|error| error.code())?;
        let issued = self.world.redeem(&created.enrolment.unwrap().credential).await;
        let launcher = store.authenticate(&issued.credential, None).await.map_err(|error| error.code())?;
        self.model.launcher = Some((launcher, created.member.id));
        for _ in 0..3 {
            self.add_person().await?;
        }
        Ok(())
    }

    /// Adds a person with an unlimited ticket. The code of the enrolment must not work again.
    pub(super) async fn add_person(&mut self) -> Step {
        let (store, index) = (&self.world.store, self.model.people.len());
        // Also new if this step was refused in the middle before.
        let name = member(&self.model.new_value("person"));
        let new = NewMember::person(name.clone(), Role::Member);
        let created =
            store.create_member(&self.world.admin, new, None).await.map_err(|error| error.code())?;
        let code = created.enrolment.unwrap().credential;
        let redeemed = store.redeem_enrolment(&code, None, "r1", Redemption::default()).await;
        let token = redeemed.map_err(|error| error.code())?.credential;
        let caller = store.authenticate(&token, None).await.map_err(|error| error.code())?;
        let ticket = store.create_ticket(&caller, NewTicket::default(), None).await;
        let ticket = ticket.map_err(|error| error.code())?.credential;
        let secrets = Default::default();
        self.model.people.push(ModelPerson { name, caller, ticket, secrets, is_removed: false });
        self.model.add_proof(index, Proof::Enrolment(code), false, None);
        Ok(())
    }

    /// Keeps the rows as they are now.
    pub(super) async fn remember(&mut self) {
        let rows = self.owner.rows().await;
        self.past.push(rows);
    }

    /// Makes steps without any interference. Each must succeed.
    pub(super) async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            let (name, outcome) = self.step().await;
            // The second server may have changed the keys at the same moment.
            if outcome == Err(Code::Conflict) {
                continue;
            }
            assert_eq!(outcome, Ok(()), "the step {name:?} of an unchanged store");
            self.remember().await;
            // A server stores the heads every 30 s.
            if self.random.percent(30) {
                self.follow_heads().await.unwrap();
            }
            if self.random.percent(10) {
                self.keep_checkpoint().await;
            }
        }
    }

    /// Compares the log with the heads that the first server saw, and keeps its heads.
    pub(super) async fn follow_heads(&mut self) -> Result<(), LogHeadsError> {
        self.heads = self.world.store.follow_log_heads(Some(&self.heads), None).await?;
        self.heads_step = self.past.len().saturating_sub(1);
        Ok(())
    }

    /// Stops both servers.
    pub(super) async fn stop(&mut self) {
        self.follow_heads().await.unwrap();
        // First without its byte store, which the first server may share.
        self.second.close_journal_only().await;
        self.world.store.close().await;
        self.second.records().kv.close().await;
        self.remember().await;
    }

    /// Starts both servers again, as `serve` does: the heads are compared before the unlock.
    pub(super) async fn start(&mut self) -> Result<(), String> {
        let kv = self.bytes.open();
        let opened = async |kv: &Arc<dyn Kv>| {
            let (clock, random) = (self.world.clock.clone(), Arc::new(KernelEntropy));
            let store = Store::open(Arc::clone(kv), record_key(), clock, random).await;
            let store = store.map_err(|error| format!("open: {error}"))?;
            let heads = store.follow_log_heads(Some(&self.heads), None).await;
            heads.map_err(|failure| format!("heads: {failure}"))?;
            let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
            let unlocked = store.unlock(&Caller::this_process(), secret).await;
            unlocked.map_err(|error| format!("unlock: {error}"))?;
            Ok::<_, String>(store)
        };
        let beside = self.bytes.open_beside(&kv);
        let (store, second) = match (opened(&kv).await, opened(&beside).await) {
            (Ok(store), Ok(second)) => (store, second),
            (Err(error), _) | (_, Err(error)) => {
                beside.close().await;
                kv.close().await;
                return Err(error);
            }
        };
        (self.world.store, self.second, self.world.kv) = (store, second, kv);
        self.was_restarted = true;
        Ok(())
    }

    /// Boots as a person on a server, and compares what is released with the model.
    pub(super) async fn boot(&self, store: &Store, person: usize) -> BootOutcome {
        self.boot_with(store, &self.model.people[person].ticket, person).await
    }

    pub(super) async fn boot_with(&self, store: &Store, ticket: &Credential, person: usize) -> BootOutcome {
        let released = match try_boot(store, ticket).await {
            Ok(released) => released,
            Err(code) => return BootOutcome::Refused(code),
        };
        if self.model.allows(person, &released) {
            return BootOutcome::Right;
        }
        BootOutcome::Wrong(describe_difference(&released, &self.model.variables(person)))
    }
}

pub(super) async fn try_boot(store: &Store, ticket: &Credential) -> Result<Variables, Code> {
    let caller = store.authenticate(ticket, None).await.map_err(|error| error.code())?;
    let released = store.boot(&caller, BootAsk::default()).await.map_err(|error| error.code())?;
    Ok(released_variables(released))
}

fn describe_difference(found: &Variables, expected: &Variables) -> String {
    let short = |value: Option<&String>| value.map(|value| value[..value.len().min(12)].to_owned());
    let names: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let different = names.into_iter().filter(|name| found.get(*name) != expected.get(*name));
    let each = different.map(|name| {
        format!("{name}: {:?} instead of {:?}", short(found.get(name)), short(expected.get(name)))
    });
    each.collect::<Vec<_>>().join(", ")
}
