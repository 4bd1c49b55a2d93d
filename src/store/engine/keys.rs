//! Typed keys of one record, and typed prefixes of several.

use std::fmt;
use std::marker::PhantomData;

/// Bytes of the prefix of a group: the letter of its table and a keyed hash.
pub(crate) const GROUP: usize = 1 + 16;

/// The key of a record of type `T`.
pub(crate) struct Key<T> {
    bytes: Vec<u8>,
    record: PhantomData<fn() -> T>,
}

/// The prefix of the keys of several records of type `T`.
pub(crate) struct Prefix<T> {
    bytes: Vec<u8>,
    record: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, record: PhantomData }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.bytes.clone()
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        Self::new(self.bytes.clone())
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl<T> Prefix<T> {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, record: PhantomData }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key of this prefix with `last` at its end.
    pub(crate) fn key(&self, last: &[u8]) -> Key<T> {
        Key::new([&self.bytes, last].concat())
    }

    /// What follows the prefix in `key`. `None` if it does not have this prefix, or is not 16 bytes longer.
    pub(crate) fn id(&self, key: &[u8]) -> Option<[u8; 16]> {
        key.strip_prefix(self.bytes.as_slice())?.try_into().ok()
    }
}
