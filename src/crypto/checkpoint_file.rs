//! The file of an audit log's checkpoints: the signed size and root of each chain (<https://c2sp.org/tlog-checkpoint>), and proofs that
//! the chains continue those of an earlier file.
//!
//! ```text
//! dropsafe checkpoint v1
//! vkey dropsafe/sto_…+ID+KEY
//!
//! dropsafe/sto_…/chains
//! 1
//! ROOT                          (of the tree whose leaves are the signed texts of the chains, in order)
//!
//! — dropsafe/sto_… SIGNATURE
//!
//! old 12
//! HASH                          (of the consistency proof from 12 to 15; none after `old 0`)
//!
//! dropsafe/sto_…/CHAIN
//! 15
//! ROOT
//!
//! — dropsafe/sto_… SIGNATURE
//! ```
//!
//! A chain's part is the body of a request to a witness (<https://c2sp.org/tlog-witness>, add-checkpoint). The key name is the origin
//! without the chain, so that one `vkey` checks all chains: each start of a server begins one. The first note is the list of the chains:
//! without it, somebody could remove the part of a chain that a rollback has lost.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64;

use super::merkle::{MerkleTree, TreeHash, TreeHead, is_continued, leaf_hash};
use super::signed_note::{LogKey, NoteKey, NoteSignature};
use crate::domain::id::StoreId;

const FORMAT: &str = "dropsafe checkpoint v1";
/// In place of a chain's id, in the list of all chains of a log.
const ALL_CHAINS: &str = "chains";
/// In place of a chain's id, in the list of a file with one of the chains: nobody can pass it off as a file with all of them.
const ONE_CHAIN: &str = "one-chain";
/// The longest proof and the most signatures of a chain, as witnesses have them.
const MAX_PROOF: usize = 63;
const MAX_SIGNATURES: usize = 16;

/// The checkpoints of all chains of a log, or of one server's chain, by the chains' ids in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointFile {
    pub(crate) key: NoteKey,
    pub(crate) chains: BTreeMap<String, ChainCheckpoint>,
    /// The name of the list of the chains.
    list: &'static str,
    /// Of the list of the chains.
    signatures: Vec<NoteSignature>,
}

/// The checkpoint of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainCheckpoint {
    pub(crate) head: TreeHead,
    /// The size that the proof starts from. 0 stands for no proof.
    old: u64,
    proof: Vec<TreeHash>,
    signatures: Vec<NoteSignature>,
}

impl CheckpointFile {
    /// Signs the heads of all chains' trees. `None` if a leaf is missing.
    pub(crate) fn sign(store: StoreId, key: &LogKey, trees: &BTreeMap<String, MerkleTree>) -> Option<Self> {
        Self::sign_as(ALL_CHAINS, store, key, trees)
    }

    /// Signs the head of one chain's tree, for a machine to keep. `None` if a leaf is missing.
    pub(crate) fn sign_one(store: StoreId, key: &LogKey, chain: String, tree: MerkleTree) -> Option<Self> {
        Self::sign_as(ONE_CHAIN, store, key, &BTreeMap::from([(chain, tree)]))
    }

    /// Whether it has the checkpoints of all chains.
    pub(crate) fn has_all_chains(&self) -> bool {
        self.list == ALL_CHAINS
    }

    fn sign_as(
        list: &'static str,
        store: StoreId,
        key: &LogKey,
        trees: &BTreeMap<String, MerkleTree>,
    ) -> Option<Self> {
        let public = key.public(format!("dropsafe/{store}"));
        let mut chains = BTreeMap::new();
        for (chain, tree) in trees {
            let head = tree.head()?;
            let signatures = vec![key.sign(&public, &note_text(&public, chain, &head))];
            let checkpoint = ChainCheckpoint { head, old: tree.old(), proof: tree.proof()?, signatures };
            chains.insert(chain.clone(), checkpoint);
        }
        let mut file = Self { key: public, chains, list, signatures: Vec::new() };
        let text = note_text(&file.key, list, &file.list_head()?);
        file.signatures.push(key.sign(&file.key, &text));
        Some(file)
    }

    /// The size and the root of the list of the chains.
    fn list_head(&self) -> Option<TreeHead> {
        let mut tree = MerkleTree::new(self.chains.len() as u64, 0);
        for (index, (chain, checkpoint)) in self.chains.iter().enumerate() {
            let text = note_text(&self.key, chain, &checkpoint.head);
            tree.add(index as u64, leaf_hash(&[text.as_bytes()]));
        }
        tree.head()
    }

    /// Reads a file. It must be as it was written: its signatures are over its bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, CheckpointFault> {
        let mut lines = LineReader { rest: text, number: 0 };
        if text.lines().next() != Some(FORMAT) {
            return Err(CheckpointFault { line: 1, what: "is not the first line of a checkpoint file" });
        }
        if text.contains('\r') {
            return Err(CheckpointFault {
                line: 1,
                what: "the file has other line ends than it was written with",
            });
        }
        lines.next()?;
        let key = lines.next()?.strip_prefix("vkey ").and_then(|key| key.parse().ok());
        let key: NoteKey = key.ok_or(lines.fault("expected `vkey` and a key"))?;
        lines.blank()?;
        let (name, list, signatures) = lines.note(&key)?;
        // A store has a chain from its first entry on.
        let named = [ALL_CHAINS, ONE_CHAIN].into_iter().find(|known| *known == name);
        let named =
            named.filter(|_| list.size > 0).ok_or(lines.fault("the list of the chains is missing"))?;
        let mut chains = BTreeMap::new();
        for _ in 0..list.size {
            lines.blank()?;
            let (chain, checkpoint) = lines.chain(&key)?;
            if chains.insert(chain, checkpoint).is_some() {
                return Err(lines.fault("the chain has a checkpoint already"));
            }
        }
        if !lines.rest.is_empty() {
            return Err(CheckpointFault { line: lines.number + 1, what: "text after the last checkpoint" });
        }
        let file = Self { key, chains, list: named, signatures };
        match file.list_head() {
            Some(found) if found == list => Ok(file),
            _ => Err(CheckpointFault {
                line: 6,
                what: "the list names other checkpoints than those that follow",
            }),
        }
    }

    /// Returns a chain whose checkpoint `key` has not signed, or the name of their list. `None` if it has signed all.
    pub(crate) fn find_unsigned(&self, key: &NoteKey) -> Option<&str> {
        let is_list_signed = self
            .list_head()
            .is_some_and(|list| key.has_signed(&note_text(key, self.list, &list), &self.signatures));
        if !is_list_signed {
            return Some(self.list);
        }
        let is_signed = |chain: &str, checkpoint: &ChainCheckpoint| {
            key.has_signed(&note_text(key, chain, &checkpoint.head), &checkpoint.signatures)
        };
        self.chains
            .iter()
            .find(|(chain, checkpoint)| !is_signed(chain, checkpoint))
            .map(|(chain, _)| chain.as_str())
    }

    /// Compares each chain of this file with the same chain of a newer file.
    pub(crate) fn compare(&self, newer: &Self) -> Vec<ChainComparison> {
        let compare = |(chain, checkpoint): (&String, &ChainCheckpoint)| {
            let found = newer.chains.get(chain);
            let state = found.map_or(Continuity::Missing, |found| found.continues(&checkpoint.head));
            let (old, new) = (checkpoint.head.size, found.map(|found| found.head.size));
            ChainComparison { chain: chain.clone(), old, new, state }
        };
        self.chains.iter().map(compare).collect()
    }
}

impl ChainCheckpoint {
    fn continues(&self, old: &TreeHead) -> Continuity {
        if self.head.size < old.size {
            return Continuity::Shorter;
        }
        // Between equal trees, the roots are the proof, wherever the proof in the file starts.
        let proof: &[TreeHash] = match old.size {
            0 => &[],
            size if size == self.head.size => &[],
            size if size == self.old => &self.proof,
            _ => return Continuity::Unproven,
        };
        if is_continued(old, &self.head, proof) { Continuity::Continued } else { Continuity::Different }
    }
}

/// A chain of an earlier file, and the same in a newer one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ChainComparison {
    pub(crate) chain: String,
    /// How many entries it had.
    pub(crate) old: u64,
    /// How many it has. `None` if it is missing.
    pub(crate) new: Option<u64>,
    pub(crate) state: Continuity,
}

/// Whether a chain continues its earlier checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Continuity {
    /// Its first entries are those of the checkpoint.
    Continued,
    Missing,
    Shorter,
    /// Its first entries are others.
    Different,
    /// The newer file has no proof from the size of the earlier one.
    Unproven,
}

impl Continuity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Continued => "continued",
            Self::Missing => "missing",
            Self::Shorter => "shorter",
            Self::Different => "different",
            Self::Unproven => "unproven",
        }
    }
}

/// The text that is signed.
fn note_text(key: &NoteKey, chain: &str, head: &TreeHead) -> String {
    format!("{}/{chain}\n{}\n{}\n", key.name(), head.size, BASE64.encode(&head.root))
}

impl fmt::Display for CheckpointFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORMAT}\nvkey {}\n", self.key)?;
        let list = self.list_head().ok_or(fmt::Error)?;
        write_note(f, &note_text(&self.key, self.list, &list), &self.signatures)?;
        for (chain, ChainCheckpoint { head, old, proof, signatures }) in &self.chains {
            writeln!(f, "\nold {old}")?;
            proof.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
            writeln!(f)?;
            write_note(f, &note_text(&self.key, chain, head), signatures)?;
        }
        Ok(())
    }
}

fn write_note(f: &mut fmt::Formatter<'_>, text: &str, signatures: &[NoteSignature]) -> fmt::Result {
    writeln!(f, "{text}")?;
    signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
}

/// Why a file cannot be read. It does not quote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct CheckpointFault {
    line: usize,
    what: &'static str,
}

struct LineReader<'a> {
    rest: &'a str,
    /// The number of the last line.
    number: usize,
}

impl<'a> LineReader<'a> {
    fn fault(&self, what: &'static str) -> CheckpointFault {
        CheckpointFault { line: self.number, what }
    }

    fn next(&mut self) -> Result<&'a str, CheckpointFault> {
        self.number += 1;
        // A last line without an end was cut.
        let (line, rest) = self.rest.split_once('\n').ok_or(self.fault("the file ends too early"))?;
        self.rest = rest;
        Ok(line)
    }

    fn blank(&mut self) -> Result<(), CheckpointFault> {
        if self.next()?.is_empty() { Ok(()) } else { Err(self.fault("expected an empty line")) }
    }

    fn chain(&mut self, key: &NoteKey) -> Result<(String, ChainCheckpoint), CheckpointFault> {
        let old = self.next()?.strip_prefix("old ").and_then(decimal);
        let old = old.ok_or(self.fault("expected `old` and a number of entries"))?;
        let mut proof = Vec::new();
        loop {
            match self.next()? {
                "" => break,
                _ if proof.len() == MAX_PROOF => return Err(self.fault("the proof is too long")),
                line => proof.push(hash(line).ok_or(self.fault("expected a hash in base64"))?),
            }
        }
        let (chain, head, signatures) = self.note(key)?;
        let is_id = chain.len() == 32 && chain.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_id {
            return Err(self.fault("expected the checkpoint of a chain"));
        }
        Ok((chain.to_owned(), ChainCheckpoint { head, old, proof, signatures }))
    }

    /// Reads a note, with what its origin has behind the name of the key.
    fn note(&mut self, key: &NoteKey) -> Result<(&'a str, TreeHead, Vec<NoteSignature>), CheckpointFault> {
        let name = self.next()?.strip_prefix(key.name()).and_then(|rest| rest.strip_prefix('/'));
        let name = name.ok_or(self.fault("expected the name of the key and a chain"))?;
        let size = decimal(self.next()?).ok_or(self.fault("expected a number of entries"))?;
        let root = hash(self.next()?).ok_or(self.fault("expected a hash in base64"))?;
        self.blank()?;
        let mut signatures = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with('\n') {
            let signature = NoteSignature::parse(self.next()?).ok_or(self.fault("expected a signature"))?;
            if signatures.len() == MAX_SIGNATURES {
                return Err(self.fault("too many signatures"));
            }
            signatures.push(signature);
        }
        Ok((name, TreeHead { size, root }, signatures))
    }
}

fn decimal(text: &str) -> Option<u64> {
    // Only the canonical text, since the signature covers it. Larger numbers do not occur in the API.
    text.parse().ok().filter(|number: &u64| *number <= i64::MAX as u64 && number.to_string() == text)
}

fn hash(text: &str) -> Option<TreeHash> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::memory::Key32;
    use crate::crypto::record::RecordKey;

    /// `golang.org/x/mod/sumdb/note` v0.37.0 has opened the three notes of this file with its `vkey`, and
    /// `github.com/transparency-dev/merkle` v0.0.2 has verified its roots and proofs.
    const VECTOR: &str = include_str!("../../tests/vectors/checkpoint-1.txt");

    fn key() -> LogKey {
        RecordKey::new(&Key32::copy_of(&[7; 32])).log_key()
    }

    fn tree(leaves: &[u8], old: u64) -> MerkleTree {
        let mut tree = MerkleTree::new(leaves.len() as u64, old);
        leaves.iter().enumerate().for_each(|(index, leaf)| tree.add(index as u64, leaf_hash(&[&[*leaf]])));
        tree
    }

    fn file(chains: &[(&str, &[u8], u64)]) -> CheckpointFile {
        let trees = chains.iter().map(|(id, leaves, old)| (id.repeat(16), tree(leaves, *old))).collect();
        CheckpointFile::sign(StoreId::from_bytes([1; 16]), &key(), &trees).unwrap()
    }

    fn states(old: &CheckpointFile, new: &CheckpointFile) -> Vec<Continuity> {
        old.compare(new).into_iter().map(|chain| chain.state).collect()
    }

    #[test]
    fn a_file_is_what_other_implementations_have_verified() {
        let made = file(&[("0a", b"abcdefgh", 6), ("ff", b"xyz", 2)]);
        assert_eq!(made.to_string(), VECTOR);
        assert_eq!(CheckpointFile::parse(VECTOR), Ok(made.clone()));
        assert_eq!(made.find_unsigned(&made.key), None);
        assert_eq!(made.key.to_string().parse(), Ok(made.key.clone()));
        let older = file(&[("0a", b"abcdef", 0), ("ff", b"xy", 0)]);
        assert_eq!(states(&older, &made), [Continuity::Continued; 2]);
    }

    #[test]
    fn each_way_in_which_a_chain_does_not_continue_is_told_apart() {
        use Continuity::*;
        let old = file(&[("0a", b"abcdef", 0)]);
        assert_eq!(states(&old, &old), [Continued]);
        assert_eq!(states(&old, &file(&[("0b", b"abcdef", 0)])), [Missing]);
        assert_eq!(states(&old, &file(&[("0a", b"abcde", 0)])), [Shorter]);
        assert_eq!(states(&old, &file(&[("0a", b"abcdeX", 0)])), [Different]);
        assert_eq!(states(&old, &file(&[("0a", b"abcdeXgh", 6)])), [Different]);
        assert_eq!(states(&old, &file(&[("0a", b"abcdefgh", 0)])), [Unproven]);
        assert_eq!(states(&old, &file(&[("0a", b"abcdefgh", 5)])), [Unproven]);
        assert_eq!(states(&file(&[("0a", b"", 0)]), &old), [Continued]);
        // A proof that was made for the forged start does not prove the true one.
        let mut forged = file(&[("0a", b"abcdefgh", 6)]);
        forged.chains.get_mut(&"0a".repeat(16)).unwrap().proof[0][0] ^= 1;
        assert_eq!(states(&old, &forged), [Different]);
    }

    #[test]
    fn a_changed_file_is_not_signed_and_a_damaged_one_is_not_read() {
        let bits = VECTOR.len() * 8;
        let key = CheckpointFile::parse(VECTOR).unwrap().key;
        let is_proven = |text: &str| {
            let older = file(&[("0a", b"abcdef", 0), ("ff", b"xy", 0)]);
            CheckpointFile::parse(text).is_ok_and(|file| {
                file.key == key
                    && file.find_unsigned(&key).is_none()
                    && states(&older, &file) == [Continuity::Continued; 2]
            })
        };
        assert!(is_proven(VECTOR));
        for bit in 0..bits {
            let mut changed = VECTOR.as_bytes().to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_proven(&String::from_utf8_lossy(&changed)), "bit {bit}");
        }
        for end in (0..VECTOR.len()).filter(|end| VECTOR.is_char_boundary(*end)) {
            assert!(!is_proven(&VECTOR[..end]), "cut after {end} bytes");
        }
        for (line, what, text) in [
            (1, "first line", String::new()),
            (1, "first line", "garbage".repeat(1000)),
            (1, "line ends", VECTOR.replace('\n', "\r\n")),
            (2, "`vkey`", VECTOR.replacen("vkey ", "key ", 1)),
            (5, "number", VECTOR.replacen("\n2\n", "\n02\n", 1)),
            (5, "number", VECTOR.replacen("\n2\n", "\n9223372036854775808\n", 1)),
            (8, "list of the chains is missing", VECTOR.replacen("\n2\n", "\n0\n", 1)),
            (29, "ends too early", VECTOR.replacen("\n2\n", "\n3\n", 1)),
            (20, "after the last", VECTOR.replacen("\n2\n", "\n1\n", 1)),
            (10, "`old`", VECTOR.replacen("old 6", "old -6", 1)),
            (29, "after the last", format!("{VECTOR}\n")),
        ] {
            let fault = CheckpointFile::parse(&text).unwrap_err();
            assert!(fault.line == line && fault.to_string().contains(what), "{fault} in {text}");
        }
    }

    #[test]
    fn a_chain_that_was_removed_from_a_file_is_missed() {
        let mut cut = file(&[("0a", b"abc", 0), ("ff", b"xyz", 0)]);
        let shorter = file(&[("0a", b"abc", 0)]);
        cut.chains.pop_last();
        // Its list is computed anew, and nobody has signed that one. The signature of a shorter log is that of another file.
        assert_eq!(
            CheckpointFile::parse(&cut.to_string()).unwrap().find_unsigned(&cut.key),
            Some(ALL_CHAINS)
        );
        let first = |file: &CheckpointFile| file.to_string().split("\nold ").next().unwrap().to_owned();
        let whole = file(&[("0a", b"abc", 0), ("ff", b"xyz", 0)]);
        let mixed = whole.to_string().replacen(&first(&whole), &first(&shorter), 1);
        assert!(CheckpointFile::parse(&mixed).is_err());
        assert_eq!(whole.find_unsigned(&whole.key), None);
        // A file of one chain is no file of a log that has one.
        let tree = tree(b"abc", 0);
        let one =
            CheckpointFile::sign_one(StoreId::from_bytes([1; 16]), &key(), "0a".repeat(16), tree).unwrap();
        assert!(!one.has_all_chains() && shorter.has_all_chains());
        let one = CheckpointFile::parse(&one.to_string()).unwrap();
        assert_eq!((one.has_all_chains(), one.find_unsigned(&one.key)), (false, None));
        let renamed = one.to_string().replace("/one-chain\n", "/chains\n");
        assert_eq!(CheckpointFile::parse(&renamed).unwrap().find_unsigned(&one.key), Some(ALL_CHAINS));
    }

    #[test]
    fn a_signature_of_another_key_name_or_chain_is_none() {
        let made = file(&[("0a", b"abc", 0)]);
        let (stranger, _) = RecordKey::generate(&mut crate::crypto::random::Kernel);
        assert!(made.find_unsigned(&stranger.log_key().public(made.key.name().to_owned())).is_some());
        assert!(made.find_unsigned(&key().public("dropsafe/other".to_owned())).is_some());
        // The signature of one chain under the name of another one.
        let mut moved = made.clone();
        let checkpoint = moved.chains.pop_first().unwrap().1;
        moved.chains.insert("0b".repeat(16), checkpoint);
        assert!(moved.find_unsigned(&made.key).is_some());
        // Of a witness, whose signature is ignored; and one more of the key itself, which is wrong.
        let witness = stranger.log_key().sign(&stranger.log_key().public("w".to_owned()), "text");
        let wrong = key().sign(&made.key, "text");
        let with = |signature: NoteSignature| {
            let mut file = made.clone();
            file.chains.get_mut(&"0a".repeat(16)).unwrap().signatures.push(signature);
            CheckpointFile::parse(&file.to_string()).unwrap().find_unsigned(&made.key).is_none()
        };
        assert!(with(witness) && !with(wrong));
        for text in ["", "a+b", "a+00000000+", "a+00000000+AQ==", &made.key.to_string()[1..]] {
            assert!(text.parse::<NoteKey>().is_err(), "{text}");
        }
    }
}
