//! How things are shown on several pages: times, categories, secrets in a row, addresses with a query.

use std::collections::BTreeMap;

use super::session::Visitor;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::domain::role::Action;
use crate::domain::secret::Scope;
use crate::domain::value::Kind;
use crate::store::Secret;
use crate::wire::paths;

/// A time: for machines, and to the minute for people.
#[derive(Clone)]
pub(crate) struct When {
    pub(crate) iso: String,
    pub(crate) text: String,
}

impl When {
    pub(crate) fn of(at: impl ToString) -> Self {
        let iso = at.to_string();
        let text = match (iso.get(..10), iso.get(11..16)) {
            (Some(day), Some(minute)) => format!("{day} {minute}"),
            _ => iso.clone(),
        };
        Self { iso, text }
    }
}

/// A query string with what is there, percent-encoded (RFC 3986 section 2.1); empty when nothing is.
pub(crate) fn query(pairs: &[(&str, Option<String>)]) -> String {
    paths::with_query("", pairs)
}

/// A word for a shell, quoted where it must be.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A category as it is shown.
#[derive(Clone)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) title: String,
    /// A class of the style sheet.
    pub(crate) colour: &'static str,
    pub(crate) description: String,
}

/// The categories of an organization by name.
pub(crate) struct Tags(pub(crate) Vec<Tag>, BTreeMap<String, usize>);

impl Tags {
    pub(crate) async fn of(api: &Api, visitor: &Visitor) -> Result<Self, ApiError> {
        let found = api.store().categories(&visitor.caller).await?;
        let tags: Vec<Tag> = found
            .into_iter()
            .map(|category| Tag {
                name: category.name.to_string(),
                title: category.title.to_string(),
                colour: category.colour.as_str(),
                description: category.description.to_string(),
            })
            .collect();
        let places = tags.iter().enumerate().map(|(at, tag)| (tag.name.clone(), at)).collect();
        Ok(Self(tags, places))
    }

    pub(crate) fn find(&self, name: &str) -> Tag {
        let found = self.1.get(name).and_then(|at| self.0.get(*at));
        found.cloned().unwrap_or_else(|| Tag {
            name: name.to_owned(),
            title: name.to_owned(),
            colour: "gray",
            description: String::new(),
        })
    }
}

/// A secret in a row of a table.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) env: String,
    pub(crate) scope: &'static str,
    pub(crate) owner: String,
    pub(crate) plugin: String,
    pub(crate) category: Option<Tag>,
    pub(crate) encrypted: bool,
    pub(crate) file: bool,
    /// The redacted form, or the value of a plain one.
    pub(crate) shown: String,
    pub(crate) auto_install: bool,
    pub(crate) version: String,
    /// Enough of it to tell two apart.
    pub(crate) short_version: String,
    pub(crate) updated: When,
    pub(crate) created: When,
    pub(crate) author: String,
    pub(crate) may_edit: bool,
    pub(crate) may_delete: bool,
}

/// The most of a plain value that a table shows, in characters.
const SHOWN: usize = 60;

impl Row {
    pub(crate) fn of(visitor: &Visitor, tags: &Tags, secret: Secret) -> Self {
        let Secret { meta, owner, author, plain, generation: _ } = secret;
        let text = |shown: Option<String>| shown.unwrap_or_default();
        let version = meta.version.to_string();
        Self {
            id: meta.id.to_string(),
            name: meta.name.to_string(),
            env: meta.env.to_string(),
            scope: meta.scope.kind().as_str(),
            owner: text(owner.filter(|_| meta.scope != Scope::Shared).map(|owner| owner.to_string())),
            plugin: text(meta.plugin.map(|plugin| plugin.to_string())),
            category: meta.category.map(|category| tags.find(category.as_str())),
            encrypted: meta.kind == Kind::Encrypted,
            file: meta.delivery == crate::domain::value::Delivery::File,
            shown: match plain {
                Some(plain) => shortened(&plain),
                None => text(meta.hint.map(|hint| hint.to_string())),
            },
            auto_install: meta.auto_install,
            short_version: version.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect(),
            version,
            updated: When::of(meta.updated_at),
            created: When::of(meta.created_at),
            author: text(author.map(|author| author.to_string())),
            may_edit: visitor.may(Action::EditSecret(meta.scope)),
            may_delete: visitor.may(Action::DeleteSecret(meta.scope)),
        }
    }

    /// What follows the command's name and the secret's on a command line.
    pub(crate) fn cli_scope(&self, visitor: &Visitor) -> String {
        let own = visitor.caller.member().is_some_and(|(_, name)| name.as_str() == self.owner);
        match (self.scope, own) {
            ("shared", _) => "--shared".to_owned(),
            (_, true) => "--private".to_owned(),
            (_, false) => format!("--owner {}", quoted(&self.owner)),
        }
    }
}

fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if text.chars().count() > SHOWN { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_an_address_or_a_command_line_stays_one_word() {
        let pairs = [("q", Some("a b&c=é".to_owned())), ("x", None), ("y", Some(String::new()))];
        assert_eq!(query(&pairs), "?q=a%20b%26c%3D%C3%A9&y=");
        assert_eq!(quoted("a-b"), "a-b");
        assert_eq!(quoted("it's; rm"), "'it'\\''s; rm'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        assert_eq!(When::of("2026-11-22T11:04:47.123Z").text, "2026-11-22 11:04");
        assert_eq!(When::of("x").text, "x");
    }
}
