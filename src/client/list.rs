//! Lists, page by page, and what they are narrowed to.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::api_client::Client;
use super::error::{CallError, CallRefusal, ResponseFault};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::wire::{PageView, paths};

/// The items asked for at once: the most that a store gives.
const PAGE: usize = 500;

/// Which secrets; all that are visible unless narrowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretListFilter {
    /// With exactly this name or exported name.
    pub name: Option<String>,
    /// With this in either, without regard to case.
    pub q: Option<String>,
    /// Shared or private.
    pub scope: Option<ScopeKind>,
    /// Private ones of this member.
    pub owner: Option<String>,
    /// Encrypted or plain.
    pub kind: Option<Kind>,
    /// Of this plugin.
    pub plugin: Option<String>,
    /// Of this category.
    pub category: Option<String>,
}

/// Which boots; all that are visible unless narrowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct BootListFilter {
    /// For this member.
    pub member: Option<String>,
    /// By the ticket with this id.
    pub ticket: Option<String>,
    /// That were given this secret: its id, name or exported name.
    pub secret: Option<String>,
    /// Only those that are not known to be over.
    pub live: bool,
}

/// Which entries of the audit trail; all that are visible unless narrowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditListFilter {
    /// With this in the action's, actor's or target's name, without regard to case.
    pub q: Option<String>,
    /// Of this action, or of this kind of action (`secret`).
    pub action: Option<String>,
    /// By this actor: name or id.
    pub actor: Option<String>,
    /// From this time on, RFC 3339.
    pub since: Option<String>,
    /// Before this time, RFC 3339.
    pub until: Option<String>,
}

/// A list that is fetched as it is read.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    path: String,
    cursor: PageCursor,
    /// Whether the list takes neither limit nor cursor: it is short by its nature.
    whole: bool,
    items: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum PageCursor {
    Start,
    At(String),
    End,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(crate) fn of(path: &str, filter: &[(&str, Option<&str>)]) -> Self {
        Self {
            path: paths::with_query(path, filter),
            cursor: PageCursor::Start,
            whole: false,
            items: PhantomData,
        }
    }

    /// A list that comes in one page.
    pub(crate) fn in_one_page(self) -> Self {
        Self { whole: true, ..self }
    }

    /// The next page, or none after the last. A page may be empty and not be the last.
    pub(crate) async fn next(&mut self, client: &mut Client) -> Result<Option<Vec<T>>, CallError> {
        let limit = PAGE.to_string();
        let path = match &self.cursor {
            PageCursor::Start if self.whole => self.path.clone(),
            PageCursor::Start => paths::with_query(&self.path, &[("limit", Some(&limit))]),
            PageCursor::At(cursor) => {
                paths::with_query(&self.path, &[("limit", Some(&limit)), ("cursor", Some(cursor))])
            }
            PageCursor::End => return Ok(None),
        };
        let page: PageView<T> = client.get(path).await?;
        self.cursor = match (page.next, &self.cursor) {
            (None, _) => PageCursor::End,
            // It would go on for ever.
            (Some(next), PageCursor::At(before)) if next == *before => {
                let to = client.address().to_owned();
                return Err(CallRefusal::BadResponse { to, why: ResponseFault::Unreadable }.into());
            }
            (Some(next), _) => PageCursor::At(next),
        };
        Ok(Some(page.items))
    }

    /// All that is left.
    pub(crate) async fn all(mut self, client: &mut Client) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        while let Some(page) = self.next(client).await? {
            all.extend(page);
        }
        Ok(all)
    }
}

impl SecretListFilter {
    pub(crate) fn pairs(&self) -> [(&'static str, Option<&str>); 7] {
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
    pub(crate) fn pairs(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("member", self.member.as_deref()),
            ("ticket", self.ticket.as_deref()),
            ("secret", self.secret.as_deref()),
            ("live", self.live.then_some("true")),
        ]
    }
}

impl AuditListFilter {
    pub(crate) fn pairs(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("q", self.q.as_deref()),
            ("action", self.action.as_deref()),
            ("actor", self.actor.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_what_is_set_and_nothing_that_could_end_it() {
        let filter = SecretListFilter {
            name: Some("a&b=c d#\r\n\u{e9}".into()),
            scope: Some(ScopeKind::Shared),
            ..<_>::default()
        };
        let path = paths::with_query("/v1/secrets", &filter.pairs());
        assert_eq!(path, "/v1/secrets?name=a%26b%3Dc%20d%23%0D%0A%C3%A9&scope=shared");
        assert_eq!(paths::with_query(&path, &[("limit", Some("5"))]), format!("{path}&limit=5"));
        assert_eq!(paths::with_query("/v1/boots", &BootListFilter::default().pairs()), "/v1/boots");
    }
}
