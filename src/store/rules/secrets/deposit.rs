//! Creating a secret and replacing its value. Works locked: only the deposit key is needed.

use crate::domain::audit::{AuditAction, AuditEvent};
use crate::domain::id::{MemberId, OrgId, SecretId, VersionId};
use crate::domain::name::{EnvName, MemberName};
use crate::domain::resolve::refused_as;
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::{Delivery, Kind};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once};
use crate::store::rules::secrets::describe::{describe_change, describe_secret};
use crate::store::rules::secrets::names::confusable_names;
use crate::store::rules::secrets::prepare::{Destination, Prepared};
use crate::store::rules::secrets::usage::Charge;
use crate::store::rules::secrets::{Deposit, NewSecret, Replacement, Written};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::{self, DepositAnswer, SecretRecord, Unsettled};
use crate::store::tables::store;
use crate::store::tables::usage::RetiredVersion;

/// Tries when the deposit key or the secret changes while a value is sealed for it.
const TRIES: usize = 5;

impl Store {
    /// Deposits a new secret. Works locked. A repetition with the same idempotency key and body, within 24 hours, gets the first
    /// answer.
    pub async fn create_secret(
        &self,
        caller: &Caller,
        new: NewSecret,
        idempotency: Option<&str>,
    ) -> Result<Written, Error> {
        let audit_action = AuditAction::SecretCreate;
        let (org, author) = self.require_member(caller, audit_action).await?;
        let scope = self.scope(caller, new.scope, new.owner.as_ref()).await?;
        let about = target::secret_named(&new.name);
        self.permit(caller, Action::Deposit(caller.scope_subject(scope)), audit_action, Some(about)).await?;
        let env = new.env.clone().unwrap_or_else(|| new.name.export());
        let allow_refused =
            self.allow_name(caller, (&env, new.delivery), new.allow_refused, audit_action).await?;
        let (id, version) = new.deposit.new_ids(self);
        let event = caller.event(audit_action).about(target::secret(id, &new.name));

        for _ in 0..TRIES {
            // For each try, since it is moved into the operation.
            let repeatable = self.repeatable(caller, idempotency, new.request(scope))?;
            let (name, kind, delivery) = (&new.name, new.kind, new.delivery);
            let to = Destination { org, scope, id, version, name, env: &env, kind, delivery };
            let key = self.deposit_key().await?;
            let prepared = self.prepare(&new.deposit, &to, caller.policy(), &key)?;
            let meta = SecretMeta {
                id,
                name: new.name.clone(),
                env: env.clone(),
                scope,
                kind: new.kind,
                delivery: new.delivery,
                attributes: new.attributes.clone(),
                version,
                hint: prepared.hint.clone(),
                allow_refused,
                value_len: prepared.value_len,
                created_at: self.now(),
                updated_at: self.now(),
                author,
            };
            let event = event.clone();
            let charge = Charge::creation(caller, org, &meta);
            let measured = self.measure_usage(std::slice::from_ref(&charge)).await?;
            let reads =
                self.create_reads(&meta, org).into_iter().chain(charge.reads(self.records())).collect();
            let made = self.journal().run(reads, move |tx| {
                once(tx, repeatable.as_ref(), |tx| {
                    tx.charge(&charge, &measured)?;
                    tx.create(&meta, org, &prepared, event.clone())
                })
            });
            match made.await {
                // The key changed after it was read. A value that the client sealed cannot be sealed again here.
                Err(Error::StaleGeneration { .. }) if matches!(new.deposit, Deposit::Value(_)) => continue,
                Err(error) => return Err(error),
                Ok((done, replayed)) => return self.written(caller, org, done, replayed).await,
            }
        }
        Err(Failure::Conflict.into())
    }

    /// Replaces the value. Works locked.
    pub async fn replace_secret(
        &self,
        caller: &Caller,
        id: SecretId,
        if_match: Option<VersionId>,
        new: Replacement,
    ) -> Result<Written, Error> {
        let audit_action = AuditAction::SecretReplace;
        let (org, author) = self.require_member(caller, audit_action).await?;
        for _ in 0..TRIES {
            let before = self.visible_secret(caller, org, id).await?;
            let meta = &before.meta;
            let about = target::secret(id, &meta.name);
            let action = Action::Deposit(caller.secret_subject(meta));
            self.permit(caller, action, audit_action, Some(about.clone())).await?;
            if if_match.is_some_and(|version| version != meta.version) {
                return Err(Error::VersionMismatch);
            }
            let env = new.env.clone().unwrap_or_else(|| meta.env.clone());
            let delivery = new.delivery.unwrap_or(meta.delivery);
            // An admin allowed a name, not a secret: another refused name needs to be allowed anew.
            let allow_refused = match meta.allow_refused && env == meta.env && delivery == meta.delivery {
                true => true,
                false => self.allow_name(caller, (&env, delivery), new.allow_refused, audit_action).await?,
            };
            check_unstated_kind(meta, new.kind, author)?;
            let kind = new.kind.unwrap_or(meta.kind);
            let version = new.deposit.next_version(self, &before)?;
            let (scope, name) = (meta.scope, &meta.name);
            let to = Destination { org, scope, id, version, name, env: &env, kind, delivery };
            let key = self.deposit_key().await?;
            let prepared = self.prepare(&new.deposit, &to, caller.policy(), &key)?;
            let meta = SecretMeta {
                allow_refused,
                updated_at: self.now(),
                author,
                ..new.meta(&before, &to, &prepared)
            };
            let event = caller.event(audit_action).about(about);
            let charge = Charge::replacement(caller, &before, &meta);
            let reads = self.replace_reads(&before, version, &charge);
            let measured = self.measure_usage(std::slice::from_ref(&charge)).await?;
            let made = self.journal().run(reads, move |tx| {
                let done = tx.replace(&before, &meta, &prepared, event.clone())?;
                // After it: of a secret that has changed meanwhile, this would count the wrong difference.
                if done.is_some() {
                    tx.charge(&charge, &measured)?;
                }
                Ok(done)
            });
            match made.await {
                Err(Error::StaleGeneration { .. }) if matches!(new.deposit, Deposit::Value(_)) => continue,
                // Another request was first: decide again about what the store holds now.
                Ok(None) => continue,
                Err(error) => return Err(error),
                Ok(Some(done)) => return self.written(caller, org, done, false).await,
            }
        }
        Err(Failure::Conflict.into())
    }

    async fn written(
        &self,
        caller: &Caller,
        org: OrgId,
        done: DepositAnswer,
        replayed: bool,
    ) -> Result<Written, Error> {
        let DepositAnswer { meta, generation, warnings } = done;
        // A sealed value is settled in the background, if the store is unlocked.
        if generation.is_some() {
            self.inner.background.notify_one();
        }
        let secret = self.show_written(caller, org, meta, generation).await?;
        Ok(Written { secret, warnings, replayed })
    }

    /// The scope of a request. Does not decide whether the caller may use it.
    pub(crate) async fn scope(
        &self,
        caller: &Caller,
        kind: ScopeKind,
        owner: Option<&MemberName>,
    ) -> Result<Scope, Error> {
        match (kind, owner) {
            (ScopeKind::Shared, None) => Ok(Scope::Shared),
            (ScopeKind::Shared, Some(_)) => {
                Err(Error::Invalid { field: "owner", why: "a shared secret has none" })
            }
            (ScopeKind::Private, owner) => {
                self.member_or_self(caller, owner).await.map(|(id, _)| Scope::Private(id))
            }
        }
    }

    /// Returns true if the name is on the refusal list and the caller may and does allow it.
    pub(crate) async fn allow_name(
        &self,
        caller: &Caller,
        (env, delivery): (&EnvName, Delivery),
        allow: bool,
        audit_action: AuditAction,
    ) -> Result<bool, Error> {
        // A machine finds a file by the variable NAME_FILE, which has to be a name too.
        if delivery == Delivery::File && env.file_variable().is_none() {
            let why = "the name of a file is too long: with _FILE after it, it is a variable";
            return Err(Error::Invalid { field: "as", why });
        }
        let Some(refusal) = refused_as(env, delivery) else { return Ok(false) };
        if !allow {
            return Err(Error::NameRefused { env: env.clone(), why: refusal.why });
        }
        self.permit(caller, Action::AllowRefusedName, audit_action, None).await?;
        Ok(true)
    }

    fn replace_reads(&self, before: &SecretRecord, version: VersionId, charge: &Charge) -> Vec<Vec<u8>> {
        let records = self.records();
        let reads = [
            store::keys().to_vec(),
            before.key(records).to_vec(),
            records.retired_version(before.org, before.meta.id, version).to_vec(),
        ];
        reads.into_iter().chain(charge.reads(records)).collect()
    }

    pub(crate) fn create_reads(&self, meta: &SecretMeta, org: OrgId) -> Vec<Vec<u8>> {
        let records = self.records();
        let mut reads = vec![
            store::keys().to_vec(),
            records.secret_env(org, meta.scope, &meta.env).to_vec(),
            records.secret_name(org, meta.scope, &meta.name).to_vec(),
            records.scopes(org).key(meta.id.as_bytes()).to_vec(),
            records.retired_version(org, meta.id, meta.version).to_vec(),
        ];
        let confusable = confusable_names(records, org, meta.scope, (&meta.name, &meta.env));
        reads.extend(confusable.iter().map(|key| key.to_vec()));
        if let Some(owner) = meta.scope.owner() {
            reads.push(records.member(org, owner).to_vec());
            // A manager's own record says whether it still is one.
            reads.extend((meta.author != owner).then(|| records.member(org, meta.author).to_vec()));
        }
        reads
    }
}

impl Tx<'_> {
    pub(crate) fn create(
        &mut self,
        meta: &SecretMeta,
        org: OrgId,
        prepared: &Prepared,
        event: AuditEvent,
    ) -> Result<DepositAnswer, Stop<Error>> {
        let records = self.records();
        let index = records.scopes(org).key(meta.id.as_bytes());
        if self.has(&index)? {
            return Err(Error::Conflict { why: "the secret's id is in use" }.into());
        }
        // An id that a deleted secret had may come back, but none of its versions.
        self.refuse_retired(org, meta)?;
        if let Some(owner) = meta.scope.owner() {
            // The removal of a member deletes its secrets once, so that none may be created after it.
            self.check_acts_for(org, meta.author, owner)?;
        }
        self.claim_names(org, meta, None)?;
        self.check_generation(prepared)?;
        let meta = SecretMeta { created_at: self.now(), updated_at: self.now(), ..meta.clone() };
        self.put(&index, &meta.scope)?;
        let record = SecretRecord { org, meta, value: prepared.stored.clone() };
        self.put_value(&record, prepared)?;
        self.audit(describe_secret(event, &record.meta));
        Ok(DepositAnswer::of(record, prepared))
    }

    /// Returns `None` if the secret is no longer as it was.
    pub(crate) fn replace(
        &mut self,
        before: &SecretRecord,
        meta: &SecretMeta,
        prepared: &Prepared,
        event: AuditEvent,
    ) -> Result<Option<DepositAnswer>, Stop<Error>> {
        let records = self.records();
        let org = before.org;
        if self.get(&before.key(records))?.as_ref() != Some(before) {
            return Ok(None);
        }
        if let Some(owner) = meta.scope.owner() {
            self.check_acts_for(org, meta.author, owner)?;
        }
        self.refuse_retired(org, meta)?;
        self.retire_version(before)?;
        if meta.env != before.meta.env {
            self.claim_names(org, meta, Some(&before.meta))?;
            // Only now: a name that is taken must leave the old one in place.
            self.delete(&records.secret_env(org, meta.scope, &before.meta.env));
        }
        self.check_generation(prepared)?;
        // A long value has a new place with each version, so that a reader of the old record never finds the new value.
        if let Some(place) = before.value.body().place() {
            self.delete(&place);
        }
        let meta = SecretMeta { updated_at: self.now(), ..meta.clone() };
        let record = SecretRecord { org, meta, value: prepared.stored.clone() };
        self.put_value(&record, prepared)?;
        self.audit(describe_change(event, &before.meta, &record.meta));
        Ok(Some(DepositAnswer::of(record, prepared)))
    }

    /// Refuses a version that the secret had before: boots that hold it would count as holders of the new value.
    fn refuse_retired(&mut self, org: OrgId, meta: &SecretMeta) -> Result<(), Stop<Error>> {
        let retired = self.has(&self.records().retired_version(org, meta.id, meta.version))?;
        if retired { Err(Error::VersionUsed.into()) } else { Ok(()) }
    }

    /// Keeps the version of a secret that is about to be replaced or deleted from being used again.
    pub(crate) fn retire_version(&mut self, record: &SecretRecord) -> Result<(), Halt> {
        let SecretMeta { id, version, .. } = record.meta;
        let retired = RetiredVersion { at: Some(self.now()) };
        self.put(&self.records().retired_version(record.org, id, version), &retired)
    }

    /// Refuses a value whose generation has no release key any more: no boot could open it.
    fn check_generation(&mut self, prepared: &Prepared) -> Result<(), Stop<Error>> {
        let Some(sealed) = prepared.stored.generation() else { return Ok(()) };
        let keys = self.get(&store::keys())?.ok_or(Failure::Corrupt)?;
        let current = keys.ring.deposit_key().generation();
        if sealed == current {
            return Ok(());
        }
        // The move to the current generation may already have passed this secret's key, so that it has to look again. Without
        // a move under way, an older generation is there only for values that do not open.
        if keys.ring.generations().any(|kept| kept == sealed) && self.request_another_pass()? {
            return Ok(());
        }
        Err(Error::StaleGeneration { sealed, current }.into())
    }

    fn put_value(&mut self, record: &SecretRecord, prepared: &Prepared) -> Result<(), Stop<Error>> {
        let records = self.records();
        let key = record.key(records);
        self.put(&key, record)?;
        if let (Some(place), Some(apart)) = (record.value.body().place(), &prepared.apart) {
            self.put(&place, apart)?;
        }
        let marker = secrets::unsettled(&key);
        match record.value.is_settled() {
            true => self.delete(&marker),
            false => self.put(&marker, &Unsettled)?,
        }
        Ok(())
    }
}

/// Refuses a value without a type for a secret that another member made plain: that member, and everybody who sees the secret, could
/// read it.
pub(crate) fn check_unstated_kind(
    before: &SecretMeta,
    kind: Option<Kind>,
    author: MemberId,
) -> Result<(), Error> {
    let stated = kind.is_some() || before.kind == Kind::Encrypted || before.author == author;
    if stated { Ok(()) } else { Err(Error::PlainNotStated) }
}

impl DepositAnswer {
    fn of(record: SecretRecord, prepared: &Prepared) -> Self {
        let generation = record.value.generation();
        Self { meta: record.meta, generation, warnings: prepared.warnings.clone() }
    }
}

impl NewSecret {
    fn request(&self, scope: Scope) -> RepeatableRequest<'_> {
        // All fields by name: without a new field, two different requests with one key would look the same.
        let Self { name, env, scope: _, owner: _, kind, delivery, attributes, deposit, allow_refused } = self;
        // The scope stands for the first two: `private` alone means another one for each caller.
        let metadata = (name, env, scope, kind, delivery, attributes, allow_refused);
        let mut parts = vec![postcard::to_allocvec(&metadata).unwrap_or_default()];
        let value = match deposit {
            Deposit::Value(value) => Some(value.expose()),
            Deposit::Sealed(sealed) => {
                let sealed = (sealed.id, sealed.version, &sealed.value, &sealed.hint);
                parts.push(postcard::to_allocvec(&sealed).unwrap_or_default());
                None
            }
        };
        RepeatableRequest { operation: "create secret", parts, value }
    }
}

impl Deposit {
    /// The ids of a new secret and its first version.
    pub(crate) fn new_ids(&self, store: &Store) -> (SecretId, VersionId) {
        match self {
            Self::Sealed(sealed) => (sealed.id, sealed.version),
            Self::Value(_) => (
                SecretId::from_bytes(store.records().random_bytes()),
                VersionId::from_bytes(store.records().random_bytes()),
            ),
        }
    }

    /// The id of the version that replaces `before`.
    pub(crate) fn next_version(&self, store: &Store, before: &SecretRecord) -> Result<VersionId, Error> {
        match self {
            Self::Value(_) => Ok(VersionId::from_bytes(store.records().random_bytes())),
            Self::Sealed(sealed) if sealed.id != before.meta.id => {
                Err(Error::Invalid { field: "sealed", why: "it is sealed for another secret" })
            }
            Self::Sealed(sealed) if sealed.version == before.meta.version => Err(Error::VersionUsed),
            Self::Sealed(sealed) => Ok(sealed.version),
        }
    }
}
