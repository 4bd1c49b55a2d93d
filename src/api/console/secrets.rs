//! The Secrets page: what is there, counted, searched, filtered and grouped.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::layout::{Shell, show};
use super::secret_row::{Row, Tag, Tags, query, quoted};
use super::session::Visitor;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::name::{Category, MemberName, PluginName};
use crate::domain::role::Role;
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::store::{Cursor, PageAsk, SecretFilter, Statistics};

/// Rows of a page, and of one that is grouped: groups are of the rows that one page has.
const ROWS: usize = 50;
const GROUPED_ROWS: usize = 500;

#[derive(Template)]
#[template(path = "secrets.html", config = "src/api/console/askama.toml")]
struct SecretsPage {
    shell: Shell,
    ask: Asked,
    may_deposit: bool,
    statistics: Option<Numbers>,
    tags: Vec<Tag>,
    plugins: Vec<String>,
    groups: Vec<Group>,
    count: usize,
    filtered: bool,
    next: Option<String>,
    first: Option<String>,
}

/// The filter as the page shows it.
struct Asked {
    q: String,
    scope: &'static str,
    owner: String,
    kind: &'static str,
    plugin: String,
    category: String,
    auto_install: &'static str,
    grouped: bool,
}

struct Group {
    /// The plugin; empty without one, or when nothing is grouped.
    title: String,
    rows: Vec<Row>,
}

/// The statistics, and the bar of categories in hundredths of its width.
struct Numbers {
    all: Statistics,
    bar: Vec<Share>,
}

struct Share {
    tag: Tag,
    count: u64,
    start: u64,
    width: u64,
}

/// Parameters of the page.
pub(crate) struct Ask {
    filter: SecretFilter,
    cursor: Option<Cursor>,
    grouped: bool,
    only_rows: bool,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] =
        &["q", "scope", "owner", "plugin", "category", "type", "auto_install", "cursor", "group", "only"];

    fn read(query: &mut QueryReader) -> Self {
        let filter = SecretFilter {
            q: query.text("q", 200),
            scope: query.parsed::<ScopeKind>("scope"),
            owner: query.parsed::<MemberName>("owner"),
            plugin: query.parsed::<PluginName>("plugin"),
            category: query.parsed::<Category>("category"),
            kind: query.parsed::<Kind>("type"),
            auto_install: query.flag("auto_install"),
            ..SecretFilter::default()
        };
        Self {
            filter,
            cursor: query.cursor(),
            grouped: query.text("group", 10).is_some(),
            only_rows: query.text("only", 10).is_some(),
        }
    }
}

impl Ask {
    fn shown(&self) -> Asked {
        let filter = &self.filter;
        Asked {
            q: filter.q.clone().unwrap_or_default(),
            scope: filter.scope.map_or("", ScopeKind::as_str),
            owner: filter.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            kind: filter.kind.map_or("", Kind::as_str),
            plugin: filter.plugin.as_ref().map(ToString::to_string).unwrap_or_default(),
            category: filter.category.as_ref().map(ToString::to_string).unwrap_or_default(),
            auto_install: match filter.auto_install {
                Some(true) => "true",
                Some(false) => "false",
                None => "",
            },
            grouped: self.grouped,
        }
    }
}

impl Asked {
    fn link(&self, cursor: Option<String>) -> String {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let pairs = [
            ("q", text(&self.q)),
            ("scope", text(self.scope)),
            ("owner", text(&self.owner)),
            ("plugin", text(&self.plugin)),
            ("category", text(&self.category)),
            ("type", text(self.kind)),
            ("auto_install", text(self.auto_install)),
            ("group", self.grouped.then(|| "plugin".to_owned())),
            ("cursor", cursor),
        ];
        format!("/console/secrets{}", query(&pairs))
    }

    fn is_filtered(&self) -> bool {
        let texts =
            [&*self.q, self.scope, &self.owner, self.kind, &self.plugin, &self.category, self.auto_install];
        texts.iter().any(|text| !text.is_empty())
    }

    /// The words of a command line that lists the same.
    fn cli(&self) -> String {
        let mut line = "dropsafe list".to_owned();
        match self.scope {
            "shared" => line.push_str(" --shared"),
            "private" => line.push_str(" --private"),
            _ => {}
        }
        for (flag, text) in [("--plugin", &self.plugin), ("--category", &self.category)] {
            if !text.is_empty() {
                line.push_str(&format!(" {flag} {}", quoted(text)));
            }
        }
        if !self.q.is_empty() {
            line.push_str(&format!(" {}", quoted(&self.q)));
        }
        line
    }
}

/// The page.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Response, ApiError> {
    let store = api.store();
    let asked = ask.shown();
    let tags = Tags::of(&api, &visitor).await?;
    let limit = if ask.grouped { GROUPED_ROWS } else { ROWS };
    let first = ask.cursor.is_some().then(|| asked.link(None));
    let page_ask = PageAsk { cursor: ask.cursor, limit: Some(limit) };
    let found = store.list_secrets(&visitor.caller, &ask.filter, page_ask).await?;
    let rows: Vec<Row> = found.items.into_iter().map(|secret| Row::of(&visitor, &tags, secret)).collect();
    let (statistics, plugins) = if ask.only_rows {
        (None, Vec::new())
    } else {
        let statistics = store.statistics(&visitor.caller).await?;
        let plugins = statistics.by_plugin.keys().map(ToString::to_string).collect();
        (Some(Numbers::of(statistics, &tags)), plugins)
    };
    let page = SecretsPage {
        shell: Shell::new(&visitor, "Secrets", "/console/secrets")
            .cli([asked.cli(), "dropsafe set NAME --shared".into()]),
        may_deposit: visitor.caller.role() != Some(Role::Auditor),
        statistics,
        count: rows.len(),
        groups: grouped(rows, ask.grouped),
        filtered: asked.is_filtered(),
        next: found.next.map(|next| asked.link(Some(next.to_string()))),
        first,
        ask: asked,
        tags: tags.0,
        plugins,
    };
    Ok(show(StatusCode::OK, &page))
}

fn grouped(rows: Vec<Row>, by_plugin: bool) -> Vec<Group> {
    if !by_plugin {
        return vec![Group { title: String::new(), rows }];
    }
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.attributes.plugin.clone().unwrap_or_default()).or_default().push(row);
    }
    let without = groups.remove("");
    let named = groups.into_iter().map(|(title, rows)| Group { title, rows });
    named.chain(without.map(|rows| Group { title: "No plugin".to_owned(), rows })).collect()
}

impl Numbers {
    fn of(all: Statistics, tags: &Tags) -> Self {
        let mut counts: Vec<(Tag, u64)> =
            all.by_category.iter().map(|(name, count)| (tags.find(name.as_str()), *count)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.title.cmp(&b.0.title)));
        if all.without_category > 0 {
            let none = Tag {
                name: String::new(),
                title: "No category".to_owned(),
                colour: "none",
                description: String::new(),
            };
            counts.push((none, all.without_category));
        }
        let mut start = 0;
        let bar = counts
            .into_iter()
            .map(|(tag, count)| {
                let width = (count * 1000).div_ceil(all.total.max(1));
                start += width;
                Share { tag, count, start: start - width, width }
            })
            .collect();
        Self { all, bar }
    }
}
