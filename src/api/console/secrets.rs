//! The Secrets page: a list that can be searched, filtered and grouped, with statistics.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;

use super::display::{encode_query, shell_quote};
use super::layout::{Layout, render};
use super::secret_row::{CategoryTag, CategoryTags, SecretRow};
use super::session::{BrowserSession, PageResult};
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::name::{Category, MemberName, PluginName};
use crate::domain::role::Role;
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::store::{Cursor, PageAsk, SecretFilter, Statistics};

/// Rows per page.
const ROWS: usize = 50;
/// Rows per page when they are grouped: a group only contains rows of the same page, so pages are longer.
const GROUPED_ROWS: usize = 500;

/// The list with its filter and statistics.
#[derive(Template)]
#[template(path = "secrets.html", config = "src/api/console/askama.toml")]
struct SecretsPage {
    layout: Layout,
    filter: FilterFields,
    may_deposit: bool,
    /// `None` if a script requested the rows only.
    statistics: Option<StatisticsBar>,
    tags: Vec<CategoryTag>,
    /// The plugins to filter by.
    plugins: Vec<String>,
    groups: Vec<SecretGroup>,
    /// Rows on this page, in all groups.
    count: usize,
    filtered: bool,
    /// The address of the next page, if there is one.
    next: Option<String>,
    /// The address of the first page, on any other.
    first: Option<String>,
}

/// The filter as texts of its fields; empty where nothing is chosen.
struct FilterFields {
    q: String,
    scope: &'static str,
    owner: String,
    kind: &'static str,
    plugin: String,
    category: String,
    auto_install: &'static str,
    grouped: bool,
}

/// The secrets of one plugin, or all of them.
struct SecretGroup {
    /// The plugin's name; empty if the page is not grouped.
    title: String,
    rows: Vec<SecretRow>,
}

/// The statistics, and a bar of all categories that is 1000 units wide.
struct StatisticsBar {
    all: Statistics,
    shares: Vec<CategoryShare>,
}

/// The part of the bar that is one category.
struct CategoryShare {
    tag: CategoryTag,
    count: u64,
    /// Where it begins, in thousandths of the bar.
    start: u64,
    width: u64,
}

/// The query of the page.
pub(crate) struct SecretsQuery {
    filter: SecretFilter,
    cursor: Option<Cursor>,
    /// Whether rows are grouped by plugin.
    grouped: bool,
    /// Whether `live.js` asks while somebody types: it exchanges the rows and nothing else.
    only_rows: bool,
}

impl FromQuery for SecretsQuery {
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

impl FilterFields {
    fn new(query: &SecretsQuery) -> Self {
        let filter = &query.filter;
        Self {
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
            grouped: query.grouped,
        }
    }

    /// Returns the address of another page of the same list.
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
        format!("/console/secrets{}", encode_query(&pairs))
    }

    /// Returns whether a filter is set, so that an empty list does not claim that there are no secrets.
    fn is_filtered(&self) -> bool {
        let texts =
            [&*self.q, self.scope, &self.owner, self.kind, &self.plugin, &self.category, self.auto_install];
        texts.iter().any(|text| !text.is_empty())
    }

    /// Returns the command that prints the same list.
    fn cli(&self) -> String {
        // The command has no flag for the other filters. A longer list is better than a command that fails.
        let mut line = "dropsafe list".to_owned();
        match self.scope {
            "shared" => line.push_str(" --shared"),
            "private" => line.push_str(" --private"),
            _ => {}
        }
        for (flag, text) in [("--plugin", &self.plugin), ("--category", &self.category)] {
            if !text.is_empty() {
                line.push_str(&format!(" {flag} {}", shell_quote(text)));
            }
        }
        if !self.q.is_empty() {
            line.push_str(&format!(" {}", shell_quote(&self.q)));
        }
        line
    }
}

/// Displays the list.
pub(crate) async fn show_secrets(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<SecretsQuery>,
) -> PageResult {
    let store = session.store();
    let filter = FilterFields::new(&query);
    let tags = CategoryTags::load(&session).await?;
    let limit = if query.grouped { GROUPED_ROWS } else { ROWS };
    // There is no link to the previous page, because the store's cursors lead forwards only.
    let first = query.cursor.is_some().then(|| filter.link(None));
    let ask = PageAsk { cursor: query.cursor, limit: Some(limit) };
    let found = store.list_secrets(&session.caller, &query.filter, ask).await?;
    let rows: Vec<SecretRow> =
        found.items.into_iter().map(|secret| SecretRow::new(&session, &tags, secret)).collect();
    // `live.js` takes only the rows from this response, so per letter typed nothing else is worth computing.
    let (statistics, plugins) = if query.only_rows {
        (None, Vec::new())
    } else {
        let statistics = store.statistics(&session.caller).await?;
        let plugins = statistics.by_plugin.keys().map(ToString::to_string).collect();
        (Some(StatisticsBar::new(statistics, &tags)), plugins)
    };
    let page = SecretsPage {
        layout: Layout::new(&session, "Secrets", "/console/secrets")
            .with_cli([filter.cli(), "dropsafe set NAME --shared".into()]),
        may_deposit: session.caller.role() != Some(Role::Auditor),
        statistics,
        count: rows.len(),
        groups: group_rows(rows, query.grouped),
        filtered: filter.is_filtered(),
        next: found.next.map(|next| filter.link(Some(next.to_string()))),
        first,
        filter,
        tags: tags.0,
        plugins,
    };
    Ok(render(StatusCode::OK, &page))
}

/// Sorts rows into groups, one per plugin.
fn group_rows(rows: Vec<SecretRow>, by_plugin: bool) -> Vec<SecretGroup> {
    if !by_plugin {
        return vec![SecretGroup { title: String::new(), rows }];
    }
    let mut groups: BTreeMap<String, Vec<SecretRow>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.attributes.plugin.clone().unwrap_or_default().to_string()).or_default().push(row);
    }
    // The empty name sorts first, but the rest belongs at the end.
    let without = groups.remove("");
    let named = groups.into_iter().map(|(title, rows)| SecretGroup { title, rows });
    named.chain(without.map(|rows| SecretGroup { title: "No plugin".to_owned(), rows })).collect()
}

impl StatisticsBar {
    /// Computes the bar: the largest category first, and the secrets without one last.
    fn new(all: Statistics, tags: &CategoryTags) -> Self {
        let mut counts: Vec<(CategoryTag, u64)> =
            all.by_category.iter().map(|(name, count)| (tags.lookup(name.as_str()), *count)).collect();
        // Equal counts are ordered by title, so that the bar looks the same each time.
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.title.cmp(&b.0.title)));
        // Last, at any size: the bar goes from sorted secrets to unsorted ones.
        if all.without_category > 0 {
            let none = CategoryTag {
                name: String::new(),
                title: "No category".to_owned(),
                colour: "none",
                description: String::new(),
            };
            counts.push((none, all.without_category));
        }
        let mut start = 0;
        let shares = counts
            .into_iter()
            .map(|(tag, count)| {
                // Rounded up, so that one secret among thousands is still a visible line. The SVG cuts off the excess.
                let width = (count * 1000).div_ceil(all.total.max(1));
                start += width;
                CategoryShare { tag, count, start: start - width, width }
            })
            .collect();
        Self { all, shares }
    }
}
