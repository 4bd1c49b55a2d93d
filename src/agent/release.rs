//! What the store released, checked for being whole: the count and the digest that the store told must be those of what arrived,
//! and every entry must have its one value. Nothing incomplete leaves this file.

use std::collections::BTreeMap;

use crate::domain::name::EnvName;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::domain::value::SecretValue;
use crate::wire::{BootResponse, ReleasedView};

/// A whole release.
#[derive(Debug)]
pub(crate) struct Release {
    /// What it consists of.
    pub(crate) receipt: Receipt,
    /// The values, one for each entry of the receipt and in its order.
    pub(crate) values: Vec<SecretValue>,
    /// How it got here.
    pub(crate) source: Source,
}

/// How a release got here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From the store, now.
    Store,
    /// From the cache, where it was put then.
    Cache(Timestamp),
    /// Not at all: the workload starts with what the machine has.
    Nowhere,
}

/// Why an answer is not a whole release. Its parts are never used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomplete {
    /// Another number of entries than the store says it released.
    #[error("the store released {told} entries and {arrived} arrived")]
    Count {
        /// What the store said.
        told: u32,
        /// What is here.
        arrived: usize,
    },
    /// Other entries than the store says it released.
    #[error("what arrived is not what the store released: the digests differ")]
    Digest,
    /// An entry has no value, or more than one.
    #[error("the value of {0} did not arrive")]
    Value(EnvName),
    /// A value belongs to no entry.
    #[error("a value arrived that belongs to nothing that was released")]
    Surplus,
}

impl Release {
    /// A release of nothing.
    pub(crate) fn nothing() -> Self {
        Self { receipt: Receipt::default(), values: Vec::new(), source: Source::Nowhere }
    }

    /// Takes an answer, if it is whole.
    ///
    /// # Errors
    /// What of it is missing or too much.
    pub(crate) fn take(response: BootResponse, source: Source) -> Result<Self, Incomplete> {
        agrees(&response)?;
        let BootResponse { receipt, values, .. } = response;
        let mut arrived: BTreeMap<String, SecretValue> = BTreeMap::new();
        for ReleasedView { id, value, value_base64 } in values {
            let value = match (value, value_base64) {
                (Some(value), None) => Some(value.into_secret()),
                (None, Some(value)) => value.into_secret(),
                _ => None,
            };
            if value.and_then(|value| arrived.insert(id, value).map_or(Some(()), |_| None)).is_none() {
                return Err(Incomplete::Surplus);
            }
        }
        let mut values = Vec::with_capacity(receipt.count());
        for entry in &receipt.entries {
            let value = arrived.remove(&entry.id.to_string());
            values.push(value.ok_or_else(|| Incomplete::Value(entry.env.clone()))?);
        }
        if !arrived.is_empty() {
            return Err(Incomplete::Surplus);
        }
        Ok(Self { receipt, values, source })
    }
}

/// Whether an answer has the count and the digest that it says it has.
///
/// # Errors
/// What differs.
pub(crate) fn agrees(response: &BootResponse) -> Result<(), Incomplete> {
    let arrived = response.receipt.count();
    if usize::try_from(response.count) != Ok(arrived) {
        return Err(Incomplete::Count { told: response.count, arrived });
    }
    if response.receipt.digest().to_string() != response.digest {
        return Err(Incomplete::Digest);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    //! Whole and broken answers.

    use super::*;
    use crate::domain::id::{SecretId, VersionId};
    use crate::domain::name::SecretName;
    use crate::domain::receipt::ReceiptEntry;
    use crate::domain::resolve::Why;
    use crate::domain::secret::ScopeKind;
    use crate::domain::value::{Delivery, Kind};
    use crate::wire::{Value, ValueBase64};

    /// An answer with these names and values.
    pub(crate) fn response(entries: &[(&str, &str)]) -> BootResponse {
        let id = |index: usize| SecretId::from_bytes([u8::try_from(index).unwrap() + 1; 16]);
        let receipt = Receipt {
            entries: entries
                .iter()
                .enumerate()
                .map(|(index, (name, _))| {
                    let name = SecretName::parse(name).unwrap();
                    ReceiptEntry {
                        env: name.export(),
                        name,
                        id: id(index),
                        scope: ScopeKind::Private,
                        version: VersionId::from_bytes([1; 16]),
                        kind: Kind::Encrypted,
                        delivery: Delivery::Variable,
                        by: Why::Auto,
                        shadows: Vec::new(),
                    }
                })
                .collect(),
            skipped: Vec::new(),
            revision: 7,
        };
        let values = entries.iter().enumerate().rev().map(|(index, (_, value))| ReleasedView {
            id: id(index).to_string(),
            value: Value::of(&SecretValue::new(value.as_bytes().to_vec())),
            value_base64: None,
        });
        BootResponse {
            boot: "boot_x".into(),
            organization: "default".into(),
            member: "dev".into(),
            released_at: "2026-01-01T00:00:00Z".into(),
            count: u32::try_from(entries.len()).unwrap(),
            digest: receipt.digest().to_string(),
            values: values.collect(),
            receipt,
        }
    }

    fn refused(change: impl FnOnce(&mut BootResponse)) -> Incomplete {
        let mut response = response(&[("a", "1"), ("b", "2")]);
        change(&mut response);
        Release::take(response, Source::Store).unwrap_err()
    }

    #[test]
    fn a_whole_answer_gives_each_entry_its_value() {
        let mut answer = response(&[("a", "1"), ("b", "")]);
        answer.values[1].value = None;
        answer.values[1].value_base64 = Some(ValueBase64::of(&SecretValue::new(b"\xff".to_vec())));
        let release = Release::take(answer, Source::Store).unwrap();
        let values: Vec<&[u8]> = release.values.iter().map(SecretValue::expose).collect();
        assert_eq!(values, [&b"\xff"[..], b""]);
        assert!(Release::take(response(&[]), Source::Store).is_ok());
    }

    #[test]
    fn whatever_is_missing_added_or_changed_is_noticed() {
        assert_eq!(refused(|r| r.count = 3), Incomplete::Count { told: 3, arrived: 2 });
        assert_eq!(refused(|r| drop(r.receipt.entries.pop())), Incomplete::Count { told: 2, arrived: 1 });
        assert_eq!(refused(|r| r.digest.replace_range(0..1, "x")), Incomplete::Digest);
        assert_eq!(refused(|r| r.receipt.entries[0].scope = ScopeKind::Shared), Incomplete::Digest);
        assert_eq!(refused(|r| r.receipt.entries[0].env = EnvName::parse("C").unwrap()), Incomplete::Digest);
        let a = || EnvName::parse("A").unwrap();
        assert_eq!(refused(|r| drop(r.values.pop())), Incomplete::Value(a()));
        assert_eq!(refused(|r| r.values[1].id.push('x')), Incomplete::Value(a()));
        assert_eq!(refused(|r| r.values[1].value = None), Incomplete::Surplus);
        assert_eq!(refused(|r| r.values[1].id = r.values[0].id.clone()), Incomplete::Surplus);
        assert_eq!(
            refused(|r| {
                let more = ReleasedView {
                    id: "sec_z".into(),
                    value: Value::of(&SecretValue::new(vec![])),
                    value_base64: None,
                };
                r.values.push(more);
            }),
            Incomplete::Surplus
        );
    }
}
