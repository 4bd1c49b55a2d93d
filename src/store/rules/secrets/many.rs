//! Several names at once: created, replaced or cleared in one commit, or nothing of it. What becomes of each is known
//! before anything is stored, by the same code.

use std::collections::BTreeSet;

use crate::crypto::deposit::DepositKey;
use crate::domain::attributes::Attributes;
use crate::domain::audit::{AuditAction, AuditEvent};
use crate::domain::id::{MemberId, OrgId, SecretId, VersionId};
use crate::domain::import::{ExistingPolicy, ImportOutcome, LineOptions};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::{Delivery, Kind, ValueWarning};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Deposit;
use crate::store::rules::secrets::deposit::told_of;
use crate::store::rules::secrets::prepare::{Destination, Prepared};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store;

/// Tries when the deposit key or one of the secrets changes meanwhile.
const TRIES: usize = 5;
/// Records that one name writes at most, its audit entry included.
const WRITES: usize = 8;

/// One name, and its value; without one, or with an empty one that clears, what is there is deleted.
pub(crate) struct Item {
    pub(crate) name: SecretName,
    /// Exactly this variable; absent: as the name is converted.
    pub(crate) env: Option<EnvName>,
    pub(crate) deposit: Option<Deposit>,
    /// What is said of this one in particular, new or not.
    pub(crate) options: LineOptions,
}

/// Where the names are, and what new secrets are like.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Where a secret that is there is looked for, in this order.
    pub(crate) scopes: Vec<Scope>,
    /// Where a new one goes.
    pub(crate) new_in: Scope,
    pub(crate) existing: ExistingPolicy,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

/// What becomes of one name, and what is to be done for it.
pub(crate) struct Planned {
    pub(crate) fate: ImportOutcome,
    pub(crate) why: Option<Error>,
    pub(crate) warnings: Vec<ValueWarning>,
    /// The secret that is there, or will be.
    pub(crate) secret: Option<SecretMeta>,
    step: Step,
}

/// What there is for an item.
struct There {
    /// The secret that it means.
    record: Option<SecretRecord>,
    /// The secret that has its name where a new one would go.
    named: Option<SecretId>,
}

enum Step {
    Nothing,
    Create { meta: SecretMeta, prepared: Prepared },
    Replace { before: Box<SecretRecord>, meta: SecretMeta, prepared: Prepared },
    Delete { before: Box<SecretRecord> },
}

impl Store {
    /// How many names one commit can take.
    pub(crate) fn most_at_once(&self) -> usize {
        // A quarter is left for the audit chain and for what waits beside.
        (self.records().kv.limits().max_writes_per_commit * 3 / 4 / WRITES).max(1)
    }

    /// Plans all of them, and, unless it is a preview or one of them is refused, does all of them in one commit. `also`
    /// is recorded beside.
    pub(crate) async fn put_many(
        &self,
        caller: &Caller,
        items: &[Item],
        rules: &Rules,
        preview: bool,
        also: Option<AuditEvent>,
    ) -> Result<(Vec<Planned>, bool), Error> {
        let (org, author) = self.require_member(caller, AuditAction::SecretImport).await?;
        for _ in 0..TRIES {
            let mut plan = self.plan(caller, org, author, items, rules).await?;
            if preview || plan.iter().any(|planned| planned.fate == ImportOutcome::Refused) {
                return Ok((plan, false));
            }
            let steps: Vec<Step> =
                plan.iter_mut().map(|planned| std::mem::replace(&mut planned.step, Step::Nothing)).collect();
            let reads = steps.iter().flat_map(|step| self.reads_of(step, org)).collect();
            let (caller, also) = (caller.clone(), also.clone());
            let done = self.journal().run(reads, move |tx| {
                for step in &steps {
                    if !step.run(tx, org, &caller)? {
                        return Ok(false);
                    }
                }
                if let Some(also) = &also {
                    tx.audit(also.clone());
                }
                Ok::<_, Stop<Error>>(true)
            });
            match done.await {
                Ok(true) => {
                    self.inner.background.notify_one();
                    return Ok((plan, true));
                }
                // Somebody was faster: judge anew what is there now.
                Ok(false) | Err(Error::StaleGeneration { .. } | Error::NameTaken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Failure::Conflict.into())
    }

    async fn plan(
        &self,
        caller: &Caller,
        org: OrgId,
        author: MemberId,
        items: &[Item],
        rules: &Rules,
    ) -> Result<Vec<Planned>, Error> {
        let key = self.deposit_key().await?;
        let mut met = BTreeSet::new();
        let mut plan = Vec::with_capacity(items.len());
        for (item, there) in items.iter().zip(self.there(org, items, rules).await?) {
            if let Some(before) = &there.record
                && !met.insert(before.meta.id)
            {
                let why = Error::Conflict { why: "another name of the same request means the same secret" };
                plan.push(Planned::refused(why, Some(before.meta.clone())));
                continue;
            }
            plan.push(self.plan_one(caller, org, author, item, there, rules, &key).await?);
        }
        Ok(plan)
    }

    /// What is there for each item: read with one call for each scope and one for the secrets, however many there are.
    async fn there(&self, org: OrgId, items: &[Item], rules: &Rules) -> Result<Vec<There>, Failure> {
        let records = self.records();
        let mut found: Vec<Option<Key<SecretRecord>>> = vec![None; items.len()];
        let mut named: Vec<Option<SecretId>> = vec![None; items.len()];
        for scope in &rules.scopes {
            let keys: Vec<Key<SecretId>> = items
                .iter()
                .flat_map(|item| {
                    let env = item.exported();
                    [records.secret_env(org, *scope, &env), records.secret_name(org, *scope, &item.name)]
                })
                .collect();
            let ids = records.get_all(&keys).await?;
            for (index, pair) in ids.chunks_exact(2).enumerate() {
                let (by_env, by_name) = (pair[0], pair[1]);
                // A variable that was asked for by its exact name is nothing else.
                let id = by_env.or(by_name.filter(|_| items[index].env.is_none()));
                if let (None, Some(id)) = (&found[index], id) {
                    found[index] = Some(records.secret(org, *scope, id));
                }
                if *scope == rules.new_in {
                    named[index] = by_name;
                }
            }
        }
        let keys: Vec<Key<SecretRecord>> = found.iter().flatten().cloned().collect();
        let mut read = records.get_all(&keys).await?.into_iter();
        let there = found.iter().zip(named).map(|(key, named)| {
            let record = key.as_ref().and_then(|_| read.next().flatten());
            There { record, named }
        });
        Ok(there.collect())
    }

    #[expect(clippy::too_many_arguments, reason = "what a plan is made of, each once")]
    async fn plan_one(
        &self,
        caller: &Caller,
        org: OrgId,
        author: MemberId,
        item: &Item,
        there: There,
        rules: &Rules,
        key: &DepositKey,
    ) -> Result<Planned, Error> {
        let (deposit, before) = match (&item.deposit, there.record) {
            (None, None) => return Ok(Planned::of(ImportOutcome::Nothing, None)),
            (None, Some(before)) => {
                let scope = before.meta.scope;
                let about = target::secret(before.meta.id, &before.meta.name);
                let audit_action = AuditAction::SecretDelete;
                self.permit(caller, Action::DeleteSecret(scope), audit_action, Some(about)).await?;
                let planned = Planned::of(ImportOutcome::Clear, Some(before.meta.clone()));
                return Ok(Planned { step: Step::Delete { before: Box::new(before) }, ..planned });
            }
            (Some(_), Some(before)) if rules.existing == ExistingPolicy::Keep => {
                return Ok(Planned::of(ImportOutcome::Keep, Some(before.meta)));
            }
            (Some(_), Some(before)) if rules.existing == ExistingPolicy::Refuse => {
                let SecretMeta { id, name, env, .. } = before.meta.clone();
                return Ok(Planned::refused(Error::NameTaken { id, name, env }, Some(before.meta)));
            }
            (Some(deposit), there) => (deposit, there),
        };
        let (audit_action, fate) = match &before {
            Some(_) => (AuditAction::SecretReplace, ImportOutcome::Replace),
            None => (AuditAction::SecretCreate, ImportOutcome::Create),
        };
        let mut meta = match &before {
            Some(before) => SecretMeta { author, ..before.meta.clone() },
            None => self.new_meta(item, rules, author),
        };
        self.permit(
            caller,
            Action::Deposit(meta.scope),
            audit_action,
            Some(target::secret(meta.id, &meta.name)),
        )
        .await?;
        if fate == ImportOutcome::Create
            && let Some(id) = there.named
            && let Some(other) = self.records().get(&self.records().secret(org, meta.scope, id)).await?
        {
            // It has the name, and is exported under another.
            let SecretMeta { id, name, env, .. } = other.meta;
            return Ok(Planned::refused(Error::NameTaken { id, name, env }, Some(meta)));
        }
        item.apply(&mut meta);
        meta.version = VersionId::from_bytes(self.records().random_bytes());
        let prepared = self.prepare_item(caller, org, item, deposit, &mut meta, key).await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error @ (Error::Forbidden(_) | Error::Failure(_))) => return Err(error),
            Err(why) => return Ok(Planned::refused(why, Some(meta))),
        };
        meta.hint.clone_from(&prepared.hint);
        meta.value_len = prepared.value_len;
        meta.updated_at = self.now();
        let planned =
            Planned { warnings: prepared.warnings.clone(), ..Planned::of(fate, Some(meta.clone())) };
        let step = match before {
            Some(before) => Step::Replace { before: Box::new(before), meta, prepared },
            None => Step::Create { meta, prepared },
        };
        Ok(Planned { step, ..planned })
    }

    async fn prepare_item(
        &self,
        caller: &Caller,
        org: OrgId,
        item: &Item,
        deposit: &Deposit,
        meta: &mut SecretMeta,
        key: &DepositKey,
    ) -> Result<Prepared, Error> {
        if !meta.allow_refused {
            let (allow, audit_action) = (item.options.allow_refused, AuditAction::SecretCreate);
            meta.allow_refused = self.allow_name(caller, &meta.env, allow, audit_action).await?;
        }
        let SecretMeta { id, version, scope, kind, delivery, name, env, .. } = meta;
        let to = Destination {
            org,
            scope: *scope,
            id: *id,
            version: *version,
            name,
            env,
            kind: *kind,
            delivery: *delivery,
        };
        self.prepare(deposit, &to, caller.policy(), key)
    }

    fn new_meta(&self, item: &Item, rules: &Rules, author: MemberId) -> SecretMeta {
        SecretMeta {
            id: SecretId::from_bytes(self.records().random_bytes()),
            name: item.name.clone(),
            env: item.exported(),
            scope: rules.new_in,
            kind: rules.kind,
            delivery: Delivery::Variable,
            attributes: rules.attributes.clone(),
            version: VersionId::from_bytes([0; 16]),
            hint: None,
            allow_refused: false,
            value_len: 0,
            created_at: self.now(),
            updated_at: self.now(),
            author,
        }
    }

    fn reads_of(&self, step: &Step, org: OrgId) -> Vec<Vec<u8>> {
        match step {
            Step::Nothing => Vec::new(),
            Step::Create { meta, .. } => self.create_reads(meta, org),
            Step::Replace { before, meta, .. } => {
                let owner = meta.scope.owner().map(|owner| self.records().member(org, owner).to_vec());
                let reads = [before.key(self.records()).to_vec(), store::keys().to_vec()];
                reads.into_iter().chain(owner).collect()
            }
            Step::Delete { before } => vec![before.key(self.records()).to_vec()],
        }
    }
}

impl Item {
    fn exported(&self) -> EnvName {
        self.env.clone().unwrap_or_else(|| self.name.export())
    }

    fn apply(&self, meta: &mut SecretMeta) {
        let LineOptions { kind, delivery, attributes, allow_refused: _ } = &self.options;
        meta.kind = kind.unwrap_or(meta.kind);
        meta.delivery = delivery.unwrap_or(meta.delivery);
        attributes.apply(&mut meta.attributes);
    }
}

impl Step {
    /// False when the secret is not as it was planned any more.
    fn run(&self, tx: &mut Tx<'_>, org: OrgId, caller: &Caller) -> Result<bool, Stop<Error>> {
        let event = |audit_action, meta: &SecretMeta| {
            caller.event(audit_action).about(target::secret(meta.id, &meta.name))
        };
        match self {
            Self::Nothing => Ok(true),
            Self::Create { meta, prepared } => {
                tx.create(meta, org, prepared, event(AuditAction::SecretCreate, meta)).map(|_| true)
            }
            Self::Replace { before, meta, prepared } => {
                let event = event(AuditAction::SecretReplace, meta)
                    .detail(crate::domain::audit::DetailKey::Previous, before.meta.version);
                tx.replace(before, meta, prepared, event).map(|done| done.is_some())
            }
            Self::Delete { before } => {
                let key = before.key(tx.records());
                if tx.get(&key)?.as_ref() != Some(before.as_ref()) {
                    return Ok(false);
                }
                tx.delete_secret(before);
                tx.audit(told_of(event(AuditAction::SecretDelete, &before.meta), before));
                Ok(true)
            }
        }
    }
}

impl Planned {
    fn of(fate: ImportOutcome, secret: Option<SecretMeta>) -> Self {
        Self { fate, why: None, warnings: Vec::new(), secret, step: Step::Nothing }
    }

    fn refused(why: Error, secret: Option<SecretMeta>) -> Self {
        Self { why: Some(why), ..Self::of(ImportOutcome::Refused, secret) }
    }

    /// The reason, and what to do about it, in one line.
    pub(crate) fn reason(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        Some(match why.hint() {
            Some(hint) => format!("{why}; {hint}"),
            None => why.to_string(),
        })
    }
}
