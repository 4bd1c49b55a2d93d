//! Reading the trail, newest first.

use crate::domain::audit::{AuditAction, AuditEvent, TargetKind};
use crate::domain::id::OrgId;
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::Entry;
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::keyspace;

/// Entries looked at for one page. A page that meets fewer than asked for within that is short.
const LOOK_AT: usize = 5000;

/// Which entries to list; absent fields admit all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Part of the action, the actor's or the target's name, without regard to case.
    pub q: Option<String>,
    /// The action, exactly, or its first part (`secret` admits `secret.create`).
    pub action: Option<String>,
    /// One of these actions; empty: any.
    pub any_of: Vec<AuditAction>,
    /// The actor's name or id.
    pub actor: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// An entry of the trail.
#[derive(Clone, Debug)]
pub struct AuditItem {
    /// The chain it stands in, hexadecimal.
    pub chain: String,
    /// Its place there, from 0.
    pub seq: u64,
    /// What happened.
    pub event: AuditEvent,
}

/// Whose entries are shown.
#[derive(Clone, Copy)]
enum View {
    Org(OrgId),
    Operator,
}

impl Store {
    /// The trail, newest first: its organization's for an admin or auditor; for the operator the whole store's, without
    /// names of secrets.
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
            // The upper end is exclusive: begin after all entries of `until` itself.
            None => filter.until.map(|until| keyspace::entries_before(until).to_vec()),
        };
        let q = filter.q.as_ref().map(|q| q.to_lowercase());
        let mut items = Vec::new();
        let mut looked_at = 0;
        loop {
            let scanned =
                self.records().scan(&keyspace::entries(), after.as_deref(), limit.clamp(100, 1000)).await?;
            let more = scanned.more;
            for found in scanned.found {
                let Some((at, chain, seq)) = keyspace::entry_parts(&found.key) else { continue };
                if filter.since.is_some_and(|since| at < since) {
                    return Ok(Page { items, next: None });
                }
                after = Some(found.key);
                looked_at += 1;
                if let Some(event) = view.show(found.record)
                    && filter.admits(&event, q.as_deref())
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
            if looked_at >= LOOK_AT {
                return Ok(Page { items, next: after.map(|after| self.cursor(&after)) });
            }
        }
    }
}

impl View {
    /// What is shown of an entry, if anything.
    fn show(self, entry: Entry) -> Option<AuditEvent> {
        let mut event = entry.event;
        match self {
            Self::Org(org) => (event.org == Some(org)).then_some(event),
            Self::Operator => {
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
    /// `q` is this filter's, in lower case.
    fn admits(&self, event: &AuditEvent, q: Option<&str>) -> bool {
        let action = event.action.as_str();
        let names = || {
            let target = event.target.iter().filter_map(|target| target.name.as_ref());
            event.actor.name.iter().chain(target).map(|text| text.as_str())
        };
        let is_action = |wanted: &str| {
            action.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_actor = |wanted: &str| {
            [&event.actor.name, &event.actor.id].into_iter().flatten().any(|text| text.as_str() == wanted)
                || event.actor.kind.as_str() == wanted
        };
        let holds = |q: &str| action.contains(q) || names().any(|name| name.to_lowercase().contains(q));
        self.action.as_deref().is_none_or(is_action)
            && (self.any_of.is_empty() || self.any_of.contains(&event.action))
            && self.actor.as_deref().is_none_or(is_actor)
            && q.is_none_or(holds)
    }
}
