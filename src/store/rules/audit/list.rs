//! Reading the audit log, newest first.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey, TargetKind};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::MemberName;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::tables::{self, ChainId, Entry};
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Found;
use crate::store::rules::audit::released::{ReceiptReader, ReleasedVersion, is_release};
use crate::store::rules::audit::view::AuditView;
use crate::store::rules::boots::named_secrets::WantedSecret;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;

/// Entries and receipts read for one page, at most. A page that finds too few among them is short.
const MAX_READ: usize = 5000;
/// Entries read at once where each may need a receipt.
const STEP_WITH_RECEIPTS: usize = 250;

/// Which entries to list. An absent field matches all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Part of the action, of the actor's or the target's name, or of the name of a released secret, in any case.
    pub q: Option<String>,
    /// The action, or its first part (`secret` matches `secret.create`).
    pub action: Option<String>,
    /// One of these actions. Empty: any action.
    pub any_of: Vec<AuditAction>,
    /// The actor's name or id.
    pub actor: Option<String>,
    /// The exported name, name or id of a secret: entries about it, and boots that received it.
    pub secret: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub struct AuditItem {
    /// Its chain, hexadecimal.
    pub chain: String,
    /// Its place in the chain, from 0.
    pub seq: u64,
    /// What happened.
    pub event: AuditEvent,
    /// What a boot received: only the secret that the filter names, if it names one. `None` for other entries, and where the
    /// record was deleted or does not match the digest in the entry.
    pub released: Option<Arc<Vec<ReleasedVersion>>>,
    /// The name of the member who created the credential that acted. Absent: the operator did, it is unknown, or the caller
    /// is the operator.
    pub author: Option<MemberName>,
}

/// An entry that passed the part of the filter that needs nothing else.
struct AuditCandidate {
    key: Vec<u8>,
    chain: ChainId,
    seq: u64,
    event: AuditEvent,
}

impl Store {
    /// Lists the audit log, newest first: the organization's for an admin or auditor; the entries about themselves and the
    /// services that they manage for any other member; the whole store's for the operator, without names of secrets. Reading from the start is recorded.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: PageAsk,
    ) -> Result<Page<AuditItem>, Error> {
        let view = self.audit_view(caller).await?;
        let wanted = match view.org() {
            Some(org) => self.wanted_secret(caller, org, filter.secret.as_deref()).await?,
            // The operator sees no names, and finds what an id names.
            None => filter.secret.as_deref().map(WantedSecret::new),
        };
        let mut found = self.list_audit(&view, filter, wanted.as_ref(), &page).await?;
        if let Some(org) = view.org() {
            self.name_authors(org, &mut found.items).await?;
        }
        // A cursor comes from a page that was recorded, so that an export of many pages is one entry.
        if page.cursor.is_none() {
            self.record_read(caller.event(AuditAction::AuditRead)).await?;
        }
        Ok(found)
    }

    /// Looks up the names of the authors, of which an entry has the id.
    async fn name_authors(&self, org: OrgId, items: &mut [AuditItem]) -> Result<(), Failure> {
        let authors: BTreeSet<_> = items.iter().filter_map(AuditItem::author_id).collect();
        let members = self.members_by_id(org, authors).await?;
        for item in items {
            let author = item.author_id().and_then(|id| members.get(&id));
            item.author = author.map(|author| author.name.clone());
        }
        Ok(())
    }

    async fn list_audit(
        &self,
        view: &AuditView,
        filter: &AuditFilter,
        wanted: Option<&WantedSecret>,
        page: &PageAsk,
    ) -> Result<Page<AuditItem>, Error> {
        let limit = page.limit();
        let mut after = match &page.cursor {
            Some(cursor) => Some(self.read_cursor(cursor)?),
            // The upper end is exclusive, so that the list starts after all entries of `until` itself.
            None => filter.until.map(|until| tables::entries_before(until).to_vec()),
        };
        let q = filter.q.as_ref().map(|q| q.to_lowercase());
        let step = match q.is_some() || filter.secret.is_some() {
            true => STEP_WITH_RECEIPTS,
            false => limit.clamp(100, 1000),
        };
        let mut receipts = view.org().map(|org| ReceiptReader::new(self, org));
        let mut items = Vec::new();
        let mut read = 0;
        loop {
            let scanned = self.records().scan(&tables::entries(), after.as_deref(), step).await?;
            read += scanned.found.len();
            after = scanned.found.last().map(|found| found.key.clone()).or(after);
            let (mut candidates, is_past) = select(view, filter, scanned.found)?;
            if let Some(receipts) = &mut receipts {
                // Before the filter, which may ask for a name in them; without one, only for what is listed.
                if q.is_none() && filter.secret.is_none() {
                    candidates.truncate(limit - items.len());
                }
                read += receipts.read(candidates.iter().map(|candidate| &candidate.event)).await?;
            }
            for AuditCandidate { key, chain, seq, event } in candidates {
                let released = receipts.as_ref().and_then(|receipts| receipts.released(&event));
                let versions = released.map(|released| released.as_slice());
                if !q.as_deref().is_none_or(|q| holds(&event, versions, q))
                    || !wanted.is_none_or(|wanted| is_about(&event, versions, wanted))
                {
                    continue;
                }
                let released = released.map(|released| narrow(released, wanted));
                let chain = data_encoding::HEXLOWER.encode(&chain);
                items.push(AuditItem { chain, seq, event, released, author: None });
                if items.len() == limit {
                    return Ok(Page { items, next: Some(self.cursor(&key)) });
                }
            }
            if is_past || !scanned.more {
                return Ok(Page { items, next: None });
            }
            // A short page with a cursor bounds the work of one request.
            if read >= MAX_READ {
                return Ok(Page { items, next: after.map(|after| self.cursor(&after)) });
            }
        }
    }
}

/// Returns the entries that the view contains and that may match, and whether one is older than all that match.
fn select(
    view: &AuditView,
    filter: &AuditFilter,
    found: Vec<Found<Entry>>,
) -> Result<(Vec<AuditCandidate>, bool), Failure> {
    let mut candidates = Vec::new();
    for Found { key, record } in found {
        // A key of another form is no entry, and must not hide those behind it.
        let Some((at, chain, seq)) = tables::entry_parts(&key) else { continue };
        // Entries are sorted by time, so that everything after this one is older.
        if filter.since.is_some_and(|since| at < since) {
            return Ok((candidates, true));
        }
        // What retention has left of an entry.
        if record.stub.is_some() {
            continue;
        }
        // Projected first, so that a filter finds nothing that the caller is not shown.
        if let Some(event) = view.project(record.read()?.event)
            && filter.matches(&event)
        {
            candidates.push(AuditCandidate { key, chain, seq, event });
        }
    }
    Ok((candidates, false))
}

impl AuditItem {
    fn author_id(&self) -> Option<MemberId> {
        // Not an id where the operator is the author, or nobody knows who is.
        self.event.details.get(&DetailKey::Author)?.as_str().parse().ok()
    }
}

impl AuditFilter {
    /// Whether the filter matches an event, apart from the names that it asks for.
    fn matches(&self, event: &AuditEvent) -> bool {
        let action = event.action.as_str();
        let is_action = |wanted: &str| {
            action.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Exact, unlike the search: "who did this" must not also find similar names.
        let is_actor = |wanted: &str| {
            [&event.actor.name, &event.actor.id].into_iter().flatten().any(|text| text.as_str() == wanted)
                || event.actor.kind.as_str() == wanted
        };
        self.action.as_deref().is_none_or(is_action)
            && (self.any_of.is_empty() || self.any_of.contains(&event.action))
            && self.actor.as_deref().is_none_or(is_actor)
    }
}

/// Whether `q`, in lower case, is a part of the action or of a name in an event or of what it released.
fn holds(event: &AuditEvent, released: Option<&[ReleasedVersion]>, q: &str) -> bool {
    let target = event.target.iter().filter_map(|target| target.name.as_ref());
    // Details are not searched: they hold addresses and counts, which would match by chance.
    let mut names = event.actor.name.iter().chain(target).map(AuditText::as_str);
    event.action.as_str().contains(q)
        || names.any(|name| name.to_lowercase().contains(q))
        || released.unwrap_or_default().iter().any(|version| version.contains(q))
}

/// Whether an entry is about a secret, or about a boot that received it.
fn is_about(event: &AuditEvent, released: Option<&[ReleasedVersion]>, wanted: &WantedSecret) -> bool {
    if let Some(versions) = released {
        return versions.iter().any(|version| wanted.is_version(version));
    }
    // A boot whose record is gone may have received it. Leaving it out would let a deletion hide it.
    if is_release(event) && event.details.contains_key(&DetailKey::Receipt) {
        return true;
    }
    let Some(target) = event.target.as_ref().filter(|target| target.kind == TargetKind::Secret) else {
        return false;
    };
    let env = event.details.get(&DetailKey::Env);
    [target.id.as_ref(), target.name.as_ref(), env]
        .into_iter()
        .flatten()
        .any(|text| wanted.is_text(text.as_str()))
}

/// The versions to list with an entry.
fn narrow(released: &Arc<Vec<ReleasedVersion>>, wanted: Option<&WantedSecret>) -> Arc<Vec<ReleasedVersion>> {
    match wanted {
        None => Arc::clone(released),
        Some(wanted) => {
            Arc::new(released.iter().filter(|version| wanted.is_version(version)).cloned().collect())
        }
    }
}
