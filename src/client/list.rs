//! Lists, fetched page by page, and their filters.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::api_client::Client;
use super::error::{CallError, CallRefusal, ResponseFault};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::wire::{PageView, paths};

/// Items of a page: the most that a store returns.
const PAGE_SIZE: usize = 500;

/// Filters secrets. The default selects all that the caller may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretListFilter {
    /// Exactly this name or exported name.
    pub name: Option<String>,
    /// Text in either name, ignoring case.
    pub q: Option<String>,
    pub scope: Option<ScopeKind>,
    /// Private secrets of this member.
    pub owner: Option<String>,
    pub kind: Option<Kind>,
    pub plugin: Option<String>,
    pub category: Option<String>,
}

/// Filters boots. The default selects all that the caller may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct BootListFilter {
    pub member: Option<String>,
    /// The id of the ticket.
    pub ticket: Option<String>,
    /// Boots that received this secret: its id, name or exported name.
    pub secret: Option<String>,
    /// Only active boots.
    pub live: bool,
}

/// Which holders to ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct HolderQuery {
    /// The secret: its id, name or exported name.
    pub secret: String,
    /// Only boots that hold an outdated version.
    pub outdated: bool,
}

/// Filters entries of the audit log. The default selects all that the caller may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditListFilter {
    /// Text in the name of the action, actor or target, ignoring case.
    pub q: Option<String>,
    /// An action (`secret.create`), or all actions on one kind of target (`secret`).
    pub action: Option<String>,
    /// The actor's name or id.
    pub actor: Option<String>,
    /// A secret's exported name, name or id.
    pub secret: Option<String>,
    /// RFC 3339; inclusive.
    pub since: Option<String>,
    /// RFC 3339; exclusive.
    pub until: Option<String>,
}

/// A list whose pages are fetched when they are needed.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    path: String,
    cursor: PageCursor,
    paged: bool,
    items: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum PageCursor {
    Start,
    At(String),
    End,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(crate) fn new(path: &str, filter: &[(&str, Option<&str>)]) -> Self {
        Self {
            path: paths::with_query(path, filter),
            cursor: PageCursor::Start,
            paged: true,
            items: PhantomData,
        }
    }

    /// Marks the list as short: its route has neither limit nor cursor.
    pub(crate) fn unpaged(self) -> Self {
        Self { paged: false, ..self }
    }

    /// Fetches the next page. `None` after the last one. A page before the last one may be empty.
    pub(crate) async fn next(&mut self, client: &mut Client) -> Result<Option<Vec<T>>, CallError> {
        let limit = PAGE_SIZE.to_string();
        let path = match &self.cursor {
            // The store refuses a parameter that a route does not have.
            PageCursor::Start if !self.paged => self.path.clone(),
            PageCursor::Start => paths::with_query(&self.path, &[("limit", Some(&limit))]),
            PageCursor::At(cursor) => {
                paths::with_query(&self.path, &[("limit", Some(&limit)), ("cursor", Some(cursor))])
            }
            PageCursor::End => return Ok(None),
        };
        let page: PageView<T> = client.get(path).await?;
        self.cursor = match (page.next, &self.cursor) {
            (None, _) => PageCursor::End,
            // The same cursor twice would repeat the same page forever.
            (Some(next), PageCursor::At(before)) if next == *before => {
                let address = client.address().to_owned();
                return Err(CallRefusal::BadResponse { address, why: ResponseFault::Unreadable }.into());
            }
            (Some(next), _) => PageCursor::At(next),
        };
        Ok(Some(page.items))
    }

    /// Fetches all remaining pages.
    pub(crate) async fn all(mut self, client: &mut Client) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        while let Some(page) = self.next(client).await? {
            all.extend(page);
        }
        Ok(all)
    }
}

impl SecretListFilter {
    pub(crate) fn query_pairs(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("name", self.name.as_deref()),
            ("q", self.q.as_deref()),
            ("scope", self.scope.map(ScopeKind::as_str)),
            ("owner", self.owner.as_deref()),
            ("type", self.kind.map(Kind::as_str)),
            ("plugin", self.plugin.as_deref()),
            ("category", self.category.as_deref()),
        ]
    }
}

impl BootListFilter {
    pub(crate) fn query_pairs(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("member", self.member.as_deref()),
            ("ticket", self.ticket.as_deref()),
            ("secret", self.secret.as_deref()),
            ("live", self.live.then_some("true")),
        ]
    }
}

impl HolderQuery {
    pub(crate) fn query_pairs(&self) -> [(&'static str, Option<&str>); 1] {
        [("outdated", self.outdated.then_some("true"))]
    }
}

impl AuditListFilter {
    pub(crate) fn query_pairs(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("q", self.q.as_deref()),
            ("action", self.action.as_deref()),
            ("actor", self.actor.as_deref()),
            ("secret", self.secret.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_only_the_filters_that_are_set_and_encodes_them() {
        let filter = SecretListFilter {
            name: Some("a&b=c d#\r\n\u{e9}".into()),
            scope: Some(ScopeKind::Shared),
            ..<_>::default()
        };
        let path = paths::with_query("/v1/secrets", &filter.query_pairs());
        assert_eq!(path, "/v1/secrets?name=a%26b%3Dc%20d%23%0D%0A%C3%A9&scope=shared");
        assert_eq!(paths::with_query(&path, &[("limit", Some("5"))]), format!("{path}&limit=5"));
        assert_eq!(paths::with_query("/v1/boots", &BootListFilter::default().query_pairs()), "/v1/boots");
    }
}
