//! Bounds the entries that many events of one kind write. What exceeds a budget is counted, and its count becomes an entry
//! when the interval ends: nothing is dropped, and nobody's events spend the budget of another organization.
//!
//! Holds no clock and writes nothing; [`Store`](crate::store::Store) does both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::audit::{Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::OrgId;
use crate::domain::time::Timestamp;

/// How long events are counted before the count becomes an entry: what a process that is killed may forget.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
/// Sources of one payer with a bucket of their own. The events of further sources are counted.
const MAX_SOURCES: usize = 256;
/// Counts of one payer that are kept apart. The oldest then joins those of other sources.
const MAX_COUNTS: usize = 64;

/// A token bucket's size.
#[derive(Clone, Copy)]
struct Budget {
    /// Entries at once after a quiet time.
    burst: f64,
    /// Entries a second in the long run.
    rate: f64,
}

/// The budgets of one kind of events.
#[derive(Clone, Copy)]
struct EventBudgets {
    /// Of an organization, or of all strangers together: what protects the disk.
    payer: Budget,
    /// Of one source within it.
    source: Budget,
    source_of: fn(&AuditEvent) -> Option<AuditText>,
}

/// Denied attempts. A flood costs an organization 1 entry a second, and each source of it 1 every 10 seconds.
const DENIALS: EventBudgets = EventBudgets {
    payer: Budget { burst: 400.0, rate: 1.0 },
    // Above what a person or a retrying agent causes, so that their attempts stay single entries.
    source: Budget { burst: 100.0, rate: 0.1 },
    source_of: network,
};

/// Reads that leave an entry. Each caller's first ones are entries of their own.
const READS: EventBudgets = EventBudgets {
    payer: Budget { burst: 400.0, rate: 1.0 },
    source: Budget { burst: 20.0, rate: 0.1 },
    source_of: |event| event.actor.id.clone(),
};

/// The events of this process that are not stored yet.
pub(crate) struct LimitedEvents {
    state: Mutex<LimitedState>,
    /// Held while counts are stored, so that a store that closes waits for those that another task has taken.
    pub(crate) storing: tokio::sync::Mutex<()>,
}

pub(crate) struct LimitedState {
    pub(crate) denials: EventLimiter,
    pub(crate) reads: EventLimiter,
    /// Denials with an entry of their own that nobody waits for. Bounded by the budgets.
    pub(crate) pending: VecDeque<AuditEvent>,
}

impl LimitedEvents {
    pub(crate) fn new() -> Self {
        let (denials, reads) = (EventLimiter::new(DENIALS), EventLimiter::new(READS));
        let state = Mutex::new(LimitedState { denials, reads, pending: VecDeque::new() });
        Self { state, storing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, LimitedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who pays for an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Payer {
    /// Nobody who proved who they are.
    Strangers,
    /// The operator, and the store itself.
    Operator,
    Org(OrgId),
}

/// Limits the entries of one kind of events.
pub(crate) struct EventLimiter {
    budgets: EventBudgets,
    accounts: BTreeMap<Payer, EventAccount>,
}

struct EventAccount {
    bucket: Bucket,
    sources: BTreeMap<Option<AuditText>, Bucket>,
    /// By what the events have in common. Each key is an event without time and request.
    counts: BTreeMap<AuditEvent, Tally>,
    /// The counts of sources for which there was no room, by action and reason.
    others: BTreeMap<(AuditAction, Option<AuditText>), (AuditEvent, Tally)>,
}

struct Bucket {
    left: f64,
    at: Timestamp,
}

/// How many events, and when.
#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl EventLimiter {
    fn new(budgets: EventBudgets) -> Self {
        Self { budgets, accounts: BTreeMap::new() }
    }

    /// Returns the event if the budgets of its payer and source allow an entry of its own. Counts it otherwise.
    pub(crate) fn admit(&mut self, event: AuditEvent, now: Timestamp) -> Option<AuditEvent> {
        let budgets = self.budgets;
        let account = self.account(&event, now);
        if account.spend((budgets.source_of)(&event), &budgets, now) {
            return Some(event);
        }
        account.count(common_event(event), Tally { count: 1, first: now, last: now });
        None
    }

    /// Counts an event that could not be stored, so that it is stored later.
    pub(crate) fn put_back(&mut self, event: AuditEvent, now: Timestamp) {
        let tally = Tally::of(&event, now);
        self.account(&event, now).count(common_event(event), tally);
    }

    /// Takes the counts that began `age` ago or earlier, as events to store.
    pub(crate) fn take(&mut self, age: Duration, now: Timestamp) -> Vec<AuditEvent> {
        let mut taken = Vec::new();
        let is_due = |tally: &Tally| tally.first.plus(age) <= now;
        for account in self.accounts.values_mut() {
            let due = account.counts.extract_if(.., |_, tally| is_due(tally));
            taken.extend(due.map(|(event, tally)| tally.describe(event)));
            let due = account.others.extract_if(.., |_, (_, tally)| is_due(tally));
            taken.extend(due.map(|(_, (event, tally))| tally.describe(event)));
        }
        let budgets = self.budgets;
        // An account with full buckets and no counts is as good as a new one.
        self.accounts.retain(|_, account| !account.is_idle(&budgets, now));
        taken
    }

    fn account(&mut self, event: &AuditEvent, now: Timestamp) -> &mut EventAccount {
        let bucket = Bucket { left: self.budgets.payer.burst, at: now };
        self.accounts.entry(Payer::of(event)).or_insert_with(|| EventAccount {
            bucket,
            sources: BTreeMap::new(),
            counts: BTreeMap::new(),
            others: BTreeMap::new(),
        })
    }
}

impl Payer {
    fn of(event: &AuditEvent) -> Self {
        match (event.org, event.actor.kind) {
            (Some(org), _) => Self::Org(org),
            // Strangers could otherwise hide a wrong passphrase of somebody with the operator's token.
            (None, ActorKind::Nobody) => Self::Strangers,
            (None, _) => Self::Operator,
        }
    }
}

impl EventAccount {
    /// Takes one entry from both budgets, if both have one left.
    fn spend(&mut self, source: Option<AuditText>, budgets: &EventBudgets, now: Timestamp) -> bool {
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            // A full bucket says nothing that a new one would not.
            self.sources.retain(|_, bucket| !bucket.is_full(&budgets.source, now));
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let new = || Bucket { left: budgets.source.burst, at: now };
        let own = self.sources.entry(source).or_insert_with(new);
        let both = own.has_one(&budgets.source, now) && self.bucket.has_one(&budgets.payer, now);
        if both {
            own.left -= 1.0;
            self.bucket.left -= 1.0;
        }
        both
    }

    fn count(&mut self, event: AuditEvent, tally: Tally) {
        if !self.counts.contains_key(&event) && self.counts.len() >= MAX_COUNTS {
            self.join_oldest();
        }
        self.counts.entry(event).and_modify(|counted| counted.add(tally)).or_insert(tally);
    }

    /// Adds the oldest count to those of other sources of this payer.
    fn join_oldest(&mut self) {
        let oldest = self.counts.iter().min_by_key(|(_, tally)| tally.first).map(|(event, _)| event.clone());
        let Some((event, tally)) = oldest.and_then(|event| self.counts.remove_entry(&event)) else { return };
        // Bounded: both words are constants of the program.
        let key = (event.action, event.details.get(&DetailKey::Reason).cloned());
        match self.others.get_mut(&key) {
            Some((joined, counted)) => {
                keep_common(joined, event);
                counted.add(tally);
            }
            None => drop(self.others.insert(key, (event, tally))),
        }
    }

    fn is_idle(&mut self, budgets: &EventBudgets, now: Timestamp) -> bool {
        self.counts.is_empty()
            && self.others.is_empty()
            && self.bucket.is_full(&budgets.payer, now)
            && self.sources.values_mut().all(|bucket| bucket.is_full(&budgets.source, now))
    }
}

impl Bucket {
    fn has_one(&mut self, budget: &Budget, now: Timestamp) -> bool {
        // Refilled when it is used, so that no timer is needed.
        self.left = budget.burst.min(self.left + now.since(self.at).as_secs_f64() * budget.rate);
        self.at = now;
        // Whole tokens only, although they are refilled in fractions.
        self.left >= 1.0
    }

    fn is_full(&mut self, budget: &Budget, now: Timestamp) -> bool {
        self.has_one(budget, now) && self.left >= budget.burst
    }
}

impl Tally {
    /// What an event that [`describe`](Self::describe) made stands for, or one of a single attempt.
    fn of(event: &AuditEvent, now: Timestamp) -> Self {
        let text = |key| event.details.get(&key).map(AuditText::as_str);
        let time = |key| text(key).and_then(|text| text.parse().ok()).unwrap_or(now);
        // Only a tally has a first time: the count of other events is not one of attempts.
        let count = text(DetailKey::First).and_then(|_| text(DetailKey::Count)?.parse().ok());
        Self { count: count.unwrap_or(1), first: time(DetailKey::First), last: time(DetailKey::Last) }
    }

    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
    }

    fn describe(self, mut event: AuditEvent) -> AuditEvent {
        event.details.extend([
            (DetailKey::Count, AuditText::number(self.count)),
            (DetailKey::First, self.first.into()),
            (DetailKey::Last, self.last.into()),
        ]);
        event
    }
}

/// The network that an event came from: a host has one IPv4 address, and as many addresses of its /64 as it likes.
fn network(event: &AuditEvent) -> Option<AuditText> {
    let source = event.details.get(&DetailKey::Source)?;
    match source.as_str().parse() {
        Ok(address) => Some(AuditText::network(address)),
        // A network already, of an event that was counted before.
        Err(_) => Some(source.clone()),
    }
}

/// The event without what differs between attempts of the same kind.
fn common_event(mut event: AuditEvent) -> AuditEvent {
    event.at = Timestamp::from_millis(0);
    if let Some(network) = network(&event) {
        event.details.insert(DetailKey::Source, network);
    }
    if event.details.remove(&DetailKey::First).is_some() {
        event.details.remove(&DetailKey::Last);
        event.details.remove(&DetailKey::Count);
    }
    event.details.remove(&DetailKey::Request);
    event
}

/// Removes from `event` what `other` does not have too.
fn keep_common(event: &mut AuditEvent, other: AuditEvent) {
    if event.actor != other.actor {
        event.actor = Actor { kind: event.actor.kind, name: None, id: None };
    }
    if event.target != other.target {
        event.target = None;
    }
    let source = event.details.get(&DetailKey::Source) == other.details.get(&DetailKey::Source);
    event.details.retain(|key, text| other.details.get(key) == Some(text));
    // Said, and not left out: an entry without a source is one of a Unix socket.
    if !source {
        event.details.insert(DetailKey::Source, AuditText::word("several"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::audit::Outcome;

    fn event(org: u8, source: &str) -> AuditEvent {
        AuditEvent {
            at: at(0),
            org: Some(OrgId::from_bytes([org; 16])),
            actor: Actor { kind: ActorKind::Nobody, name: None, id: None },
            action: AuditAction::Authenticate,
            target: None,
            outcome: Outcome::Denied,
            details: [
                (DetailKey::Source, AuditText::address(source.parse().unwrap())),
                (DetailKey::Reason, AuditText::word("revoked")),
            ]
            .into(),
        }
    }

    fn attempts(events: &[AuditEvent]) -> u64 {
        events.iter().map(|event| Tally::of(event, at(0)).count).sum()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let mut limiter = EventLimiter::new(DENIALS);
        let hosts = (0..1000).map(|i| event(1, &format!("2001:db8:0:7::{i:x}")));
        let single = hosts.filter_map(|event| limiter.admit(event, at(0))).count();
        assert_eq!(single, 100);
        let counted = limiter.take(Duration::ZERO, at(0));
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].details[&DetailKey::Source].as_str(), "2001:db8:0:7::/64");
        assert_eq!(attempts(&counted), 900);
    }

    #[test]
    fn many_sources_are_bounded_and_the_oldest_join_those_of_the_same_organization() {
        let mut limiter = EventLimiter::new(DENIALS);
        let mut single = 0;
        for i in 0..20_000_u32 {
            let source = format!("10.{}.{}.1", i / 250, i % 250);
            single += u64::from(limiter.admit(event(1, &source), at(i.into())).is_some());
        }
        for _ in 0..10 {
            single += u64::from(limiter.admit(event(2, "192.0.2.1"), at(20_000)).is_some());
        }
        let counted = limiter.take(Duration::ZERO, at(20_000));
        assert!(counted.len() <= MAX_COUNTS + 1, "{} entries", counted.len());
        assert_eq!(single + attempts(&counted), 20_010);
        let several: Vec<_> =
            counted.iter().filter(|event| event.details[&DetailKey::Source].as_str() == "several").collect();
        assert_eq!(several.len(), 1);
        assert_eq!(several[0].org, Some(OrgId::from_bytes([1; 16])));
        assert_eq!(several[0].details[&DetailKey::Reason].as_str(), "revoked");
    }

    #[test]
    fn a_count_that_was_not_stored_is_stored_later_and_once() {
        let mut limiter = EventLimiter::new(DENIALS);
        (0..150).for_each(|_| drop(limiter.admit(event(1, "192.0.2.1"), at(1000))));
        assert!(limiter.take(INTERVAL, at(60_999)).is_empty());
        let taken = limiter.take(INTERVAL, at(61_000));
        taken.into_iter().for_each(|event| limiter.put_back(event, at(61_000)));
        let again = limiter.take(INTERVAL, at(61_000));
        assert_eq!(attempts(&again), 50);
        assert_eq!(again[0].details[&DetailKey::First].as_str(), "1970-01-01T00:00:01Z");
        assert!(limiter.take(Duration::ZERO, at(61_000)).is_empty());
    }

    proptest! {
        #[test]
        fn every_attempt_is_an_entry_or_part_of_a_count(
            attempted in prop::collection::vec((0_u8..3, 0_u8..90, 0_i64..2000), 1..2000)
        ) {
            let mut limiter = EventLimiter::new(DENIALS);
            let (mut now, mut stored) = (0, Vec::new());
            for (org, host, pause) in &attempted {
                now += pause;
                stored.extend(limiter.admit(event(*org, &format!("192.0.2.{host}")), at(now)));
                stored.extend(limiter.take(INTERVAL, at(now)));
            }
            stored.extend(limiter.take(Duration::ZERO, at(now)));
            for org in 0..3 {
                let own: Vec<AuditEvent> =
                    stored.iter().filter(|event| event.org == Some(OrgId::from_bytes([org; 16]))).cloned().collect();
                let expected = attempted.iter().filter(|(by, ..)| *by == org).count();
                prop_assert_eq!(attempts(&own), expected as u64);
            }
        }
    }
}
