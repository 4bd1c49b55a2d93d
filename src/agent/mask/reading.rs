//! One comparison of output with the patterns, from one place on. It stops where the output ends so far and continues when there is
//! more of it. Pure.

use super::anchors::{AnchorMatch, HEAD};
use super::decoder::{Decoder, Undecoded};
use super::patterns::{DECISIVE, PatternSet};

/// Patterns that agree with the text so far, if the text is read in one way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    decoder: Decoder,
    /// The patterns, by their order.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// How many of their characters agree.
    depth: usize,
    /// The text that agrees ends here.
    pub(crate) at: usize,
    /// The end of the longest pattern that was found; 0 for none.
    pub(crate) found: usize,
    /// Whether the first `DECISIVE` characters agree. Then there is one pattern.
    pub(crate) decided: bool,
    /// By decoder, whether that reading exists already.
    split: [bool; 3],
}

/// Where a comparison has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadingState {
    /// No pattern is left.
    Over,
    /// At the end of the text.
    Waiting,
    /// After `DECISIVE` characters.
    Decided,
}

/// A reading for each decoder.
pub(crate) type Readings = [Option<Reading>; 3];

impl Reading {
    /// What is known at an anchor.
    pub(crate) fn start(set: &PatternSet, anchor: AnchorMatch) -> Self {
        let depth = if anchor.patterns.is_some() { HEAD } else { 0 };
        let patterns = anchor.patterns.unwrap_or(0..set.len());
        Self {
            decoder: Decoder::Literal,
            first: patterns.start,
            end: patterns.end.min(set.len()),
            depth,
            at: anchor.at + depth,
            found: 0,
            decided: false,
            split: [false; 3],
        }
    }

    /// This reading for one of its patterns, after `DECISIVE` characters.
    pub(crate) fn decide(&self, pattern: usize) -> Self {
        Self { first: pattern, end: pattern + 1, decided: true, ..*self }
    }

    /// After `count` bytes were removed from the beginning of the text.
    pub(crate) fn shift(&mut self, count: usize) {
        self.at -= count;
        self.found = self.found.saturating_sub(count);
    }

    /// Compares as far as the text goes. Where the text may be read in another way too, that reading is added to `readings`.
    /// Patterns of `followed` are left out.
    pub(crate) fn advance(
        &mut self,
        set: &PatternSet,
        text: &[u8],
        readings: &mut Readings,
        followed: &[Reading],
    ) -> ReadingState {
        loop {
            // A pattern comes before those that continue it.
            while self.first < self.end && set.pattern_len(self.first) == self.depth {
                self.found = self.at;
                self.first += 1;
            }
            let is_followed = |pattern| followed.iter().any(|other| other.end == pattern + 1);
            // Otherwise a value that repeats itself would be compared again from each of its bytes.
            if self.end - self.first <= followed.len() && (self.first..self.end).all(is_followed) {
                return ReadingState::Over;
            }
            if self.depth >= DECISIVE && !self.decided {
                return ReadingState::Decided;
            }
            let Some(next) = text.get(self.at) else { return ReadingState::Waiting };
            let equal = self.count_equal(set, &text[self.at..]);
            if equal > 0 {
                self.depth += equal;
                self.at += equal;
                continue;
            }
            self.split_at(*next, readings);
            match self.decoder.read(&text[self.at..]) {
                Err(Undecoded::Incomplete) => return ReadingState::Waiting,
                Err(Undecoded::Malformed) => return ReadingState::Over,
                Ok(unit) => {
                    let mut patterns = self.first..self.end;
                    for (ahead, byte) in unit.bytes().iter().enumerate() {
                        patterns = set.narrow(patterns, self.depth + ahead, *byte);
                    }
                    if patterns.is_empty() {
                        return ReadingState::Over;
                    }
                    (self.first, self.end) = (patterns.start, patterns.end);
                    self.depth += unit.bytes().len();
                    self.at += unit.used;
                }
            }
        }
    }

    /// Compares many bytes at once where that is possible. Returns how many are equal.
    fn count_equal(&self, set: &PatternSet, text: &[u8]) -> usize {
        if self.decoder != Decoder::Literal {
            return 0;
        }
        let Some(shared) = set.shared_bytes(self.first..self.end) else { return 0 };
        let limit = if self.decided { shared.len() } else { shared.len().min(DECISIVE) };
        let expected = shared.get(self.depth..limit).unwrap_or_default();
        let words = text.chunks_exact(8).zip(expected.chunks_exact(8));
        let equal = words.take_while(|(a, b)| a == b).count() * 8;
        equal + text[equal..].iter().zip(&expected[equal..]).take_while(|(a, b)| a == b).count()
    }

    /// Adds the reading in which `next` starts an escape sequence.
    fn split_at(&mut self, next: u8, readings: &mut Readings) {
        let Some(decoder) = Decoder::of_escape(next) else { return };
        let index = decoder as usize;
        // Only once: in that reading, all further ones are escape sequences too.
        if self.decoder == Decoder::Literal && !self.split[index] {
            self.split[index] = true;
            readings[index] = Some(Self { decoder, found: 0, ..*self });
        }
    }
}
