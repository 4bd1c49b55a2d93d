//! A secret as a row of a table, with its category. A row never carries the value of an encrypted secret.

use std::collections::BTreeMap;

use super::display::{DisplayTime, shell_quote, truncate};
use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::domain::role::Action;
use crate::domain::secret::Scope;
use crate::domain::value::{Delivery, Kind};
use crate::store::Secret;
use crate::wire::AttributesRequest;

/// A category with its colour.
#[derive(Clone)]
pub(crate) struct CategoryTag {
    /// The name that forms and queries use; empty for "no category".
    pub(crate) name: String,
    /// The name that people read.
    pub(crate) title: String,
    /// The suffix of a class of the style sheet: `c-red`.
    pub(crate) colour: &'static str,
    /// The tooltip; empty if the category has none.
    pub(crate) description: String,
}

/// The categories of an organization, in their order and by name.
pub(crate) struct CategoryTags(pub(crate) Vec<CategoryTag>, BTreeMap<String, usize>);

impl CategoryTags {
    /// Loads the categories of the session's organization.
    pub(crate) async fn load(session: &BrowserSession) -> Result<Self, ApiError> {
        let categories = session.store().categories(&session.caller).await?;
        let tags: Vec<CategoryTag> = categories
            .into_iter()
            .map(|category| CategoryTag {
                name: category.name.to_string(),
                title: category.title.to_string(),
                colour: category.colour.as_str(),
                description: category.description.to_string(),
            })
            .collect();
        // A page looks up one tag per row, and an organization may have hundreds of categories.
        let positions = tags.iter().enumerate().map(|(at, tag)| (tag.name.clone(), at)).collect();
        Ok(Self(tags, positions))
    }

    /// Returns the tag of a category. A category that was deleted while a secret still names it gets a gray tag.
    pub(crate) fn lookup(&self, name: &str) -> CategoryTag {
        let found = self.1.get(name).and_then(|at| self.0.get(*at));
        found.cloned().unwrap_or_else(|| CategoryTag {
            name: name.to_owned(),
            title: name.to_owned(),
            colour: "gray",
            description: String::new(),
        })
    }
}

/// A secret in a row of a table. Absent texts are empty, which templates test with `is_empty`.
pub(crate) struct SecretRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) env: String,
    pub(crate) scope: &'static str,
    /// The member whose private secret it is; empty for a shared one.
    pub(crate) owner: String,
    pub(crate) attributes: AttributesRequest,
    pub(crate) category: Option<CategoryTag>,
    pub(crate) encrypted: bool,
    pub(crate) file: bool,
    /// The redacted form of an encrypted value, or the beginning of a plain one.
    pub(crate) preview: String,
    pub(crate) version: String,
    /// The end of `version`, enough to tell two versions apart.
    pub(crate) short_version: String,
    pub(crate) updated: DisplayTime,
    pub(crate) created: DisplayTime,
    pub(crate) author: String,
    pub(crate) may_edit: bool,
    pub(crate) may_delete: bool,
}

/// The longest preview of a plain value, in characters.
const MAX_PREVIEW: usize = 60;
/// Characters of a version that a table displays.
const SHORT_VERSION: usize = 6;

impl SecretRow {
    /// Describes a secret to the member who is logged in.
    pub(crate) fn new(session: &BrowserSession, tags: &CategoryTags, secret: Secret) -> Self {
        let Secret { meta, owner, author, plain, generation: _ } = secret;
        let text = |text: Option<String>| text.unwrap_or_default();
        let subject = session.caller.secret_subject(&meta);
        let version = meta.version.to_string();
        // Every version id begins with `ver_`, so the end tells two of them apart. Ids are ASCII, so slicing is safe.
        let short_version = version[version.len().saturating_sub(SHORT_VERSION)..].to_owned();
        Self {
            id: meta.id.to_string(),
            name: meta.name.to_string(),
            env: meta.env.to_string(),
            scope: meta.scope.kind().as_str(),
            // A shared secret belongs to the organization, not to the member who deposited it.
            owner: text(owner.filter(|_| meta.scope != Scope::Shared).map(|owner| owner.to_string())),
            attributes: AttributesRequest::from(&meta.attributes),
            category: meta.attributes.category.map(|category| tags.lookup(category.as_str())),
            encrypted: meta.kind == Kind::Encrypted,
            file: meta.delivery == Delivery::File,
            // Only values with a known public prefix have a redacted form, and an organization can keep none at all.
            preview: match plain {
                Some(plain) => truncate(&plain, MAX_PREVIEW),
                None => text(meta.hint.map(|hint| hint.to_string())),
            },
            short_version,
            version,
            updated: DisplayTime::new(meta.updated_at),
            created: DisplayTime::new(meta.created_at),
            author: text(author.map(|author| author.to_string())),
            may_edit: session.may(Action::EditSecret(subject)),
            may_delete: session.may(Action::DeleteSecret(subject)),
        }
    }

    /// Returns the flags that select this secret on a command line, after its name.
    pub(crate) fn cli_flags(&self, session: &BrowserSession) -> String {
        // Two owners can use the same name, so a name alone would be ambiguous.
        let own = session.caller.member().is_some_and(|(_, name)| name.as_str() == self.owner);
        match (self.scope, own) {
            ("shared", _) => "--shared".to_owned(),
            (_, true) => "--private".to_owned(),
            (_, false) => format!("--owner {}", shell_quote(&self.owner)),
        }
    }
}
