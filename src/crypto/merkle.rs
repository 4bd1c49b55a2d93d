//! Merkle trees of logs (RFC 9162, section 2.1): the root, and the proof that a longer log begins with a shorter one.
//!
//! A tree takes its leaves in any order. It keeps complete subtrees instead of leaves, so that its memory grows with the logarithm
//! of its size, and with the number of gaps that are not filled yet.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// The hash of a leaf or of a subtree.
pub(crate) type TreeHash = [u8; 32];

/// Returns the hash of a leaf, whose data are the parts one after the other.
pub(crate) fn leaf_hash(parts: &[&[u8]]) -> TreeHash {
    // The byte in front keeps leaves and inner nodes apart.
    parts.iter().fold(Sha256::new_with_prefix([0]), |hash, part| hash.chain_update(part)).finalize().into()
}

fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// How many leaves of a tree of `size` (two or more) are in its left subtree: the largest power of two that is smaller.
fn left_size(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The size of a tree and its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeHead {
    pub(crate) size: u64,
    pub(crate) root: TreeHash,
}

/// A tree that is built from its leaves, and the size of an earlier tree that it proves to continue.
#[derive(Clone, Debug)]
pub(crate) struct MerkleTree {
    size: u64,
    old: u64,
    /// Complete subtrees by the index of their first leaf. None has leaves both before and after the end of the earlier tree.
    subtrees: BTreeMap<u64, Subtree>,
}

#[derive(Clone, Debug)]
struct Subtree {
    size: u64,
    hash: TreeHash,
}

impl MerkleTree {
    /// Begins a tree of `size` leaves. It proves nothing about an earlier tree of `old` leaves if that is 0 or larger than `size`.
    pub(crate) fn new(size: u64, old: u64) -> Self {
        Self { size, old: if old > size { 0 } else { old }, subtrees: BTreeMap::new() }
    }

    /// The size of the earlier tree. 0 stands for none.
    pub(crate) fn old(&self) -> u64 {
        self.old
    }

    /// Adds the leaf with this index. Each leaf must be added once.
    pub(crate) fn add(&mut self, index: u64, hash: TreeHash) {
        let (mut first, mut subtree) = (index, Subtree { size: 1, hash });
        // The size of a subtree is a power of two, and its first index a multiple of it.
        loop {
            let sibling = first ^ subtree.size;
            let parent = first.min(sibling);
            let is_cut = (parent + 1..parent + 2 * subtree.size).contains(&self.old);
            let Some(other) =
                self.subtrees.get(&sibling).filter(|other| other.size == subtree.size && !is_cut)
            else {
                break;
            };
            let (left, right) = if first < sibling { (&subtree, other) } else { (other, &subtree) };
            subtree = Subtree { size: 2 * subtree.size, hash: node_hash(&left.hash, &right.hash) };
            self.subtrees.remove(&sibling);
            first = parent;
        }
        self.subtrees.insert(first, subtree);
    }

    /// Adds a leaf behind the last one, to a tree that proves nothing about an earlier one.
    pub(crate) fn append(&mut self, hash: TreeHash) {
        self.add(self.size, hash);
        self.size += 1;
    }

    /// Returns size and root. `None` if a leaf is missing.
    pub(crate) fn head(&self) -> Option<TreeHead> {
        let root = if self.size == 0 { Sha256::digest([]).into() } else { self.hash(0, self.size)? };
        Some(TreeHead { size: self.size, root })
    }

    /// Returns the consistency proof from the earlier tree to this one (section 2.1.4.1). `None` if a leaf is missing.
    pub(crate) fn proof(&self) -> Option<Vec<TreeHash>> {
        let mut proof = Vec::new();
        if self.old == 0 {
            return Some(proof);
        }
        // SUBPROOF of the RFC from the root down, so that the last hash comes first.
        let (mut begin, mut end, mut is_known) = (0, self.size, true);
        while end != self.old {
            let middle = begin + left_size(end - begin);
            if self.old <= middle {
                proof.push(self.hash(middle, end)?);
                end = middle;
            } else {
                proof.push(self.hash(begin, middle)?);
                (begin, is_known) = (middle, false);
            }
        }
        // A complete subtree from the first leaf on is the earlier tree itself, whose root the reader has.
        if !is_known {
            proof.push(self.hash(begin, end)?);
        }
        proof.reverse();
        Some(proof)
    }

    /// The hash of the subtree from leaf `begin` to before `end`.
    fn hash(&self, begin: u64, end: u64) -> Option<TreeHash> {
        let size = end - begin;
        if let Some(found) = self.subtrees.get(&begin).filter(|found| found.size == size) {
            return Some(found.hash);
        }
        if size <= 1 {
            return None;
        }
        let middle = begin + left_size(size);
        Some(node_hash(&self.hash(begin, middle)?, &self.hash(middle, end)?))
    }
}

/// Whether `proof` proves that the first leaves of the tree `new` are those of `old` (section 2.1.4.2).
pub(crate) fn is_continued(old: &TreeHead, new: &TreeHead, proof: &[TreeHash]) -> bool {
    // Every log continues an empty one.
    if old.size == 0 || old.size == new.size {
        return proof.is_empty() && (old.size < new.size || old.root == new.root);
    }
    if old.size > new.size {
        return false;
    }
    let own = old.size.is_power_of_two().then_some(old.root);
    let mut hashes = own.iter().chain(proof);
    let Some(first) = hashes.next() else { return false };
    // The path from the last leaf of the earlier tree to the root, and the same of this tree's last leaf.
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    (at, last) = (at >> at.trailing_ones(), last >> at.trailing_ones());
    let (mut old_root, mut new_root) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = node_hash(hash, &old_root);
            new_root = node_hash(hash, &new_root);
            // A last subtree without a sibling is its own parent.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new_root = node_hash(&new_root, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_root == old.root && new_root == new.root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> TreeHash {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    /// The tree as the RFC defines it, section 2.1.1.
    fn root(leaves: &[TreeHash]) -> TreeHash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(left_size(leaves.len() as u64) as usize);
                node_hash(&root(left), &root(right))
            }
        }
    }

    fn tree(leaves: &[TreeHash], old: u64) -> MerkleTree {
        let mut tree = MerkleTree::new(leaves.len() as u64, old);
        // Backwards, as the log is read.
        (0..leaves.len()).rev().for_each(|index| tree.add(index as u64, leaves[index]));
        tree
    }

    /// The leaves, roots and proofs of Certificate Transparency's own tests: `merkletree/merkle_tree_test.cc` of
    /// github.com/google/certificate-transparency, and `testonly` of github.com/transparency-dev/merkle.
    #[test]
    fn trees_equal_those_of_certificate_transparency() {
        let data = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let proofs: [(u64, u64, &[&str]); 5] = [
            (1, 1, &[]),
            (
                1,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                6,
                8,
                &[
                    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (
                2,
                5,
                &[
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
            (8, 8, &[]),
        ];
        let leaves: Vec<TreeHash> = data
            .iter()
            .map(|data| leaf_hash(&[&data_encoding::HEXLOWER.decode(data.as_bytes()).unwrap()]))
            .collect();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tree(&[], 0).head().unwrap().root, hex(empty));
        for (count, expected) in roots.iter().enumerate() {
            assert_eq!(tree(&leaves[..=count], 0).head().unwrap().root, hex(expected), "{count}");
        }
        for (old, new, expected) in proofs {
            let expected: Vec<TreeHash> = expected.iter().map(|hash| hex(hash)).collect();
            assert_eq!(tree(&leaves[..new as usize], old).proof().unwrap(), expected, "{old} to {new}");
        }
    }

    #[test]
    fn every_pair_of_sizes_up_to_64_has_a_proof_that_no_other_tree_passes() {
        let leaves: Vec<TreeHash> = (0..64_u8).map(|i| leaf_hash(&[&[i]])).collect();
        for new in 0..=64_u64 {
            let leaves = &leaves[..new as usize];
            for old in 0..=new {
                let tree = tree(leaves, old);
                let (head, proof) = (tree.head().unwrap(), tree.proof().unwrap());
                assert_eq!(head.root, root(leaves));
                let earlier = TreeHead { size: old, root: root(&leaves[..old as usize]) };
                assert!(is_continued(&earlier, &head, &proof), "{old} to {new}");
                assert!(tree.subtrees.len() <= 14, "{} subtrees", tree.subtrees.len());
                let other = TreeHead { root: [9; 32], ..earlier };
                assert!(old == 0 || !is_continued(&other, &head, &proof), "another start of {old} to {new}");
                assert!(old == 0 || !is_continued(&earlier, &TreeHead { root: [9; 32], ..head }, &proof));
                assert!(old == new || !is_continued(&head, &earlier, &proof), "backwards");
                for index in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[index][0] ^= 1;
                    assert!(!is_continued(&earlier, &head, &changed));
                    changed.remove(index);
                    assert!(!is_continued(&earlier, &head, &changed));
                }
                let longer = [proof.as_slice(), &[[0; 32]]].concat();
                assert!(!is_continued(&earlier, &head, &longer));
            }
        }
    }

    #[test]
    fn leaves_may_come_in_any_order_and_none_may_be_missing() {
        let leaves: Vec<TreeHash> = (0..41_u8).map(|i| leaf_hash(&[&[i]])).collect();
        let expected = tree(&leaves, 13);
        let mut shuffled = MerkleTree::new(41, 13);
        for step in 0..41 {
            assert!(shuffled.head().is_none() && shuffled.proof().is_none());
            // 7 and 41 have no common divisor, so that each index comes once.
            let index = step * 7 % 41;
            shuffled.add(index, leaves[index as usize]);
        }
        assert_eq!(shuffled.head(), expected.head());
        assert_eq!(shuffled.proof(), expected.proof());
        assert_eq!(MerkleTree::new(3, 5).old(), 0);
    }

    #[test]
    fn a_tree_that_grows_is_that_of_all_its_leaves() {
        let leaves: Vec<TreeHash> = (0..200_u8).map(|i| leaf_hash(&[&[i]])).collect();
        let mut growing = MerkleTree::new(0, 0);
        for size in 0..=leaves.len() {
            assert_eq!(growing.head().unwrap(), TreeHead { size: size as u64, root: root(&leaves[..size]) });
            assert!(growing.subtrees.len() <= 8);
            leaves.get(size).into_iter().for_each(|leaf| growing.append(*leaf));
        }
    }
}
