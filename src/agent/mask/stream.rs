//! Replaces patterns in a stream, whatever pieces it comes in. What no pattern can begin with any more is passed on at once; what
//! may still become one is held back until that is decided. Overlapping occurrences are one.

use std::collections::VecDeque;

/// What stands in the place of a value.
pub(crate) const MASK: &[u8] = b"***";

/// All patterns at once (Aho and Corasick, 1975): a tree of their beginnings, and from each the longest end that is a beginning.
pub(crate) struct Patterns {
    nodes: Vec<Node>,
    /// Children of the root, by byte; 0 for none.
    first: [u32; 256],
}

#[derive(Default)]
struct Node {
    /// In the order of their bytes.
    children: Vec<(u8, u32)>,
    /// The longest proper end that is a beginning as well.
    fail: u32,
    /// Length of this beginning.
    depth: u32,
    /// Length of the longest pattern that ends here; 0 for none.
    whole: u32,
}

const ROOT: u32 = 0;

impl Patterns {
    /// Empty patterns are left out.
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut built = Self { nodes: vec![Node::default()], first: [ROOT; 256] };
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
                    self.nodes.push(Node { depth, ..Node::default() });
                    new
                }
            };
        }
        self.nodes[at].whole = self.nodes[at].depth;
    }

    /// Level by level, so that whatever is shorter is linked already.
    fn link(&mut self) {
        let mut queue: VecDeque<u32> = self.nodes[0].children.iter().map(|(_, child)| *child).collect();
        while let Some(at) = queue.pop_front() {
            let fail = self.nodes[at as usize].fail;
            if self.nodes[at as usize].whole == 0 {
                self.nodes[at as usize].whole = self.nodes[fail as usize].whole;
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

/// One stream.
pub(crate) struct Masker<'a> {
    patterns: &'a Patterns,
    at: u32,
    /// What has not been passed on, and whether it is known to be part of a value.
    held: VecDeque<(u8, bool)>,
    /// Whether the last that was passed on stands for a value that may go on.
    masking: bool,
}

impl<'a> Masker<'a> {
    /// A stream from its beginning.
    pub(crate) fn new(patterns: &'a Patterns) -> Self {
        Self { patterns, at: ROOT, held: VecDeque::new(), masking: false }
    }

    /// Takes the next piece; what can be passed on is added to `out`.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            if self.at == ROOT && self.held.is_empty() {
                // Most of it: nothing begins here.
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

    /// The stream has ended: what might have become a value has not.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.at = ROOT;
        self.release(out);
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.at = self.patterns.next(self.at, byte);
        self.held.push_back((byte, false));
        let whole = self.patterns.nodes[self.at as usize].whole as usize;
        // What of it has been passed on was known to be part of a value before.
        for (_, known) in self.held.iter_mut().rev().take(whole) {
            *known = true;
        }
        self.release(out);
    }

    fn release(&mut self, out: &mut Vec<u8>) {
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
        let patterns = Patterns::new(patterns.iter().map(|pattern| pattern.as_bytes()));
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

    /// By looking for every pattern at every place of the whole.
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
            let built = Patterns::new(patterns.iter().map(Vec::as_slice));
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
