//! The owner of the byte store changes rows of the file through a second connection, while a server serves it. What the agent
//! then gets is compared with what the store acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::harness::{Site, environment};

/// How often rows are changed, and the seed of the choices.
const CHANGES: usize = 18;
const SEED: u64 = 11;
/// Letters of tables: secrets, the stamps of their scopes, and tickets.
const SECRETS: u8 = b's';
const STAMPS: u8 = b'S';
const TICKETS: u8 = b'k';

type Rows = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;
type Changes = BTreeMap<Vec<u8>, Option<(Vec<u8>, i64)>>;

#[test]
fn a_server_whose_file_somebody_changes_releases_the_right_values_or_none() {
    let mut counts = BTreeMap::new();
    let mut tampered = Tampered::new();
    for change in 0..CHANGES {
        tampered.go_on();
        let action = ["replay", "delete", "swap", "flip", "roll back a scope", "replay a ticket"][change % 6];
        if !tampered.change(action, &mut counts) {
            tampered = Tampered::new();
        }
    }
    println!("{counts:#?}");
    let of =
        |what: &str| counts.iter().filter(|((_, outcome), _)| *outcome == what).map(|(_, n)| n).sum::<u32>();
    assert_eq!(of("found by the verification"), u32::try_from(CHANGES).unwrap());
    assert!(of("boot refused") > 2 && of("boot right") > 2);
}

/// A site, the second connection, and what the store acknowledged.
struct Tampered {
    site: Site,
    file: Connection,
    bob: String,
    ticket: String,
    /// Whose only use is spent.
    spent: String,
    values: BTreeMap<&'static str, String>,
    past: Vec<Rows>,
    random: u64,
    deposits: u32,
}

impl Tampered {
    fn new() -> Self {
        let site = Site::unlocked();
        let bob = site.member("bob", "member");
        let ticket = site.ticket("bob", &[]);
        let spent = site.ticket("bob", &["--uses", "1"]);
        let file = Connection::open(site.data().join("store.db")).unwrap();
        file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        let (values, past) = (BTreeMap::new(), Vec::new());
        let mut new = Self { site, file, bob, ticket, spent, values, past, random: SEED, deposits: 0 };
        for _ in 0..4 {
            new.deposit();
        }
        new.remember();
        assert!(new.try_boot(&new.spent).is_some());
        new
    }

    fn below(&mut self, end: usize) -> usize {
        // A linear congruential generator: the same choices in each run.
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % end
    }

    fn deposit(&mut self) {
        let name = ["alpha-key", "beta-key", "gamma-key"][self.below(3)];
        self.deposits += 1;
        let value = format!("value {}", self.deposits);
        self.site.set_as(&self.bob, name, value.as_bytes(), &[]).ok();
        self.values.insert(name, value);
    }

    /// A few deposits, and a boot, so that the server has the newest values in its cache.
    fn go_on(&mut self) {
        for _ in 0..2 {
            self.deposit();
            self.remember();
        }
        assert_eq!(self.try_boot(&self.ticket), Some(self.expected()));
        // What the server does in the background after a deposit.
        std::thread::sleep(std::time::Duration::from_millis(100));
        self.remember();
    }

    fn remember(&mut self) {
        let rows = self.rows();
        self.past.push(rows);
    }

    fn rows(&self) -> Rows {
        let mut read = self.file.prepare("SELECT key, value, revision FROM kv WHERE key <> x''").unwrap();
        let rows = read.query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn write(&self, changes: &Changes) {
        self.file.execute_batch("BEGIN IMMEDIATE").unwrap();
        for (key, row) in changes {
            let put = "REPLACE INTO kv(key, value, revision) VALUES (?1, ?2, ?3)";
            let written = match row {
                Some((value, revision)) => self.file.execute(put, (key, value, revision)),
                None => self.file.execute("DELETE FROM kv WHERE key = ?1", (key,)),
            };
            written.unwrap();
        }
        self.file.execute_batch("COMMIT").unwrap();
    }

    fn expected(&self) -> BTreeMap<String, String> {
        let exported = |name: &str| name.to_uppercase().replace('-', "_");
        self.values.iter().map(|(name, value)| (exported(name), value.clone())).collect()
    }

    /// What a workload gets. `None` if it is not started.
    fn try_boot(&self, ticket: &str) -> Option<BTreeMap<String, String>> {
        let ran = self.site.agent(ticket, &["exec", "--deadline", "1s", "--", "env", "-0"], &[]);
        let is_ours = |name: &String| name.ends_with("_KEY");
        ran.status
            .success()
            .then(|| environment(&ran.out).into_iter().filter(|(name, _)| is_ours(name)).collect())
    }

    /// Rows of these tables as they were at an earlier time, where they differ.
    fn restored(&mut self, letters: &[u8]) -> Changes {
        let step = self.below(self.past.len());
        let then = self.past[step].clone();
        let now = self.rows();
        let keys: BTreeSet<_> =
            now.keys().chain(then.keys()).filter(|key| letters.contains(&key[0])).collect();
        let keys = keys.into_iter().filter(|key| now.get(*key) != then.get(*key));
        keys.map(|key| (key.clone(), then.get(key).cloned())).collect()
    }

    fn choose(&mut self, action: &str) -> Changes {
        let now = self.rows();
        let logged: Vec<_> = now.iter().filter(|(key, _)| !b"\0ACaGDh".contains(&key[0])).collect();
        let (key, (value, revision)) = logged[self.below(logged.len())];
        match action {
            "replay" => {
                let mut all = self.restored(&[SECRETS, TICKETS, b'U', b'Q', b'n', b'i']);
                let keys: Vec<_> = all.keys().cloned().collect();
                let at = self.below(keys.len().max(1));
                all.retain(|key, _| keys.get(at) == Some(key));
                all
            }
            "delete" => [(key.clone(), None)].into(),
            "swap" => {
                let (other, row) = logged[self.below(logged.len())];
                [(key.clone(), Some(row.clone())), (other.clone(), Some((value.clone(), *revision)))].into()
            }
            "flip" => {
                let mut flipped = value.clone();
                let at = self.below(flipped.len());
                flipped[at] ^= 4;
                [(key.clone(), Some((flipped, *revision)))].into()
            }
            "roll back a scope" => self.restored(&[SECRETS, STAMPS]),
            _ => self.restored(&[TICKETS]),
        }
    }

    /// Changes rows, and boots. Returns whether the rows could be restored as they were.
    fn change(
        &mut self,
        action: &'static str,
        counts: &mut BTreeMap<(&'static str, &'static str), u32>,
    ) -> bool {
        let now = self.rows();
        let mut changes = Changes::new();
        // Not everything differs from what it was at any time.
        while changes.is_empty() {
            changes = self.choose(action);
            changes.retain(|key, row| row.as_ref().map(|row| &row.0) != now.get(key).map(|row| &row.0));
        }
        self.write(&changes);
        let mut count = |outcome| *counts.entry((action, outcome)).or_default() += 1;
        match self.try_boot(&self.ticket) {
            Some(values) => {
                assert_eq!(values, self.expected(), "{action}: a wrong release");
                count("boot right");
            }
            None => count("boot refused"),
        }
        if let Some(values) = self.try_boot(&self.spent) {
            assert_eq!(values, self.expected(), "{action}: a wrong release");
            count("a spent ticket worked until the check");
        }
        let verified = self.site.operator(&["audit", "verify", "--state"]);
        assert!(!verified.status.success(), "{action}: not found\n{}", verified.out);
        count("found by the verification");

        let found = self.rows();
        let same = |(key, row): (&Vec<u8>, &Option<_>)| found.get(key) == row.as_ref();
        if !changes.iter().all(same) {
            return false;
        }
        self.write(&changes.keys().map(|key| (key.clone(), now.get(key).cloned())).collect());
        self.site.operator(&["audit", "verify", "--state"]).ok();
        true
    }
}
