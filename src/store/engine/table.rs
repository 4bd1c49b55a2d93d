//! A table: the letter that its keys start with, and a name that its keyed hashes are separated by.

use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;

/// The records of one kind.
pub(crate) struct Table {
    /// The first byte of each key. No two tables have the same.
    pub(crate) letter: u8,
    /// Separates the keyed hashes of this table from those of others.
    pub(crate) name: &'static str,
}

impl Table {
    /// Defines a table.
    pub(crate) const fn new(letter: u8, name: &'static str) -> Self {
        Self { letter, name }
    }

    /// Returns the key of the only record of this table.
    pub(crate) fn singleton<T>(&self) -> Key<T> {
        Key::new(vec![self.letter])
    }

    /// Returns the prefix of all records of this table.
    pub(crate) fn all<T>(&self) -> Prefix<T> {
        Prefix::new(vec![self.letter])
    }

    /// Returns the key of the record with a random id.
    pub(crate) fn by_id<T>(&self, id: &[u8; 16]) -> Key<T> {
        self.all().key(id)
    }
}

impl Records {
    /// Returns the key of the record that `parts` identify. The byte store sees a keyed hash of them.
    pub(crate) fn hashed<T>(&self, table: &Table, parts: &[&[u8]]) -> Key<T> {
        Key::new([[table.letter].as_slice(), &self.key.key_hash(table.name, parts)].concat())
    }

    /// Returns the prefix of the records that belong to what `parts` identify.
    pub(crate) fn grouped<T>(&self, table: &Table, parts: &[&[u8]]) -> Prefix<T> {
        Prefix::new([[table.letter].as_slice(), &self.key.key_hash(table.name, parts)].concat())
    }
}
