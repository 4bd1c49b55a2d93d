//! A release that was checked for completeness: count and digests must be those that the store named, and every entry must have exactly
//! one value. Nothing incomplete leaves this file.

use std::collections::BTreeMap;

use crate::domain::id::SecretId;
use crate::domain::name::EnvName;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::domain::value::SecretValue;
use crate::wire::{BootResponse, ReleasedView};

#[derive(Debug)]
pub(crate) struct VerifiedRelease {
    pub(crate) receipt: Receipt,
    /// One value for each entry of the receipt, in its order.
    pub(crate) values: Vec<SecretValue>,
    pub(crate) source: ReleaseSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseSource {
    Store,
    /// From the cache, where it was saved at this time.
    Cache(Timestamp),
    /// There is no release: the workload starts with what the machine has.
    WithoutStore,
}

/// Why an answer is not a complete release. No part of it is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IncompleteRelease {
    #[error("the store released {announced} entries and {arrived} arrived")]
    Count { announced: u32, arrived: usize },
    #[error("the answer is not what the store released: the digests differ")]
    Digest,
    #[error("the values are not those that the store released: the digests differ")]
    Values,
    #[error("the value of {0} did not arrive")]
    Value(EnvName),
    #[error("a value arrived that belongs to no released entry")]
    Surplus,
}

impl VerifiedRelease {
    pub(crate) fn empty() -> Self {
        Self { receipt: Receipt::default(), values: Vec::new(), source: ReleaseSource::WithoutStore }
    }

    /// Accepts an answer if it is complete.
    ///
    /// # Errors
    /// The entry whose value is missing or duplicated, or what else differs.
    pub(crate) fn verify(response: BootResponse, source: ReleaseSource) -> Result<Self, IncompleteRelease> {
        verify_digest(&response)?;
        let BootResponse { receipt, values, .. } = response;
        let mut arrived: BTreeMap<SecretId, SecretValue> = BTreeMap::new();
        for ReleasedView { id, value, value_base64 } in values {
            // Text or base64, never both: which of the two would count is not for the agent to choose.
            let value = match (value, value_base64) {
                (Some(value), None) => Some(value.into_secret()),
                (None, Some(value)) => value.into_secret(),
                _ => None,
            };
            if value.and_then(|value| arrived.insert(id, value).map_or(Some(()), |_| None)).is_none() {
                return Err(IncompleteRelease::Surplus);
            }
        }
        // Taken out one by one, so that two entries cannot share a value and a value without an entry is left over.
        let mut values = Vec::with_capacity(receipt.count());
        for entry in &receipt.entries {
            let value = arrived.remove(&entry.id);
            values.push(value.ok_or_else(|| IncompleteRelease::Value(entry.env.clone()))?);
        }
        if !arrived.is_empty() {
            return Err(IncompleteRelease::Surplus);
        }
        Ok(Self { receipt, values, source })
    }
}

/// Checks that the answer has the count and the digests that it claims.
pub(crate) fn verify_digest(response: &BootResponse) -> Result<(), IncompleteRelease> {
    // One digest covers the receipt and so every name and version, the other one the values and which entry each belongs to. They
    // guard against a proxy or a defect that cuts or mixes up an answer, not against the store.
    let arrived = response.receipt.count();
    if usize::try_from(response.count) != Ok(arrived) {
        return Err(IncompleteRelease::Count { announced: response.count, arrived });
    }
    if response.receipt.digest() != response.digest {
        return Err(IncompleteRelease::Digest);
    }
    // Older servers send neither the digest nor its key. One without the other is an answer that was cut.
    let has_either = response.values_digest.is_some() || response.end_credential.is_some();
    let computed = response.compute_values_digest();
    if has_either && (computed.is_none() || computed != response.values_digest) {
        return Err(IncompleteRelease::Values);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    //! Whole and broken answers.

    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::id::{BootId, VersionId};
    use crate::domain::name::SecretName;
    use crate::domain::receipt::ReceiptEntry;
    use crate::domain::resolve::ReleaseReason;
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
                        by: ReleaseReason::Auto,
                        shadows: Vec::new(),
                    }
                })
                .collect(),
            skipped: Vec::new(),
            revision: 7,
        };
        let values = entries.iter().enumerate().rev().map(|(index, (_, value))| ReleasedView {
            id: id(index),
            value: Value::of(&SecretValue::new(value.as_bytes().to_vec())),
            value_base64: None,
        });
        BootResponse {
            end_credential: None,
            store: None,
            checkpoint: None,
            boot: BootId::from_bytes([5; 16]),
            organization: "default".parse().unwrap(),
            member: "dev".parse().unwrap(),
            released_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            count: u32::try_from(entries.len()).unwrap(),
            digest: receipt.digest(),
            values: values.collect(),
            receipt,
            values_digest: None,
        }
    }

    /// The same, of a server that sends the digest of the values.
    fn response_with_digest() -> BootResponse {
        let mut response = response(&[("a", "one"), ("b", "two")]);
        response.values[0].value = None;
        response.values[0].value_base64 = Some(ValueBase64::of(&SecretValue::new(b"\xff".to_vec())));
        response.end_credential = Value::of(&SecretValue::new(b"dsb_x".to_vec()));
        response.values_digest = response.compute_values_digest();
        response
    }

    fn refused(change: impl FnOnce(&mut BootResponse)) -> IncompleteRelease {
        let mut response = response(&[("a", "1"), ("b", "2")]);
        change(&mut response);
        VerifiedRelease::verify(response, ReleaseSource::Store).unwrap_err()
    }

    #[test]
    fn a_whole_answer_gives_each_entry_its_value() {
        let mut answer = response(&[("a", "1"), ("b", "")]);
        answer.values[1].value = None;
        answer.values[1].value_base64 = Some(ValueBase64::of(&SecretValue::new(b"\xff".to_vec())));
        let release = VerifiedRelease::verify(answer, ReleaseSource::Store).unwrap();
        let values: Vec<&[u8]> = release.values.iter().map(SecretValue::expose).collect();
        assert_eq!(values, [&b"\xff"[..], b""]);
        assert!(VerifiedRelease::verify(response(&[]), ReleaseSource::Store).is_ok());
    }

    #[test]
    fn a_value_that_was_changed_moved_or_cut_is_detected() {
        let text = |text: &[u8]| Value::of(&SecretValue::new(text.to_vec()));
        let base64 = |bytes: &[u8]| Some(ValueBase64::of(&SecretValue::new(bytes.to_vec())));
        let verify = |change: &dyn Fn(&mut BootResponse)| {
            let mut response = response_with_digest();
            change(&mut response);
            VerifiedRelease::verify(response, ReleaseSource::Store).map(drop)
        };
        assert_eq!(verify(&|_| ()), Ok(()));
        let changes: [&dyn Fn(&mut BootResponse); 10] = [
            &|r| r.values[1].value = text(b"onf"),
            &|r| r.values[1].value = text(b"on"),
            &|r| r.values[1].value = text(b""),
            &|r| r.values[0].value_base64 = base64(b"\xfe"),
            // The same bytes in the other form.
            &|r| (r.values[1].value, r.values[1].value_base64) = (None, base64(b"one")),
            &|r| {
                let (first, second) = (r.values[0].id, r.values[1].id);
                (r.values[0].id, r.values[1].id) = (second, first);
            },
            &|r| drop(r.values.pop()),
            &|r| r.values_digest = None,
            &|r| r.end_credential = None,
            &|r| r.end_credential = text(b"dsb_y"),
        ];
        for (index, change) in changes.iter().enumerate() {
            assert_eq!(verify(change), Err(IncompleteRelease::Values), "{index}");
        }
        // The digest of the values covers that of the receipt, and so the versions.
        let other_version = |r: &mut BootResponse| {
            r.receipt.entries[0].version = VersionId::from_bytes([2; 16]);
            r.digest = r.receipt.digest();
        };
        assert_eq!(verify(&other_version), Err(IncompleteRelease::Values));
    }

    #[test]
    fn what_is_missing_added_or_changed_is_detected() {
        assert_eq!(refused(|r| r.count = 3), IncompleteRelease::Count { announced: 3, arrived: 2 });
        assert_eq!(
            refused(|r| drop(r.receipt.entries.pop())),
            IncompleteRelease::Count { announced: 2, arrived: 1 }
        );
        assert_eq!(refused(|r| r.digest = Digest::from_bytes([0; 32])), IncompleteRelease::Digest);
        assert_eq!(refused(|r| r.receipt.entries[0].scope = ScopeKind::Shared), IncompleteRelease::Digest);
        assert_eq!(
            refused(|r| r.receipt.entries[0].env = EnvName::parse("C").unwrap()),
            IncompleteRelease::Digest
        );
        let a = || EnvName::parse("A").unwrap();
        assert_eq!(refused(|r| drop(r.values.pop())), IncompleteRelease::Value(a()));
        assert_eq!(
            refused(|r| r.values[1].id = SecretId::from_bytes([9; 16])),
            IncompleteRelease::Value(a())
        );
        assert_eq!(refused(|r| r.values[1].value = None), IncompleteRelease::Surplus);
        assert_eq!(refused(|r| r.values[1].id = r.values[0].id), IncompleteRelease::Surplus);
        assert_eq!(
            refused(|r| {
                let more = ReleasedView {
                    id: SecretId::from_bytes([9; 16]),
                    value: Value::of(&SecretValue::new(vec![])),
                    value_base64: None,
                };
                r.values.push(more);
            }),
            IncompleteRelease::Surplus
        );
    }
}
