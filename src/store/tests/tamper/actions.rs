//! What the owner of the byte store does to its rows.

use std::collections::{BTreeMap, BTreeSet};

use super::bytes::{Changes, Row, Rows};
use super::random::Random;
use crate::store::engine::audit::rows::is_logged;
use crate::store::engine::audit::{check, tables as log, verified};
use crate::store::engine::header;
use crate::store::engine::keys::GROUP;
use crate::store::tables::{
    catalog, enrolments, launchers, members, scope_stamps, secrets, sessions, store as store_tables, tickets,
    tokens, usage,
};

/// Kinds of changes, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    ReplayRow,
    ReplaySet,
    ReplayLogRow,
    RollBackSecrets,
    RollBackScope,
    RollBackTenant,
    RollBackStore,
    ResetRevisions,
    DeleteRow,
    PutBackRow,
    CopyRow,
    SwapInTable,
    SwapTables,
    FlipByte,
    TruncateEntries,
    TruncateLog,
}

/// Each as often as it is likely: more often where credentials or values are at stake.
const ACTIONS: [(Action, usize); 16] = [
    (Action::ReplayRow, 5),
    (Action::ReplaySet, 6),
    (Action::ReplayLogRow, 2),
    (Action::RollBackSecrets, 2),
    (Action::RollBackScope, 4),
    (Action::RollBackTenant, 2),
    (Action::RollBackStore, 2),
    (Action::ResetRevisions, 2),
    (Action::DeleteRow, 3),
    (Action::PutBackRow, 3),
    (Action::CopyRow, 2),
    (Action::SwapInTable, 2),
    (Action::SwapTables, 2),
    (Action::FlipByte, 2),
    (Action::TruncateEntries, 2),
    (Action::TruncateLog, 2),
];

/// Tables whose rows were consistent together: a ticket and its counts, a removed member and its tokens, the keys, a deleted secret
/// and what leads to it, sessions, enrolments, launchers, plugins.
const SETS: [&[u8]; 8] = [
    &[tickets::TICKETS.letter, tickets::TICKET_MEMBERS.letter, usage::RECORD_COUNTS.letter],
    &[members::MEMBERS.letter, members::MEMBER_NAMES.letter, members::REMOVALS.letter, tokens::TOKENS.letter],
    &[store_tables::KEYS.letter, store_tables::RUN.letter],
    &[
        secrets::SECRETS.letter,
        secrets::SECRET_NAMES.letter,
        secrets::SECRET_ENVS.letter,
        secrets::SECRET_SCOPES.letter,
        secrets::BODIES.letter,
        usage::USAGE.letter,
        scope_stamps::SCOPE_STAMPS.letter,
    ],
    &[sessions::SESSIONS.letter, sessions::SESSION_OWNERS.letter, tokens::TOKENS.letter],
    &[enrolments::ENROLMENTS.letter, members::MEMBERS.letter],
    &[members::MEMBERS.letter, launchers::LAUNCHER_TICKETS.letter, launchers::WITHDRAWALS.letter],
    &[catalog::PLUGINS.letter, catalog::PLUGIN_LIST.letter],
];

/// The log's own tables.
const LOG: [u8; 5] =
    [log::HEADS.letter, log::COVERS.letter, log::ENTRIES.letter, log::REGISTRY.letter, log::PRUNED.letter];

/// A change of rows.
pub(super) struct Tampering {
    pub(super) action: Action,
    pub(super) changes: Changes,
    /// The rows that it changes as they were.
    pub(super) before: Changes,
    /// The step whose rows it restores, all of them.
    pub(super) whole_step: Option<usize>,
    /// Whether the rows get the revisions that they had.
    pub(super) with_revisions: bool,
}

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ReplayRow => "replay a row",
            Self::ReplaySet => "replay a consistent set of rows",
            Self::ReplayLogRow => "replay a row of the log",
            Self::RollBackSecrets => "roll back the secrets of a scope",
            Self::RollBackScope => "roll back a scope and its stamp",
            Self::RollBackTenant => "roll back all rows but the log",
            Self::RollBackStore => "roll back the whole store",
            Self::ResetRevisions => "set back the revisions of rows",
            Self::DeleteRow => "delete a row",
            Self::PutBackRow => "put back a deleted row",
            Self::CopyRow => "copy a row to another key",
            Self::SwapInTable => "swap rows of a table",
            Self::SwapTables => "swap rows of two tables",
            Self::FlipByte => "flip a byte",
            Self::TruncateEntries => "truncate entries of the log",
            Self::TruncateLog => "truncate the log, with its heads",
        }
    }
}

impl Tampering {
    /// Chooses a change that changes something.
    pub(super) fn choose(random: &mut Random, now: &Rows, past: &[Rows], can_set_revisions: bool) -> Self {
        loop {
            let total: usize = ACTIONS.iter().map(|(_, weight)| weight).sum();
            let mut at = random.below(total);
            let chosen = ACTIONS.iter().find(|(_, weight)| {
                let is_here = at < *weight;
                at = at.saturating_sub(*weight);
                is_here
            });
            let action = chosen.unwrap().0;
            let step = random.below(past.len());
            let mut changes = Chooser { random: &mut *random, now, then: &past[step] }.changes(action);
            // Rows that stay as they are do not count.
            let sets_revisions = action == Action::ResetRevisions;
            changes.retain(|key, row| {
                value(row.as_ref()) != value(now.get(key)) || sets_revisions && row.as_ref() != now.get(key)
            });
            if changes.is_empty() || (sets_revisions && !can_set_revisions) {
                continue;
            }
            let before = changes.keys().map(|key| (key.clone(), now.get(key).cloned())).collect();
            let mut after = now.clone();
            apply(&mut after, &changes);
            let whole_step = past.iter().rposition(|rows| has_same_values(rows, &after));
            let with_revisions = sets_revisions || random.percent(50);
            return Self { action, changes, before, whole_step, with_revisions };
        }
    }

    pub(super) fn touches(&self, letter: u8) -> bool {
        self.changes.keys().any(|key| key.first() == Some(&letter))
    }

    /// Whether it changes no value, or only rows that nothing depends on: when to verify next, from where on, and which chains to
    /// anchor again.
    pub(super) fn is_harmless(&self) -> bool {
        let harmless = [check::CHECK.letter, verified::VERIFIED.letter, log::COVERS.letter];
        let is_same = |key: &Vec<u8>, row: &Option<Row>| {
            value(row.as_ref()) == self.before.get(key).and_then(|row| value(row.as_ref()))
        };
        // Beside the header, no row of this letter is read after a store was made.
        let is_unread = |key: &[u8]| key[0] == header::HEADER[0] && key != header::HEADER;
        self.changes
            .iter()
            .all(|(key, row)| harmless.contains(&key[0]) || is_unread(key) || is_same(key, row))
    }

    /// The tables that it changes, for people.
    pub(super) fn tables(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.changes.keys() {
            *counts.entry(crate::store::tables::name_of(key[0])).or_default() += 1;
        }
        counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }
}

fn value(row: Option<&Row>) -> Option<&Vec<u8>> {
    row.map(|(value, _)| value)
}

fn apply(rows: &mut Rows, changes: &Changes) {
    for (key, row) in changes {
        match row {
            Some(row) => drop(rows.insert(key.clone(), row.clone())),
            None => drop(rows.remove(key)),
        }
    }
}

fn has_same_values(one: &Rows, other: &Rows) -> bool {
    let of_verification = |key: &[u8]| [check::CHECK.letter, verified::VERIFIED.letter].contains(&key[0]);
    let values = |rows: &Rows| -> Vec<_> {
        let rows = rows.iter().filter(|(key, _)| !of_verification(key));
        rows.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    };
    values(one) == values(other)
}

struct Chooser<'a> {
    random: &'a mut Random,
    now: &'a Rows,
    then: &'a Rows,
}

impl Chooser<'_> {
    fn changes(&mut self, action: Action) -> Changes {
        match action {
            Action::ReplayRow => {
                let different = self.restored(is_logged);
                self.one_of(different.into_iter().filter(|(_, row)| row.is_some()).collect())
            }
            Action::ReplaySet => {
                let set = SETS[self.random.below(SETS.len())];
                self.restored(|key| set.contains(&key[0]))
            }
            Action::ReplayLogRow => {
                let different = self.restored(|key| !is_logged(key));
                self.one_of(different)
            }
            Action::RollBackSecrets | Action::RollBackScope => self.roll_back_scope(action),
            Action::RollBackTenant => self.restored(is_logged),
            Action::RollBackStore => self.restored(|_| true),
            Action::ResetRevisions => self.reset_revisions(),
            Action::DeleteRow => {
                let keys = self.now.keys().map(|key| (key.clone(), None)).collect();
                self.one_of(keys)
            }
            Action::PutBackRow => {
                let gone = self.then.iter().filter(|(key, _)| !self.now.contains_key(*key));
                let gone = gone.map(|(key, row)| (key.clone(), Some(row.clone()))).collect();
                self.one_of(gone)
            }
            Action::CopyRow => self.copy(),
            Action::SwapInTable => self.swap(true),
            Action::SwapTables => self.swap(false),
            Action::FlipByte => self.flip(),
            Action::TruncateEntries => {
                let count = 1 + self.random.below(4);
                let entries = self.now.keys().filter(|key| key[0] == log::ENTRIES.letter);
                // Keys sort newest first.
                entries.take(count).map(|key| (key.clone(), None)).collect()
            }
            Action::TruncateLog => self.restored(|key| LOG.contains(&key[0])),
        }
    }

    /// The rows that match, as they were.
    fn restored(&self, matches: impl Fn(&[u8]) -> bool) -> Changes {
        let keys: BTreeSet<&Vec<u8>> = self.now.keys().chain(self.then.keys()).collect();
        let keys = keys.into_iter().filter(|key| matches(key));
        let keys = keys.filter(|key| value(self.now.get(*key)) != value(self.then.get(*key)));
        keys.map(|key| (key.clone(), self.then.get(key).cloned())).collect()
    }

    /// One of these, of a table that is chosen first, so that tables with few rows are as likely.
    fn one_of(&mut self, changes: Changes) -> Changes {
        let letters: Vec<u8> =
            changes.keys().map(|key| key[0]).collect::<BTreeSet<_>>().into_iter().collect();
        let Some(letter) = self.random.pick(&letters) else { return Changes::new() };
        let of_table: Vec<_> = changes.iter().filter(|(key, _)| key[0] == *letter).collect();
        let chosen = self.random.pick(&of_table).copied();
        chosen.map(|(key, row)| (key.clone(), row.clone())).into_iter().collect()
    }

    fn key(&mut self, letter: Option<u8>) -> Option<Vec<u8>> {
        let keys = self.now.keys().filter(|key| letter.is_none_or(|letter| key[0] == letter));
        let found = self.one_of(keys.map(|key| (key.clone(), None)).collect());
        found.into_keys().next()
    }

    fn roll_back_scope(&mut self, action: Action) -> Changes {
        let stamps = self.restored(|key| key[0] == scope_stamps::SCOPE_STAMPS.letter);
        let Some((stamp, row)) = self.one_of(stamps).into_iter().next() else { return Changes::new() };
        let is_of_scope =
            |key: &[u8]| key[0] == secrets::SECRETS.letter && key.get(1..GROUP) == stamp.get(1..GROUP);
        let mut changes = self.restored(is_of_scope);
        if action == Action::RollBackScope {
            changes.insert(stamp, row);
        }
        changes
    }

    /// The rows with the revisions that they had, all of them or those of the stamps.
    fn reset_revisions(&mut self) -> Changes {
        let of_all = self.random.percent(50);
        let both = self.now.iter().filter_map(|(key, (value, _))| {
            let (_, revision) = self.then.get(key)?;
            Some((key.clone(), Some((value.clone(), *revision))))
        });
        both.filter(|(key, _)| of_all || key[0] == scope_stamps::SCOPE_STAMPS.letter).collect()
    }

    /// The value of a row at the key of another, or at a key of the same table that has none.
    fn copy(&mut self) -> Changes {
        let Some(from) = self.key(None) else { return Changes::new() };
        let row = self.now.get(&from).map(|(value, _)| (value.clone(), 0));
        let to = if self.random.percent(50) {
            self.key(Some(from[0]))
        } else {
            let mut new = from.clone();
            let last = new.len() - 1;
            new[last] ^= 1 + u8::try_from(self.random.below(255)).unwrap();
            // The key of a single row has no other key beside it.
            (new.len() > 1).then_some(new)
        };
        to.map(|to| (to, row)).into_iter().collect()
    }

    fn swap(&mut self, within_table: bool) -> Changes {
        let Some(one) = self.key(None) else { return Changes::new() };
        let Some(other) = self.key(within_table.then_some(one[0])) else { return Changes::new() };
        let row = |key: &[u8]| self.now.get(key).map(|(value, _)| (value.clone(), 0));
        let rows = (row(&other), row(&one));
        [(one, rows.0), (other, rows.1)].into()
    }

    fn flip(&mut self) -> Changes {
        let Some(key) = self.key(None) else { return Changes::new() };
        let mut value = self.now[&key].0.clone();
        if let Some(at) = (!value.is_empty()).then(|| self.random.below(value.len())) {
            value[at] ^= 1 << self.random.below(8);
        }
        // With the header too, which is no record.
        debug_assert!(key != header::HEADER || !value.is_empty());
        [(key, Some((value, 0)))].into()
    }
}
