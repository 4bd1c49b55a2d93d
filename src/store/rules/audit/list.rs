//! Reading the audit log, newest first.

use crate::domain::audit::{AuditAction, AuditEvent, TargetKind};
use crate::domain::id::OrgId;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::tables;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;

/// Entries read for one page, at most. A page that finds too few among them is short.
const MAX_READ: usize = 5000;

/// Which entries to list. An absent field matches all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Part of the action, or of the actor's or the target's name, in any case.
    pub q: Option<String>,
    /// The action, or its first part (`secret` matches `secret.create`).
    pub action: Option<String>,
    /// One of these actions. Empty: any action.
    pub any_of: Vec<AuditAction>,
    /// The actor's name or id.
    pub actor: Option<String>,
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
}

/// Which entries a caller sees.
#[derive(Clone, Copy)]
enum View {
    Org(OrgId),
    Operator,
}

impl Store {
    /// Lists the audit log, newest first: the organization's for an admin or auditor; the whole store's for the operator,
    /// without names of secrets.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: PageAsk,
    ) -> Result<Page<AuditItem>, Error> {
        let (view, action) = match caller.org() {
            Some((org, _)) => (View::Org(org), Action::ReadAudit),
            None => (View::Operator, Action::ReadStoreAudit),
        };
        self.permit(caller, action, AuditAction::AuditRead, None).await?;

        let limit = page.limit();
        let mut after = match &page.cursor {
            Some(cursor) => Some(self.read_cursor(cursor)?),
            // The upper end is exclusive, so that the list starts after all entries of `until` itself.
            None => filter.until.map(|until| tables::entries_before(until).to_vec()),
        };
        let q = filter.q.as_ref().map(|q| q.to_lowercase());
        let mut items = Vec::new();
        let mut read = 0;
        loop {
            let scanned =
                self.records().scan(&tables::entries(), after.as_deref(), limit.clamp(100, 1000)).await?;
            let more = scanned.more;
            for found in scanned.found {
                let Some((at, chain, seq)) = tables::entry_parts(&found.key) else { continue };
                // Entries are sorted by time, so that everything after this one is older.
                if filter.since.is_some_and(|since| at < since) {
                    return Ok(Page { items, next: None });
                }
                after = Some(found.key);
                read += 1;
                if let Some(event) = view.project(found.record.read()?.event)
                    && filter.matches(&event, q.as_deref())
                {
                    let chain = data_encoding::HEXLOWER.encode(&chain);
                    items.push(AuditItem { chain, seq, event });
                    if items.len() == limit {
                        return Ok(Page { items, next: after.map(|after| self.cursor(&after)) });
                    }
                }
            }
            if !more {
                return Ok(Page { items, next: None });
            }
            // A short page with a cursor bounds the work of one request.
            if read >= MAX_READ {
                return Ok(Page { items, next: after.map(|after| self.cursor(&after)) });
            }
        }
    }
}

impl View {
    /// The part of an entry that this view contains. `None` if it contains nothing of it.
    fn project(self, mut event: AuditEvent) -> Option<AuditEvent> {
        match self {
            Self::Org(org) => (event.org == Some(org)).then_some(event),
            Self::Operator => {
                // The operator runs the store and has no part in the organizations: their secrets' names are theirs.
                if let Some(target) = &mut event.target
                    && target.kind == TargetKind::Secret
                {
                    target.name = None;
                    event.details.remove(&crate::domain::audit::DetailKey::Env);
                }
                Some(event)
            }
        }
    }
}

impl AuditFilter {
    /// Whether the filter matches an event. `q` is the filter's, in lower case.
    fn matches(&self, event: &AuditEvent, q: Option<&str>) -> bool {
        let action = event.action.as_str();
        let names = || {
            let target = event.target.iter().filter_map(|target| target.name.as_ref());
            event.actor.name.iter().chain(target).map(|text| text.as_str())
        };
        let is_action = |wanted: &str| {
            action.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Exact, unlike the search: "who did this" must not also find similar names.
        let is_actor = |wanted: &str| {
            [&event.actor.name, &event.actor.id].into_iter().flatten().any(|text| text.as_str() == wanted)
                || event.actor.kind.as_str() == wanted
        };
        // Details are not searched: they hold addresses and counts, which would match by chance.
        let holds = |q: &str| action.contains(q) || names().any(|name| name.to_lowercase().contains(q));
        self.action.as_deref().is_none_or(is_action)
            && (self.any_of.is_empty() || self.any_of.contains(&event.action))
            && self.actor.as_deref().is_none_or(is_actor)
            && q.is_none_or(holds)
    }
}
