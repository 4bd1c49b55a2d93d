//! Whether a register's history is linearizable, when each value is written once.
//!
//! With unique values a history can be judged without trying orders (Gibbons and Korach, "Testing Shared Memories", SIAM
//! Journal on Computing 26, 1997, section 4): the operations of one value must lie together in any order. Where the
//! first of them ended before the last began, the register held the value all the time between; such times may not
//! overlap, and no value can have been there only within the time of another.

use std::collections::BTreeMap;

/// A moment, in any unit.
pub type Moment = u64;

/// A write or read of a register, with the times before its request and after its response.
#[derive(Clone, Debug)]
pub struct Operation {
    pub kind: Kind,
    pub value: u64,
    pub from: Moment,
    /// None when it is not known whether it ever happened: of writes only.
    pub until: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    Read,
}

/// What is wrong with a history.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value was read that nobody wrote, or before it was written.
    FromNowhere(u64),
    /// Both values were there throughout times that overlap, or one only while the other was.
    Overlap(u64, u64),
}

/// The span that the operations of one value make.
struct Span {
    value: u64,
    /// The first end of any.
    first_end: Moment,
    /// The last beginning of any.
    last_begin: Moment,
}

/// Judges the history of one register, whose first value was written before everything else.
pub fn check(operations: &[Operation]) -> Result<(), Fault> {
    let mut values: BTreeMap<u64, (Option<&Operation>, Vec<&Operation>)> = BTreeMap::new();
    for operation in operations {
        let (write, reads) = values.entry(operation.value).or_default();
        match operation.kind {
            Kind::Write => assert!(write.replace(operation).is_none(), "values are written once"),
            Kind::Read => reads.push(operation),
        }
    }
    let mut spans = Vec::new();
    for (value, (write, reads)) in values {
        let Some(write) = write else { return Err(Fault::FromNowhere(value)) };
        if write.until.is_none() && reads.is_empty() {
            // It need not have happened.
            continue;
        }
        if reads.iter().any(|read| read.until.unwrap() < write.from) {
            return Err(Fault::FromNowhere(value));
        }
        let all = || reads.iter().copied().chain([write]);
        spans.push(Span {
            value,
            first_end: all().map(|operation| operation.until.unwrap_or(Moment::MAX)).min().unwrap(),
            last_begin: all().map(|operation| operation.from).max().unwrap(),
        });
    }
    for (index, one) in spans.iter().enumerate() {
        for other in &spans[index + 1..] {
            if one.excludes(other) || other.excludes(one) {
                return Err(Fault::Overlap(one.value, other.value));
            }
        }
    }
    Ok(())
}

impl Span {
    /// Whether the register held this value for a time that leaves none for the other.
    fn excludes(&self, other: &Span) -> bool {
        self.first_end < self.last_begin
            && self.first_end < other.last_begin
            && other.first_end < self.last_begin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(value: u64, from: Moment, until: Option<Moment>) -> Operation {
        Operation { kind: Kind::Write, value, from, until }
    }

    fn read(value: u64, from: Moment, until: Moment) -> Operation {
        Operation { kind: Kind::Read, value, from, until: Some(until) }
    }

    #[test]
    fn knows_the_faults_it_is_there_for() {
        let first = write(0, 0, Some(1));
        // A lost write: acknowledged, and the old value read afterwards.
        let lost = [first.clone(), write(1, 10, Some(20)), read(0, 30, 40)];
        assert_eq!(check(&lost), Err(Fault::Overlap(0, 1)));
        // New, then old again.
        let back = [first.clone(), write(1, 10, None), read(1, 30, 40), read(0, 50, 60)];
        assert_eq!(check(&back), Err(Fault::Overlap(0, 1)));
        assert_eq!(check(&[first.clone(), read(7, 2, 3)]), Err(Fault::FromNowhere(7)));
        assert_eq!(check(&[first.clone(), read(1, 2, 3), write(1, 4, Some(5))]), Err(Fault::FromNowhere(1)));

        let fine = [first, write(1, 10, None), write(2, 12, Some(30)), read(0, 11, 20), read(1, 40, 50)];
        assert_eq!(check(&fine), Ok(()));
    }

    /// Whether any order of all of them is one.
    fn has_an_order(rest: &[&Operation], value: u64) -> bool {
        rest.iter().all(|operation| operation.until.is_none() && operation.kind == Kind::Write)
            || (0..rest.len()).any(|index| {
                let next = rest[index];
                let before_all = rest.iter().all(|other| other.until.is_none_or(|until| until >= next.from));
                let fits = next.kind == Kind::Write || next.value == value;
                let mut others = rest.to_vec();
                others.remove(index);
                before_all && fits && has_an_order(&others, next.value)
            })
    }

    proptest! {
        #[test]
        fn agrees_with_one_that_tries_every_order(
            writes in proptest::collection::vec((1..30_u64, 1..15_u64, proptest::bool::weighted(0.8)), 0..4),
            reads in proptest::collection::vec((1..30_u64, 1..15_u64, 0..5_u64), 0..5),
        ) {
            // Moments that differ, so that no end is a beginning.
            let mut history = vec![write(0, 0, Some(1))];
            let count = writes.len() as u64 + 1;
            for (value, (from, long, known)) in (1..).zip(writes) {
                history.push(write(value, from * 20 + value, known.then_some((from + long) * 20 + 10 + value)));
            }
            for (index, (from, long, value)) in (5..).zip(reads) {
                history.push(read(value % count, from * 20 + index, (from + long) * 20 + 10 + index));
            }
            let all: Vec<_> = history.iter().collect();
            prop_assert_eq!(check(&history).is_ok(), has_an_order(&all, u64::MAX), "{:?}", history);
        }
    }
}
