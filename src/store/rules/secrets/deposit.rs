//! Creating a secret and replacing its value. Works locked: only the deposit key is needed.

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::{OrgId, SecretId, VersionId};
use crate::domain::name::{EnvName, MemberName, refused};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once};
use crate::store::rules::secrets::prepare::{Destination, Prepared};
use crate::store::rules::secrets::{Deposit, NewSecret, Replacement, Written};
use crate::store::rules::store::Store;
use crate::store::tables::secrets;
use crate::store::tables::secrets::DepositAnswer;
use crate::store::tables::secrets::{SecretRecord, Unsettled};
use crate::store::tables::store;

/// Tries when the deposit key or the secret changes while a value is sealed for it.
const TRIES: usize = 5;

impl Store {
    /// Deposits a new secret; works locked. With a repeated idempotency key (24 h) and the same body the first answer.
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
        self.permit(caller, Action::Deposit(scope), audit_action, Some(about)).await?;
        let env = new.env.clone().unwrap_or_else(|| new.name.export());
        let allow_refused = self.allow_name(caller, &env, new.allow_refused, audit_action).await?;
        let (id, version) = match &new.deposit {
            Deposit::Sealed(sealed) => (sealed.id, sealed.version),
            Deposit::Value(_) => (
                SecretId::from_bytes(self.records().random_bytes()),
                VersionId::from_bytes(self.records().random_bytes()),
            ),
        };
        let event = caller.event(audit_action).about(target::secret(id, &new.name));

        for _ in 0..TRIES {
            // Per try, since it is moved into the operation.
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
            let made = self.journal().run(self.create_reads(&meta, org), move |tx| {
                once(tx, repeatable.as_ref(), |tx| tx.create(&meta, org, &prepared, event.clone()))
            });
            match made.await {
                Err(Error::StaleGeneration { .. }) if matches!(new.deposit, Deposit::Value(_)) => continue,
                Err(error) => return Err(error),
                Ok((done, replayed)) => return self.written(caller, org, done, replayed).await,
            }
        }
        Err(Failure::Conflict.into())
    }

    /// Replaces the value; works locked.
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
            self.permit(caller, Action::Deposit(meta.scope), audit_action, Some(about.clone())).await?;
            if if_match.is_some_and(|version| version != meta.version) {
                return Err(Error::VersionMismatch);
            }
            let env = new.env.clone().unwrap_or_else(|| meta.env.clone());
            let allow_refused = match meta.allow_refused && env == meta.env {
                true => true,
                false => self.allow_name(caller, &env, new.allow_refused, audit_action).await?,
            };
            let kind = new.kind.unwrap_or(meta.kind);
            let delivery = new.delivery.unwrap_or(meta.delivery);
            let version = new.version(self, &before)?;
            let (scope, name) = (meta.scope, &meta.name);
            let to = Destination { org, scope, id, version, name, env: &env, kind, delivery };
            let key = self.deposit_key().await?;
            let prepared = self.prepare(&new.deposit, &to, caller.policy(), &key)?;
            let mut meta = SecretMeta {
                env: env.clone(),
                kind,
                delivery,
                version,
                hint: prepared.hint.clone(),
                allow_refused,
                value_len: prepared.value_len,
                updated_at: self.now(),
                author,
                ..before.meta.clone()
            };
            new.change.apply(&mut meta.attributes);
            let event =
                caller.event(audit_action).about(about).detail(DetailKey::Previous, before.meta.version);
            let reads = vec![store::keys().to_vec(), before.key(self.records()).to_vec()];
            let made =
                self.journal().run(reads, move |tx| tx.replace(&before, &meta, &prepared, event.clone()));
            match made.await {
                Err(Error::StaleGeneration { .. }) if matches!(new.deposit, Deposit::Value(_)) => continue,
                // Somebody else was first; judge anew what is there now.
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
        if generation.is_some() {
            self.inner.background.notify_one();
        }
        let secret = self.show_written(caller, org, meta, generation).await?;
        Ok(Written { secret, warnings, replayed })
    }

    /// The scope that is meant; who may use it is decided later.
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

    /// Whether the name is on the refusal list and allowed nonetheless.
    pub(crate) async fn allow_name(
        &self,
        caller: &Caller,
        env: &EnvName,
        allow: bool,
        audit_action: AuditAction,
    ) -> Result<bool, Error> {
        let Some(refusal) = refused(env) else { return Ok(false) };
        if !allow {
            return Err(Error::NameRefused { env: env.clone(), why: refusal.why });
        }
        self.permit(caller, Action::AllowRefusedName, audit_action, None).await?;
        Ok(true)
    }

    pub(crate) fn create_reads(&self, meta: &SecretMeta, org: OrgId) -> Vec<Vec<u8>> {
        let records = self.records();
        let mut reads = vec![
            store::keys().to_vec(),
            records.secret_env(org, meta.scope, &meta.env).to_vec(),
            records.secret_name(org, meta.scope, &meta.name).to_vec(),
            records.scopes(org).key(meta.id.as_bytes()).to_vec(),
        ];
        reads.extend(meta.scope.owner().map(|owner| records.member(org, owner).to_vec()));
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
        if let Some(owner) = meta.scope.owner() {
            // Removal of a member looks for its secrets once: none may come after.
            self.get_member(org, owner)?;
        }
        self.claim_names(org, meta, None)?;
        self.check_generation(prepared)?;
        let meta = SecretMeta { created_at: self.now(), updated_at: self.now(), ..meta.clone() };
        self.put(&index, &meta.scope)?;
        let record = SecretRecord { org, meta, value: prepared.stored.clone() };
        self.put_value(&record, prepared)?;
        self.audit(told_of(event, &record));
        Ok(DepositAnswer::of(record, prepared))
    }

    /// None when the secret is not as it was any more.
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
            self.get_member(org, owner)?;
        }
        if meta.env != before.meta.env {
            self.claim_names(org, meta, Some(&before.meta))?;
            self.delete(&records.secret_env(org, meta.scope, &before.meta.env));
        }
        self.check_generation(prepared)?;
        if let Some(place) = before.value.body().place() {
            self.delete(&place);
        }
        let meta = SecretMeta { updated_at: self.now(), ..meta.clone() };
        let record = SecretRecord { org, meta, value: prepared.stored.clone() };
        self.put_value(&record, prepared)?;
        self.audit(told_of(event, &record));
        Ok(Some(DepositAnswer::of(record, prepared)))
    }

    /// Takes the name and the exported name for a secret that is new or gets another.
    fn claim_names(
        &mut self,
        org: OrgId,
        meta: &SecretMeta,
        before: Option<&SecretMeta>,
    ) -> Result<(), Stop<Error>> {
        let records = self.records();
        let env = records.secret_env(org, meta.scope, &meta.env);
        let name = records.secret_name(org, meta.scope, &meta.name);
        self.need([env.to_vec(), name.to_vec()])?;
        let taken = match self.get(&env)? {
            Some(other) => Some(other),
            None if before.is_none() => self.get(&name)?,
            None => None,
        };
        if let Some(other) = taken {
            let other = self.get(&records.secret(org, meta.scope, other))?.ok_or(Failure::Corrupt)?.meta;
            return Err(Error::NameTaken { id: other.id, name: other.name, env: other.env }.into());
        }
        self.put(&env, &meta.id)?;
        self.put(&name, &meta.id)?;
        Ok(())
    }

    /// A value is stored only while the release key of its generation is kept.
    fn check_generation(&mut self, prepared: &Prepared) -> Result<(), Stop<Error>> {
        let Some(sealed) = prepared.stored.generation() else { return Ok(()) };
        let keys = self.get(&store::keys())?.ok_or(Failure::Corrupt)?;
        let current = keys.ring.deposit_key().generation();
        if sealed == current {
            return Ok(());
        }
        if !keys.ring.generations().any(|kept| kept == sealed) {
            return Err(Error::StaleGeneration { sealed, current }.into());
        }
        // The move to the current generation may have passed this secret's place: it is to look again.
        Ok(self.request_another_pass()?)
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

impl DepositAnswer {
    fn of(record: SecretRecord, prepared: &Prepared) -> Self {
        let generation = record.value.generation();
        Self { meta: record.meta, generation, warnings: prepared.warnings.clone() }
    }
}

impl NewSecret {
    fn request(&self, scope: Scope) -> RepeatableRequest<'_> {
        // All fields by name: a new one that was left out would make two different requests of one key look the same.
        let Self { name, env, scope: _, owner: _, kind, delivery, attributes, deposit, allow_refused } = self;
        // The scope is the one that the first two mean for this caller.
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

impl Replacement {
    /// The version that the new value has.
    fn version(&self, store: &Store, before: &SecretRecord) -> Result<VersionId, Error> {
        match &self.deposit {
            Deposit::Value(_) => Ok(VersionId::from_bytes(store.records().random_bytes())),
            Deposit::Sealed(sealed) if sealed.id != before.meta.id => {
                Err(Error::Invalid { field: "sealed", why: "it is sealed for another secret" })
            }
            Deposit::Sealed(sealed) if sealed.version == before.meta.version => {
                Err(Error::Invalid { field: "sealed", why: "its version is in use" })
            }
            Deposit::Sealed(sealed) => Ok(sealed.version),
        }
    }
}

/// What the trail says of a secret.
pub(crate) fn told_of(event: AuditEvent, record: &SecretRecord) -> AuditEvent {
    let SecretMeta { env, scope, version, value_len, .. } = &record.meta;
    let event = event
        .detail(DetailKey::Env, env)
        .detail(DetailKey::Scope, scope.kind())
        .detail(DetailKey::Version, *version)
        .detail(DetailKey::Bytes, AuditText::number(u64::from(*value_len)));
    match scope.owner() {
        Some(owner) => event.detail(DetailKey::Owner, owner),
        None => event,
    }
}
