//! The counts of a campaign: what was done, and where it was noticed first.

use std::collections::BTreeMap;
use std::fmt;

use super::actions::Action;

/// Where a change was noticed first, in the order in which it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detection {
    /// An operation other than a boot was refused.
    AtOnce,
    /// A boot was refused.
    AtBoot,
    /// A server did not start, did not unlock, or found its heads of the log not continued.
    AtStart,
    /// The background check.
    ByCheck,
    /// A checkpoint that was exported before.
    ByCheckpoint,
    /// Nothing noticed it.
    Never,
    /// It changed nothing that anything depends on.
    Harmless,
}

/// Whether the store was in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreState {
    Running,
    Stopped,
}

#[derive(Clone, Default)]
struct Tally {
    tamperings: u32,
    rows: usize,
    detections: BTreeMap<Detection, u32>,
    /// How often the check alone would have found it.
    found_by_check: u32,
    /// How often something that was ended, spent or replaced worked again until the check.
    worked_until_check: u32,
}

#[derive(Default)]
pub(super) struct Counts {
    tallies: BTreeMap<(&'static str, StoreState, Action), Tally>,
    /// Boots whose values were compared with the model.
    pub(super) boots: u64,
    /// What must not happen.
    pub(super) defects: Vec<String>,
}

/// The result of one change.
pub(super) struct TamperResult {
    pub(super) action: Action,
    pub(super) rows: usize,
    pub(super) first: Detection,
    pub(super) is_found_by_check: bool,
    pub(super) worked_until_check: bool,
}

impl Counts {
    pub(super) fn add(&mut self, place: &'static str, state: StoreState, result: &TamperResult) {
        let tally = self.tallies.entry((place, state, result.action)).or_default();
        tally.tamperings += 1;
        tally.rows += result.rows;
        *tally.detections.entry(result.first).or_default() += 1;
        tally.found_by_check += u32::from(result.is_found_by_check);
        tally.worked_until_check += u32::from(result.worked_until_check);
    }

    /// How many changes were noticed there first.
    pub(super) fn noticed(&self, detection: Detection) -> u32 {
        self.tallies.values().filter_map(|tally| tally.detections.get(&detection)).sum()
    }

    pub(super) fn tamperings(&self) -> u32 {
        self.tallies.values().map(|tally| tally.tamperings).sum()
    }

    /// Asserts that nothing happened that must not.
    #[track_caller]
    pub(super) fn assert_sound(&self) {
        println!("{self}");
        assert!(self.defects.is_empty(), "{} defects:\n{}", self.defects.len(), self.defects.join("\n"));
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.tamperings += other.tamperings;
        self.rows += other.rows;
        self.found_by_check += other.found_by_check;
        self.worked_until_check += other.worked_until_check;
        for (detection, count) in &other.detections {
            *self.detections.entry(*detection).or_default() += count;
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        use Detection::{AtBoot, AtOnce, AtStart, ByCheck, ByCheckpoint, Harmless, Never};
        write!(f, "  {name:<34} {:>6} {:>7}", self.tamperings, self.rows)?;
        for detection in [AtOnce, AtBoot, AtStart, ByCheck, ByCheckpoint, Never, Harmless] {
            write!(f, " {:>8}", self.detections.get(&detection).copied().unwrap_or(0))?;
        }
        writeln!(f, " {:>9} {:>7}", self.found_by_check, self.worked_until_check)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: BTreeMap<(&str, StoreState), Vec<(Action, &Tally)>> = BTreeMap::new();
        for ((place, state, action), tally) in &self.tallies {
            groups.entry((place, *state)).or_default().push((*action, tally));
        }
        writeln!(
            f,
            "where a change was noticed first; `check`: how many the check alone finds; `worked`: worked again until it"
        )?;
        for ((place, state), tallies) in groups {
            writeln!(
                f,
                "{:<36} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7}",
                format!("{place}, {state:?}"),
                "times",
                "rows",
                "at once",
                "boot",
                "start",
                "check",
                "chkpoint",
                "never",
                "harmless",
                "check",
                "worked"
            )?;
            let mut total = Tally::default();
            for (action, tally) in tallies {
                tally.write(f, action.as_str())?;
                total.add(tally);
            }
            total.write(f, "total")?;
        }
        writeln!(f, "{} boots compared with the model, {} defects", self.boots, self.defects.len())
    }
}
