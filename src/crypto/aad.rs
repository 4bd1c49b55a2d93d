//! Associated data: what a ciphertext is bound to, so that it opens nowhere else.
//!
//! Every part carries its length, so two different lists of parts never give the same bytes. A bare concatenation must
//! never be passed to [`super::aead`].

/// Associated data: a label and parts, each after its length as 64 bits, big-endian.
#[derive(Clone, Debug)]
pub(crate) struct Aad(Vec<u8>);

impl Aad {
    /// Starts with the label of the format and its version, e.g. `dropsafe value v1`.
    pub(crate) fn new(label: &str) -> Self {
        // Enough for a value's whole context, so that a boot of many values does not grow each of its buffers.
        Self(Vec::with_capacity(256)).part(label.as_bytes())
    }

    pub(crate) fn part(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a part that may be absent.
    pub(crate) fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        // Absent is the one byte 0 and present starts with the byte 1, so that absent and empty differ.
        let Some(bytes) = bytes else { return self.part(&[0]) };
        self.0.extend_from_slice(&(bytes.len() as u64 + 1).to_be_bytes());
        self.0.push(1);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number as 4 bytes, big-endian.
    pub(crate) fn u32(self, number: u32) -> Self {
        self.part(&number.to_be_bytes())
    }

    pub(crate) fn list(self, parts: &[&[u8]]) -> Self {
        // The count goes first: without it, the last part of a list and the part after the list could change places.
        let counted = self.part(&(parts.len() as u64).to_be_bytes());
        parts.iter().fold(counted, |aad, part| aad.part(part))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, prop_assert_ne};
    use proptest::proptest;

    use super::*;

    fn encode(parts: &[Vec<u8>]) -> Vec<u8> {
        parts.iter().fold(Aad::new("label"), |aad, part| aad.part(part)).0
    }

    /// Reads the parts back; that this can be done at all is why no two lists of parts share an encoding.
    fn decode(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
            let (part, rest) = rest.split_at(u64::from_be_bytes(*length) as usize);
            parts.push(part.to_vec());
            bytes = rest;
        }
        assert!(bytes.is_empty());
        parts
    }

    proptest! {
        #[test]
        fn parts_can_be_read_back(parts in vec(vec(any::<u8>(), 0..20), 0..8)) {
            let mut decoded = decode(&encode(&parts));
            prop_assert_eq!(decoded.remove(0), b"label");
            prop_assert_eq!(decoded, parts);
        }

        #[test]
        fn the_same_bytes_cut_elsewhere_are_other_parts(bytes in vec(any::<u8>(), 0..40), one: usize, other: usize) {
            let cut = |at: usize| {
                let (left, right) = bytes.split_at(at % (bytes.len() + 1));
                [left.to_vec(), right.to_vec()]
            };
            let (one, other) = (cut(one), cut(other));
            prop_assert_eq!(encode(&one) == encode(&other), one == other);
            prop_assert_ne!(encode(&one), encode(std::slice::from_ref(&bytes)));
        }

        /// A part that holds the encoding of other parts is not those parts.
        #[test]
        fn an_encoding_within_a_part_stays_within(parts in vec(vec(any::<u8>(), 0..20), 1..8)) {
            let whole = encode(&parts);
            for split in 0..parts.len() {
                let tail = parts[split..].iter().fold(Vec::new(), |mut tail, part| {
                    tail.extend_from_slice(&(part.len() as u64).to_be_bytes());
                    tail.extend_from_slice(part);
                    tail
                });
                let mut swallowed = parts[..split].to_vec();
                swallowed.push(tail);
                prop_assert_ne!(encode(&swallowed), whole.clone());
            }
        }

        #[test]
        fn lists_and_what_follows_them_do_not_run_together(
            parts in vec(vec(any::<u8>(), 0..10), 0..6),
            one in 0..7_usize,
            other in 0..7_usize,
        ) {
            let encode = |at: usize| {
                let (list, after) = parts.split_at(at.min(parts.len()));
                let list: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
                after.iter().fold(Aad::new("label").list(&list), |aad, part| aad.part(part)).0
            };
            prop_assert_eq!(encode(one) == encode(other), one.min(parts.len()) == other.min(parts.len()));
        }
    }

    #[test]
    fn absent_is_not_empty() {
        let absent = Aad::new("label").optional(None).0;
        assert_ne!(absent, Aad::new("label").optional(Some(b"")).0);
        assert_ne!(absent, Aad::new("label").optional(Some(&[0])).0);
    }
}
