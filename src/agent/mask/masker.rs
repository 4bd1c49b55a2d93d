//! Replaces patterns in a stream, however it is cut into pieces. Bytes that cannot be part of a pattern are forwarded at once; bytes
//! that may still become one are held until that is decided. Overlapping matches are replaced as one.

use std::collections::VecDeque;

/// The replacement of a value.
pub(crate) const MASK: &[u8] = b"***";

/// An automaton that matches all patterns at once (Aho and Corasick, 1975): a tree of their prefixes, and from each prefix a link to
/// its longest proper suffix that is a prefix too.
pub(crate) struct PatternSet {
    nodes: Vec<PatternNode>,
    /// The root's children by byte; 0 for none.
    first: [u32; 256],
}

#[derive(Default)]
struct PatternNode {
    /// Sorted by byte.
    children: Vec<(u8, u32)>,
    /// The link.
    fail: u32,
    /// The length of this prefix.
    depth: u32,
    /// The length of the longest pattern that ends here; 0 for none.
    matched: u32,
}

const ROOT: u32 = 0;

impl PatternSet {
    /// Empty patterns are ignored.
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut built = Self { nodes: vec![PatternNode::default()], first: [ROOT; 256] };
        for pattern in patterns {
            built.add(pattern);
        }
        for (byte, child) in &built.nodes[0].children {
            built.first[usize::from(*byte)] = *child;
        }
        built.link();
        built
    }

    fn add(&mut self, pattern: &[u8]) {
        let mut at = ROOT as usize;
        for (depth, byte) in (1..).zip(pattern) {
            at = match self.nodes[at].children.binary_search_by_key(byte, |(byte, _)| *byte) {
                Ok(found) => self.nodes[at].children[found].1 as usize,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes[at].children.insert(place, (*byte, new as u32));
                    self.nodes.push(PatternNode { depth, ..PatternNode::default() });
                    new
                }
            };
        }
        self.nodes[at].matched = self.nodes[at].depth;
    }

    fn link(&mut self) {
        // Level by level, since a link leads to a shorter prefix, which must have its own link first.
        let mut queue: VecDeque<u32> = self.nodes[0].children.iter().map(|(_, child)| *child).collect();
        while let Some(at) = queue.pop_front() {
            let fail = self.nodes[at as usize].fail;
            if self.nodes[at as usize].matched == 0 {
                self.nodes[at as usize].matched = self.nodes[fail as usize].matched;
            }
            for index in 0..self.nodes[at as usize].children.len() {
                let (byte, child) = self.nodes[at as usize].children[index];
                self.nodes[child as usize].fail = self.next(fail, byte);
                queue.push_back(child);
            }
        }
    }

    fn next(&self, mut at: u32, byte: u8) -> u32 {
        loop {
            if at == ROOT {
                return self.first[usize::from(byte)];
            }
            let node = &self.nodes[at as usize];
            match node.children.binary_search_by_key(&byte, |(byte, _)| *byte) {
                Ok(found) => return node.children[found].1,
                Err(_) => at = node.fail,
            }
        }
    }
}

pub(crate) struct Masker<'a> {
    patterns: &'a PatternSet,
    at: u32,
    /// The bytes that were not forwarded yet, and whether each is part of a match.
    held: VecDeque<(u8, bool)>,
    /// Whether the last output was the replacement of a match that may go on.
    masking: bool,
}

impl<'a> Masker<'a> {
    /// A masker at the start of a stream.
    pub(crate) fn new(patterns: &'a PatternSet) -> Self {
        Self { patterns, at: ROOT, held: VecDeque::new(), masking: false }
    }

    /// Appends to `out` what can be forwarded after the next piece.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            if self.at == ROOT && self.held.is_empty() {
                // Most output: no pattern starts here, and a whole run is copied at once.
                let plain = rest.iter().take_while(|byte| self.patterns.first[usize::from(**byte)] == ROOT);
                let (plain, after) = rest.split_at(plain.count());
                if !plain.is_empty() {
                    out.extend_from_slice(plain);
                    self.masking = false;
                    rest = after;
                    continue;
                }
            }
            self.step(*byte, out);
            rest = after;
        }
    }

    /// Appends what was held: the stream has ended, so that it cannot become a match any more.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.at = ROOT;
        self.release(out);
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.at = self.patterns.next(self.at, byte);
        self.held.push_back((byte, false));
        let matched = self.patterns.nodes[self.at as usize].matched as usize;
        // A match may be longer than what is held: its first bytes then belonged to an earlier match and are replaced already.
        for (_, known) in self.held.iter_mut().rev().take(matched) {
            *known = true;
        }
        self.release(out);
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        // Only the longest prefix that is still open must be held; everything before it is decided.
        let open = self.patterns.nodes[self.at as usize].depth as usize;
        while let Some((byte, known)) = self.held.front().copied() {
            if known {
                if !self.masking {
                    out.extend_from_slice(MASK);
                }
            } else if self.held.len() > open {
                out.push(byte);
            } else {
                break;
            }
            self.masking = known;
            self.held.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(patterns: &[&str], pieces: &[&str]) -> Vec<String> {
        let patterns = PatternSet::new(patterns.iter().map(|pattern| pattern.as_bytes()));
        let mut masker = Masker::new(&patterns);
        let mut passed = Vec::new();
        for piece in pieces {
            let mut out = Vec::new();
            masker.push(piece.as_bytes(), &mut out);
            passed.push(String::from_utf8(out).unwrap());
        }
        let mut out = Vec::new();
        masker.finish(&mut out);
        passed.push(String::from_utf8(out).unwrap());
        passed
    }

    #[test]
    fn a_value_is_masked_across_pieces_and_nothing_is_held_for_longer_than_it_must_be() {
        assert_eq!(masked(&["secret"], &["a sec", "ret b"]), ["a ", "*** b", ""]);
        assert_eq!(masked(&["secret"], &["a sec", "ond"]), ["a ", "second", ""]);
        assert_eq!(masked(&["secret"], &["secret"]), ["***", ""]);
        assert_eq!(masked(&["secret"], &["plain\n", "s"]), ["plain\n", "", "s"]);
        assert_eq!(masked(&["secret", "secretary"], &["secret", "ary", " x"]), ["***", "", " x", ""]);
        assert_eq!(masked(&["secret", "secretary"], &["secret", "ar", "t"]), ["***", "", "art", ""]);
        assert_eq!(masked(&["abcd", "cdef"], &["abcdef"]), ["***", ""]);
        assert_eq!(masked(&["bcd", "abcde"], &["abcdx", "abcde"]), ["a***x", "***", ""]);
        assert_eq!(masked(&["one\ntwo"], &["one\n", "two\n"]), ["", "***\n", ""]);
        assert_eq!(masked(&[], &["x"]), ["x", ""]);
        assert_eq!(masked(&["aa"], &["aaa a aa"]), ["*** a ***", ""]);
    }

    /// Searches for every pattern at every position.
    fn plainly(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
        let mut known = vec![false; text.len()];
        for start in 0..text.len() {
            for pattern in patterns.iter().filter(|pattern| text[start..].starts_with(pattern)) {
                known[start..start + pattern.len()].fill(true);
            }
        }
        let mut out = Vec::new();
        for (at, byte) in text.iter().enumerate() {
            if !known[at] {
                out.push(*byte);
            } else if at == 0 || !known[at - 1] {
                out.extend_from_slice(MASK);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn it_agrees_with_looking_everywhere(
            patterns in proptest::collection::vec(proptest::collection::vec(97_u8..100, 1..6), 0..5),
            text in proptest::collection::vec(97_u8..100, 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..5),
        ) {
            let built = PatternSet::new(patterns.iter().map(Vec::as_slice));
            let mut masker = Masker::new(&built);
            let mut out = Vec::new();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for piece in cuts.windows(2) {
                masker.push(&text[piece[0]..piece[1]], &mut out);
            }
            masker.finish(&mut out);
            prop_assert_eq!(out, plainly(&patterns, &text));
        }
    }
}
