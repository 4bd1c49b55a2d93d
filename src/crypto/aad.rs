//! Associated data: what a ciphertext is bound to, so that it opens nowhere else.
//!
//! Every part carries its length, so two different lists of parts never give the same bytes. A bare concatenation must
//! never be passed to [`super::aead`].

/// Builds associated data from a label and parts, each prefixed with its length as 64 bits, big-endian.
#[derive(Clone, Debug)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// Starts with the label of the format and its version, e.g. `dropsafe value v1`.
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(256)).part(label.as_bytes())
    }

    /// Appends one part.
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a part that may be absent; absent differs from empty.
    pub fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return self.part(&[0]) };
        self.0.extend_from_slice(&(bytes.len() as u64 + 1).to_be_bytes());
        self.0.push(1);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number as 4 bytes, big-endian.
    pub fn number(self, number: u32) -> Self {
        self.part(&number.to_be_bytes())
    }

    /// Appends each of `parts`, and their count first.
    pub fn list(self, parts: &[&[u8]]) -> Self {
        let counted = self.part(&(parts.len() as u64).to_be_bytes());
        parts.iter().fold(counted, |aad, part| aad.part(part))
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
