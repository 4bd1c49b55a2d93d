//! The plan of a batch: the fate of each item, and the writes that it needs. Reads the store and never changes it.

use std::collections::BTreeSet;

use crate::crypto::deposit::DepositKey;
use crate::crypto::ring::SealedRing;
use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId, SecretId, VersionId};
use crate::domain::import::{ExistingPolicy, ImportOutcome};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::{Delivery, Kind, ValueWarning};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::target;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::batch_item::{BatchItem, BatchRules, ItemLookup, ItemValue};
use crate::store::rules::secrets::batch_step::BatchStep;
use crate::store::rules::secrets::deposit::check_unstated_kind;
use crate::store::rules::secrets::names::confusable_names;
use crate::store::rules::secrets::prepare::{Destination, Prepared};
use crate::store::rules::secrets::usage::Charge;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;

pub(crate) struct BatchPlanner<'a> {
    pub(crate) store: &'a Store,
    pub(crate) caller: &'a Caller,
    pub(crate) org: OrgId,
    pub(crate) author: MemberId,
    pub(crate) rules: &'a BatchRules,
}

/// The plan of one item.
pub(crate) struct PlannedItem {
    pub(crate) fate: ImportOutcome,
    why: Option<Error>,
    pub(crate) warnings: Vec<ValueWarning>,
    /// The secret as it is or will be.
    pub(crate) secret: Option<SecretMeta>,
    /// Whether the secret exists.
    pub(crate) exists: bool,
    /// Whether it exists with the settings that the item asks for.
    pub(crate) same_settings: bool,
    pub(crate) step: BatchStep,
    /// What a value that comes later changes of the counts.
    later: Option<Charge>,
}

/// What the indexes of names hold for an item.
struct NameMatch {
    /// The secret that the item means.
    record: Option<SecretRecord>,
    /// Another secret, which has one of its names where a new secret would go.
    taken_by: Option<SecretId>,
}

impl BatchPlanner<'_> {
    pub(crate) async fn plan(&self, items: &[BatchItem]) -> Result<Vec<PlannedItem>, Error> {
        let ring = self.store.keys_record().await?.ring;
        check_generations(items, &ring)?;
        let key = ring.deposit_key();
        let ids_in_use = self.find_ids(items).await?;
        let mut met = BTreeSet::new();
        let mut plan = Vec::with_capacity(items.len());
        for (item, found) in items.iter().zip(self.match_names(items).await?) {
            // Two steps for one secret in one commit would each be planned on what the other changes.
            let id = found.record.as_ref().map(|before| before.meta.id).or(item.sealed_id());
            let repeated = id.is_some_and(|id| !met.insert(id));
            plan.push(if repeated {
                let why = Error::Conflict { why: "another line of the request is for the same secret" };
                PlannedItem::existing(ImportOutcome::Refused, found.record).because(why)
            } else if found.record.is_none() && id.is_some_and(|id| ids_in_use.contains(&id)) {
                let why =
                    Error::Conflict { why: "the secret's id is in use: seal the value under another one" };
                PlannedItem::existing(ImportOutcome::Refused, None).because(why)
            } else {
                self.plan_item(item, found, &key).await?
            });
        }
        Ok(plan)
    }

    /// Returns the ids of sealed items that already belong to a secret.
    async fn find_ids(&self, items: &[BatchItem]) -> Result<BTreeSet<SecretId>, Failure> {
        let records = self.store.records();
        let ids: Vec<SecretId> = items.iter().filter_map(BatchItem::sealed_id).collect();
        let keys: Vec<Key<Scope>> =
            ids.iter().map(|id| records.scopes(self.org).key(id.as_bytes())).collect();
        let found = records.get_all(&keys).await?;
        Ok(ids.into_iter().zip(found).filter_map(|(id, scope)| scope.map(|_| id)).collect())
    }

    /// Looks all items up in the indexes of names, with one read for each scope and one for the secrets: the store is not
    /// scanned, whatever it holds.
    async fn match_names(&self, items: &[BatchItem]) -> Result<Vec<NameMatch>, Failure> {
        let records = self.store.records();
        let mut found: Vec<Option<Key<SecretRecord>>> = vec![None; items.len()];
        let mut taken_by: Vec<Option<SecretId>> = vec![None; items.len()];
        for scope in &self.rules.scopes {
            let names = |item: &BatchItem| {
                let mut keys = vec![
                    records.secret_env(self.org, *scope, &item.env),
                    records.secret_name(self.org, *scope, &item.name),
                ];
                // They matter to a new secret only.
                if *scope == self.rules.new_in {
                    keys.extend(confusable_names(records, self.org, *scope, (&item.name, &item.env)));
                }
                keys
            };
            let keys: Vec<Vec<Key<SecretId>>> = items.iter().map(names).collect();
            let flat: Vec<Key<SecretId>> = keys.iter().flatten().cloned().collect();
            let mut ids = records.get_all(&flat).await?.into_iter();
            for (index, keys) in keys.iter().enumerate() {
                let found_ids: Vec<Option<SecretId>> = ids.by_ref().take(keys.len()).collect();
                let (by_env, by_name) = (found_ids[0], found_ids[1]);
                let id = match items[index].lookup {
                    ItemLookup::Name => by_name,
                    ItemLookup::ExportedName => by_env,
                    ItemLookup::Either => by_env.or(by_name),
                };
                if let (None, Some(id)) = (&found[index], id) {
                    found[index] = Some(records.secret(self.org, *scope, id));
                }
                // All names count here: a new secret needs both, whichever of them the item is looked up by.
                if *scope == self.rules.new_in {
                    taken_by[index] = found_ids.iter().copied().flatten().next();
                }
            }
        }
        let keys: Vec<Key<SecretRecord>> = found.iter().flatten().cloned().collect();
        let mut read = records.get_all(&keys).await?.into_iter();
        let matched = found.iter().zip(taken_by).map(|(key, taken_by)| {
            let record = key.as_ref().and_then(|_| read.next().flatten());
            NameMatch { record, taken_by }
        });
        Ok(matched.collect())
    }

    async fn plan_item(
        &self,
        item: &BatchItem,
        found: NameMatch,
        key: &DepositKey,
    ) -> Result<PlannedItem, Error> {
        let Some(before) = found.record else {
            return match item.value {
                ItemValue::Clear => Ok(PlannedItem::existing(ImportOutcome::Nothing, None)),
                _ => self.plan_creation(item, found.taken_by, key).await,
            };
        };
        match (&item.value, self.rules.existing) {
            (ItemValue::Clear, _) => {
                let about = target::secret(before.meta.id, &before.meta.name);
                let action = Action::DeleteSecret(self.caller.secret_subject(&before.meta));
                self.store.permit(self.caller, action, AuditAction::SecretDelete, Some(about)).await?;
                let step = BatchStep::Delete { before: Box::new(before.clone()) };
                Ok(PlannedItem { step, ..PlannedItem::existing(ImportOutcome::Clear, Some(before)) })
            }
            (_, ExistingPolicy::Replace) => self.plan_replacement(item, before, key).await,
            (_, ExistingPolicy::Keep) => Ok(PlannedItem::existing(ImportOutcome::Keep, Some(before))),
            (_, ExistingPolicy::Refuse) => {
                let why = name_taken(before.meta.clone());
                Ok(PlannedItem::existing(ImportOutcome::Refused, Some(before)).because(why))
            }
        }
    }

    async fn plan_creation(
        &self,
        item: &BatchItem,
        taken_by: Option<SecretId>,
        key: &DepositKey,
    ) -> Result<PlannedItem, Error> {
        let meta = self.new_meta(item);
        let about = target::secret_named(&meta.name);
        let action = Action::Deposit(self.caller.scope_subject(meta.scope));
        self.store.permit(self.caller, action, AuditAction::SecretCreate, Some(about)).await?;
        if let Some(id) = taken_by {
            let records = self.store.records();
            if let Some(other) = records.get(&records.secret(self.org, meta.scope, id)).await? {
                let refused =
                    PlannedItem::existing(ImportOutcome::Refused, None).because(name_taken(other.meta));
                return Ok(PlannedItem { secret: Some(meta), ..refused });
            }
        }
        self.plan_value(item, meta, None, key).await
    }

    async fn plan_replacement(
        &self,
        item: &BatchItem,
        before: SecretRecord,
        key: &DepositKey,
    ) -> Result<PlannedItem, Error> {
        let about = target::secret(before.meta.id, &before.meta.name);
        let action = Action::Deposit(self.caller.secret_subject(&before.meta));
        self.store.permit(self.caller, action, AuditAction::SecretReplace, Some(about)).await?;
        let meta = SecretMeta { author: self.author, ..before.meta.clone() };
        self.plan_value(item, meta, Some(before), key).await
    }

    /// Plans the value and the settings of a secret whose names are settled.
    async fn plan_value(
        &self,
        item: &BatchItem,
        mut meta: SecretMeta,
        before: Option<SecretRecord>,
        key: &DepositKey,
    ) -> Result<PlannedItem, Error> {
        item.apply(&mut meta);
        let same_settings = before.as_ref().is_some_and(|before| has_settings(&meta, &before.meta));
        if let Some(before) = before.as_ref().filter(|before| same_settings && item.is_value_of(before)) {
            return Ok(PlannedItem::existing(ImportOutcome::Keep, Some(before.clone())));
        }
        let fate = if before.is_some() { ImportOutcome::Replace } else { ImportOutcome::Create };
        let planned = PlannedItem { same_settings, ..PlannedItem::existing(fate, before.clone()) };
        // After the check above: a request that is sent again meets the versions that it has stored itself.
        if item.if_version.is_some() && item.if_version != before.as_ref().map(|before| before.meta.version) {
            return Ok(planned.because(Error::VersionMismatch));
        }
        // Who imports plain settings says so for all lines.
        let kind = item.options.kind.or(Some(self.rules.kind).filter(|kind| *kind == Kind::Plain));
        if let Some(before) = &before
            && let Err(why) = check_unstated_kind(&before.meta, kind, self.author)
        {
            return Ok(planned.because(why));
        }
        let prepared = match self.prepare_value(item, &mut meta, before.as_ref(), key).await {
            Ok(prepared) => prepared,
            // These say nothing about the item: the caller may not, or the store cannot.
            Err(error @ (Error::Forbidden(_) | Error::Failure(_))) => return Err(error),
            Err(why) => return Ok(PlannedItem { secret: Some(meta), ..planned.because(why) }),
        };
        let planned = PlannedItem { secret: Some(meta.clone()), ..planned };
        let Some(prepared) = prepared else {
            let later = self.charge_later(item, &mut meta, before.as_ref());
            return Ok(PlannedItem { later, ..planned });
        };
        let warnings = prepared.warnings.clone();
        let step = match before {
            Some(before) => BatchStep::Replace { before: Box::new(before), meta, prepared },
            None => BatchStep::Create { meta, prepared },
        };
        Ok(PlannedItem { warnings, step, ..planned })
    }

    /// Judges the exported name and the value, and seals it. Returns `None` for a value that comes later.
    async fn prepare_value(
        &self,
        item: &BatchItem,
        meta: &mut SecretMeta,
        before: Option<&SecretRecord>,
        key: &DepositKey,
    ) -> Result<Option<Prepared>, Error> {
        // Once allowed, a name stays allowed for its secret, so that members can replace the value.
        if !meta.allow_refused {
            let (allow, audit_action) = (item.options.allow_refused, AuditAction::SecretCreate);
            meta.allow_refused =
                self.store.allow_name(self.caller, (&meta.env, meta.delivery), allow, audit_action).await?;
        }
        let ItemValue::Deposit(deposit) = &item.value else { return Ok(None) };
        (meta.id, meta.version) = match before {
            Some(before) => (before.meta.id, deposit.next_version(self.store, before)?),
            None => deposit.new_ids(self.store),
        };
        let to = Destination {
            org: self.org,
            scope: meta.scope,
            id: meta.id,
            version: meta.version,
            name: &meta.name,
            env: &meta.env,
            kind: meta.kind,
            delivery: meta.delivery,
        };
        let prepared = self.store.prepare(deposit, &to, self.caller.policy(), key)?;
        meta.hint.clone_from(&prepared.hint);
        meta.value_len = prepared.value_len;
        meta.updated_at = self.store.now();
        Ok(Some(prepared))
    }

    /// What a value of a known length changes of the counts.
    fn charge_later(
        &self,
        item: &BatchItem,
        meta: &mut SecretMeta,
        before: Option<&SecretRecord>,
    ) -> Option<Charge> {
        let ItemValue::Later(len) = item.value else { return None };
        meta.value_len = len?;
        Some(match before {
            Some(before) => Charge::replacement(self.caller, before, meta),
            None => Charge::creation(self.caller, self.org, meta),
        })
    }

    /// Refuses the items of a plan that a budget or quota would refuse.
    pub(crate) async fn foresee_charges(&self, plan: &mut [PlannedItem]) -> Result<(), Failure> {
        let charged = plan.iter_mut().filter_map(|item| {
            let charge = item.later.take().or_else(|| item.step.charge(self.org, self.caller))?;
            Some((item, charge))
        });
        let (items, charges): (Vec<&mut PlannedItem>, Vec<Charge>) = charged.unzip();
        for (item, refused) in items.into_iter().zip(self.store.foresee_charges(&charges).await?) {
            if let Some(error) = refused {
                (item.fate, item.why) = (ImportOutcome::Refused, Some(error));
            }
        }
        Ok(())
    }

    fn new_meta(&self, item: &BatchItem) -> SecretMeta {
        SecretMeta {
            id: SecretId::from_bytes([0; 16]),
            name: item.name.clone(),
            env: item.env.clone(),
            scope: self.rules.new_in,
            kind: self.rules.kind,
            delivery: Delivery::Variable,
            attributes: self.rules.attributes.clone(),
            version: VersionId::from_bytes([0; 16]),
            hint: None,
            allow_refused: false,
            value_len: 0,
            created_at: self.store.now(),
            updated_at: self.store.now(),
            author: self.author,
        }
    }
}

impl PlannedItem {
    /// An item about a secret that exists, or does not, before it is known to need a write.
    fn existing(fate: ImportOutcome, before: Option<SecretRecord>) -> Self {
        Self {
            fate,
            why: None,
            warnings: Vec::new(),
            exists: before.is_some(),
            secret: before.map(|before| before.meta),
            same_settings: false,
            step: BatchStep::Nothing,
            later: None,
        }
    }

    fn because(self, why: Error) -> Self {
        Self { fate: ImportOutcome::Refused, why: Some(why), ..self }
    }

    pub(crate) fn take_step(&mut self) -> BatchStep {
        std::mem::replace(&mut self.step, BatchStep::Nothing)
    }

    /// The budget or quota that the item exceeds.
    pub(crate) fn take_limit_error(&mut self) -> Option<Error> {
        self.why.take_if(|why| matches!(why, Error::OverBudget { .. } | Error::OverQuota { .. }))
    }

    /// Why the item is refused and what to do about it, on one line.
    pub(crate) fn reason(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        Some(match why.hint() {
            Some(hint) => format!("{why}; {hint}"),
            None => why.to_string(),
        })
    }
}

/// Fails if a value is sealed to a generation that is no longer accepted. The commit checks this again, but by then earlier
/// commits of the same request may be stored.
fn check_generations(items: &[BatchItem], ring: &SealedRing) -> Result<(), Error> {
    let accepted: BTreeSet<u32> = ring.generations().collect();
    match items.iter().filter_map(BatchItem::sealed_generation).find(|sealed| !accepted.contains(sealed)) {
        None => Ok(()),
        Some(sealed) => Err(Error::StaleGeneration { sealed, current: ring.deposit_key().generation() }),
    }
}

fn name_taken(SecretMeta { id, name, env, .. }: SecretMeta) -> Error {
    Error::NameTaken { id, name, env }
}

/// Whether two secrets differ at most in what a new value brings along.
fn has_settings(meta: &SecretMeta, other: &SecretMeta) -> bool {
    (meta.kind, meta.delivery, &meta.attributes) == (other.kind, other.delivery, &other.attributes)
}
