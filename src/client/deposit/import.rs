//! Importing several lines: the store plans them by name, then each value is sealed for the secret of its plan, and sent with as
//! many others as one request may hold.

use super::{DepositError, Depositor, SealTarget, VersionTagger, preset_warnings};
use crate::client::api_client::Client;
use crate::crypto::random::{self, Kernel};
use crate::domain::attributes::Attributes;
use crate::domain::id::SecretId;
use crate::domain::import::{ExistingPolicy, ImportOutcome, LineOptions};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind, SecretValue, check};
use crate::wire::{
    AttributesRequest, ImportItemRequest, ImportLineView, ImportRequest, UpdateSecretRequest, ValueBase64,
};

/// Bytes of items in one request. The server takes bodies of 2 MiB.
const REQUEST_BYTES: usize = (2 << 20) - 4096;
/// Items that the server takes in one request.
const REQUEST_ITEMS: usize = 10_000;
/// Bytes that a seal and a hint add to an item, beside the ciphertext.
const SEAL_BYTES: usize = 560;

/// A line to import.
#[derive(Debug)]
pub(crate) struct ImportEntry {
    /// Its number in the file, from 1.
    pub(crate) line: usize,
    pub(crate) name: SecretName,
    pub(crate) options: LineOptions,
    pub(crate) value: SecretValue,
}

/// A line, and what becomes of it.
pub(crate) struct PlannedEntry {
    pub(crate) entry: ImportEntry,
    pub(crate) view: ImportLineView,
    pub(crate) stored: bool,
}

/// All lines of an import.
pub(crate) struct ImportPlan {
    scope: ScopeKind,
    tagger: VersionTagger,
    pub(crate) entries: Vec<PlannedEntry>,
}

impl Depositor {
    /// Plans an import. Sends names and settings, and no value.
    pub(crate) async fn plan_import(
        &mut self,
        client: &mut Client,
        scope: ScopeKind,
        entries: Vec<ImportEntry>,
        tagger: VersionTagger,
    ) -> Result<ImportPlan, DepositError> {
        let mut views = Vec::with_capacity(entries.len());
        // Every line is planned before the first value is sent, also where that takes several requests: a refusal in the last
        // line must store nothing.
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let (next, later) = rest.split_at(fitting_len(rest.iter().map(ImportEntry::item_len)));
            let items = next.iter().map(ImportEntry::to_preview_item).collect();
            views.extend(client.import(&self.request(scope, items, true)).await?.lines);
            rest = later;
        }
        // A view that is paired with another line's value would seal the value under the wrong name.
        if views.len() != entries.len() {
            return Err(DepositError::PlanUnusable);
        }
        let planned = entries.into_iter().zip(views);
        let entries = planned.map(|(entry, view)| self.judge(entry, view, &tagger)).collect();
        Ok(ImportPlan { scope, tagger, entries })
    }

    /// Stores the planned lines, and reports how many after each request. Repeating an import that failed stores the rest.
    pub(crate) async fn store_import(
        &mut self,
        client: &mut Client,
        plan: &mut ImportPlan,
        stored: &mut dyn FnMut(usize),
    ) -> Result<(), DepositError> {
        let ImportPlan { scope, tagger, entries } = plan;
        let mut pending: Vec<&mut PlannedEntry> =
            entries.iter_mut().filter(|planned| planned.is_pending()).collect();
        let mut rest = pending.as_mut_slice();
        while !rest.is_empty() {
            let (next, later) =
                rest.split_at_mut(fitting_len(rest.iter().map(|planned| planned.entry.sealed_len())));
            self.store_entries(client, *scope, tagger, next).await?;
            stored(next.len());
            rest = later;
        }
        Ok(())
    }

    async fn store_entries(
        &mut self,
        client: &mut Client,
        scope: ScopeKind,
        tagger: &VersionTagger,
        entries: &mut [&mut PlannedEntry],
    ) -> Result<(), DepositError> {
        let mut stale = false;
        let lines = loop {
            let items: Result<_, _> =
                entries.iter().map(|planned| self.sealed_item(planned, scope, tagger)).collect();
            match client.import(&self.request(scope, items?, false)).await {
                Ok(response) => break response.lines,
                Err(error) => self.renew_once(client, error, &mut stale).await?,
            }
        };
        for (planned, mut view) in entries.iter_mut().zip(lines) {
            let known = std::mem::take(&mut planned.view.warnings);
            view.warnings.extend(known);
            view.warnings.sort();
            // The store reports the same about a value that it can read.
            view.warnings.dedup();
            // Of a plain value only the store can tell that it is the same.
            planned.stored = view.fate != ImportOutcome::Keep;
            planned.view = view;
        }
        Ok(())
    }

    /// Checks the value for the secret of the plan, which the store cannot do without it.
    fn judge(&self, entry: ImportEntry, view: ImportLineView, tagger: &VersionTagger) -> PlannedEntry {
        let mut planned = PlannedEntry { entry, view, stored: false };
        if !planned.is_pending() {
            return planned;
        }
        if planned.view.kind == Some(Kind::Plain)
            && planned.view.fate == ImportOutcome::Replace
            && planned.kind() != Kind::Plain
        {
            let why = "the store holds it as plain, which would make the value readable; put `# dropsafe: plain` \
                before the line if it may be displayed, or replace it with `dropsafe set --encrypted`";
            (planned.view.fate, planned.view.why) = (ImportOutcome::Refused, Some(why.to_owned()));
            return planned;
        }
        let (env, kind, value) = (planned.env(), planned.kind(), &planned.entry.value);
        match check(value, &env, planned.delivery(), self.info.variable_ceiling) {
            Ok(mut warnings) => {
                warnings.extend(preset_warnings(planned.entry.name.as_str(), &env, kind, value));
                let same = planned.view.same_settings && planned.is_current(tagger, &env);
                planned.view.warnings.extend(warnings.iter().map(ToString::to_string));
                if same {
                    planned.view.fate = ImportOutcome::Keep;
                }
            }
            Err(error) => {
                let why = error.hint().map_or(error.to_string(), |hint| format!("{error}; {hint}"));
                (planned.view.fate, planned.view.why) = (ImportOutcome::Refused, Some(why));
            }
        }
        planned
    }

    fn sealed_item(
        &self,
        planned: &PlannedEntry,
        scope: ScopeKind,
        tagger: &VersionTagger,
    ) -> Result<ImportItemRequest, DepositError> {
        let (env, value) = (planned.env(), &planned.entry.value);
        let mut item = planned.entry.to_item();
        // What somebody has changed since the plan is not overwritten.
        item.if_version = planned.view.version.map(|version| version.to_string().into());
        if planned.kind() == Kind::Plain {
            // Not as text, which JSON may escape to six times its length.
            item.value_base64 = Some(ValueBase64::of(value));
            return Ok(item);
        }
        // The id of a new secret is chosen here, because its value is sealed under it.
        let id = planned.view.secret.unwrap_or_else(|| SecretId::from_bytes(random::array(&mut Kernel)));
        let target = SealTarget { id, scope, env: &env, version: tagger.issue(id, &env, value) };
        let fields = self.value_fields(Kind::Encrypted, &target, value)?;
        (item.sealed, item.hint) = (fields.sealed, fields.hint);
        Ok(item)
    }

    fn request(&self, scope: ScopeKind, items: Vec<ImportItemRequest>, preview: bool) -> ImportRequest {
        ImportRequest {
            env: None,
            items: Some(items),
            scope,
            owner: self.owner_in(scope),
            existing: ExistingPolicy::Replace,
            kind: Kind::Encrypted,
            attributes: AttributesRequest::from(&Attributes::default()),
            preview,
        }
    }
}

impl ImportEntry {
    /// The length of the item without its value.
    fn item_len(&self) -> usize {
        serde_json::to_string(&self.to_preview_item()).map_or(REQUEST_BYTES, |json| json.len())
    }

    fn sealed_len(&self) -> usize {
        // A tag of 16 bytes, and base64.
        self.item_len() + SEAL_BYTES + (self.value.len() + 16).div_ceil(3) * 4
    }

    fn to_item(&self) -> ImportItemRequest {
        let LineOptions { kind, delivery, attributes, allow_refused } = &self.options;
        ImportItemRequest {
            name: self.name.as_str().into(),
            kind: *kind,
            delivery: *delivery,
            change: (!attributes.is_empty()).then(|| UpdateSecretRequest::from(attributes)),
            allow_refused: *allow_refused,
            if_version: None,
            value: None,
            value_base64: None,
            sealed: None,
            value_len: None,
            hint: None,
        }
    }

    /// The item with the length of its value, which the store learns in any case from the sealed value.
    fn to_preview_item(&self) -> ImportItemRequest {
        ImportItemRequest { value_len: u32::try_from(self.value.len()).ok(), ..self.to_item() }
    }
}

impl PlannedEntry {
    pub(crate) fn is_pending(&self) -> bool {
        !self.stored && matches!(self.view.fate, ImportOutcome::Create | ImportOutcome::Replace)
    }

    /// The exported name: that of the secret, if it exists.
    pub(crate) fn env(&self) -> EnvName {
        // About a new secret, the store knows nothing that this program does not know itself.
        let known = self.view.env.clone().filter(|_| self.view.fate != ImportOutcome::Create);
        known.unwrap_or_else(|| self.entry.name.export())
    }

    pub(crate) fn kind(&self) -> Kind {
        // The type decides whether the value is sealed, so neither the store nor another member may call a secret plain.
        self.entry.options.kind.unwrap_or(Kind::Encrypted)
    }

    fn delivery(&self) -> Delivery {
        self.view.delivery.or(self.entry.options.delivery).unwrap_or(Delivery::Variable)
    }

    fn is_current(&self, tagger: &VersionTagger, env: &EnvName) -> bool {
        let (Some(id), Some(version)) = (self.view.secret, self.view.version) else { return false };
        tagger.is_version_of(version, id, env, &self.entry.value)
    }
}

/// How many items of these sizes fit one request. At least one: the largest value does.
fn fitting_len(sizes: impl Iterator<Item = usize>) -> usize {
    // The rest of the body is a few names of fields, which the limit leaves room for.
    let mut bytes = 0;
    let fitting = sizes.take(REQUEST_ITEMS).take_while(|size| {
        bytes += size;
        bytes <= REQUEST_BYTES
    });
    fitting.count().max(1)
}
