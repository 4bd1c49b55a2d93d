//! Where something that is searched for may start: its first four bytes, as any encoder writes them. Most output is passed over here,
//! at the price of a multiplication and a bit for each byte.

use std::ops::Range;

use zeroize::Zeroizing;

use super::decoder::{Decoder, short_escapes};
use super::patterns::{PatternSet, hex_digit, sort};

/// The length of a head: that of the shortest pattern.
pub(crate) const HEAD: usize = 4;
/// The words of the filter. They stay in the processor's first cache, and are enough for some hundred values.
const SMALL_FILTER: usize = 1 << 11;
/// The same for files of many lines: with too few, each byte would cost a binary search.
const LARGE_FILTER: usize = 1 << 14;
/// How many heads a small filter has at most.
const MANY_HEADS: usize = 4096;

pub(crate) struct Anchors {
    /// The first four bytes as big-endian numbers, so that their order is that of the texts.
    heads: Zeroizing<Vec<u32>>,
    /// By head, the first of the patterns that start with it or come after it.
    patterns: Vec<u32>,
    /// A bit for each hash of a head.
    filter: Zeroizing<Vec<u64>>,
}

/// A place where a pattern may start.
pub(crate) struct AnchorMatch {
    pub(crate) at: usize,
    /// The patterns whose first four characters are there. `None` if the text is shorter or has an escape sequence.
    pub(crate) patterns: Option<Range<usize>>,
}

impl Anchors {
    pub(crate) fn new(set: &PatternSet) -> Self {
        // Twice, first to count: a vector that grows leaves unwiped memory behind.
        let mut count = 0;
        each_head(set, &mut |_| count += 1);
        let mut heads = Zeroizing::new(Vec::with_capacity(count));
        each_head(set, &mut |head| heads.push(head));
        sort(&mut heads, |a, b| a < b);
        heads.dedup();
        let words = if heads.len() > MANY_HEADS { LARGE_FILTER } else { SMALL_FILTER };
        let mut filter = Zeroizing::new(vec![0; words]);
        for head in heads.iter() {
            let hash = hash(head.swap_bytes().into(), words);
            filter[hash / 64] |= 1 << (hash % 64);
        }
        let patterns = heads.iter().map(|head| set.position(&head.to_be_bytes()) as u32).collect();
        Self { heads, patterns, filter }
    }

    /// The first place in `text`, from `start` on, at which a pattern may start.
    pub(crate) fn find(&self, text: &[u8], start: usize) -> Option<AnchorMatch> {
        let found = match self.filter.first_chunk::<LARGE_FILTER>() {
            Some(large) => self.scan(large, &text[start..]),
            None => self.scan(self.filter.first_chunk::<SMALL_FILTER>()?, &text[start..]),
        };
        if let Some((at, index)) = found {
            let at = start + at;
            let literal = text[at..at + HEAD].iter().all(|byte| Decoder::of_escape(*byte).is_none());
            return Some(AnchorMatch { at, patterns: literal.then(|| self.patterns_of(index)) });
        }
        let mut tail = text.len().saturating_sub(HEAD - 1).max(start)..text.len();
        let at = tail.find(|at| self.continues(&text[*at..]))?;
        Some(AnchorMatch { at, patterns: None })
    }

    /// The first place of a whole head, and the index of the head.
    fn scan<const WORDS: usize>(&self, filter: &[u64; WORDS], text: &[u8]) -> Option<(usize, usize)> {
        let mut at = 0;
        // Four places at once: most often, none of them is one.
        while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(*bytes);
            let bits = lookup(filter, word) | lookup(filter, word >> 8);
            let bits = bits | lookup(filter, word >> 16) | lookup(filter, word >> 24);
            if bits & 1 == 1
                && let Some((ahead, index)) = self.search(&bytes[..7])
            {
                return Some((at + ahead, index));
            }
            at += 4;
        }
        self.search(text.get(at..)?).map(|(ahead, index)| (at + ahead, index))
    }

    /// The same without the filter.
    fn search(&self, text: &[u8]) -> Option<(usize, usize)> {
        text.windows(HEAD).enumerate().find_map(|(at, bytes)| {
            let head = bytes.iter().fold(0, |head, byte| head << 8 | u32::from(*byte));
            Some((at, self.heads.binary_search(&head).ok()?))
        })
    }

    fn patterns_of(&self, index: usize) -> Range<usize> {
        let end = self.patterns.get(index + 1).copied().unwrap_or(u32::MAX);
        self.patterns[index] as usize..end as usize
    }

    /// Whether a head starts with `beginning`, which is shorter.
    fn continues(&self, beginning: &[u8]) -> bool {
        let mut first = [0; 4];
        first[..beginning.len()].copy_from_slice(beginning);
        let index = self.heads.partition_point(|head| *head < u32::from_be_bytes(first));
        self.heads.get(index).is_some_and(|head| head.to_be_bytes().starts_with(beginning))
    }
}

/// The hash of the four lowest bytes of `text`, which are its first ones.
fn hash(text: u64, words: usize) -> usize {
    // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): 2^32 divided by the golden ratio.
    ((text as u32).wrapping_mul(0x9E37_79B9) >> (32 - (words * 64).ilog2())) as usize
}

/// The lowest bit is that of the hash.
#[inline(always)]
fn lookup<const WORDS: usize>(filter: &[u64; WORDS], text: u64) -> u64 {
    let hash = hash(text, WORDS);
    // The remainder is the number itself, and tells the compiler that it is within bounds.
    filter[hash / 64 % WORDS] >> (hash % 64)
}

/// Calls `add` with every head, some of them more than once.
fn each_head(set: &PatternSet, add: &mut dyn FnMut(u32)) {
    for (beginning, whole) in set.beginnings() {
        // Escaped beginnings are searched for whole, plain values only: encoded forms hardly have characters that are escaped, and there are
        // too many single lines.
        let escapes: &[Decoder] = if whole { &[Decoder::Url, Decoder::Json] } else { &[Decoder::Literal] };
        for decoder in escapes {
            spell(&beginning, *decoder, &[], add);
        }
    }
}

/// Calls `add` with the head of every spelling of `rest` after `written`.
fn spell(rest: &[u8], decoder: Decoder, written: &[u8], add: &mut dyn FnMut(u32)) {
    if let Some(head) = written.first_chunk() {
        return add(u32::from_be_bytes(*head));
    }
    let Some((first, after)) = rest.split_first() else { return };
    let mut spell_as =
        |spelled: &[u8]| spell(after, decoder, &Zeroizing::new([written, spelled].concat()), add);
    spell_as(&[*first]);
    // No encoder escapes these.
    if first.is_ascii_alphanumeric() {
        return;
    }
    for upper in [false, true] {
        let digit = |shift: u16, code: u16| hex_digit((code >> shift) as u8, upper);
        match decoder {
            Decoder::Literal => {}
            Decoder::Url => {
                let code = u16::from(*first);
                spell_as(&[b'%', digit(4, code), digit(0, code)]);
                if *first == b' ' {
                    spell_as(b"+");
                }
            }
            Decoder::Json => {
                if let Some((_, escape)) = short_escapes().find(|(byte, _)| byte == first) {
                    spell_as(&[b'\\', escape]);
                }
                // The rest does not matter: such an escape has six bytes.
                let mut characters = (1..=rest.len()).filter_map(|len| str::from_utf8(&rest[..len]).ok());
                let unit = characters.next().and_then(|text| text.encode_utf16().next());
                if let Some(code) = unit {
                    spell_as(&[b'\\', b'u', digit(12, code), digit(8, code), digit(4, code), digit(0, code)]);
                }
            }
        }
    }
}
