//! What is searched for: each value as it is, in hexadecimal and in base64, and each line of a value with several. A character of a
//! pattern is computed from the value whenever it is compared. No form is ever stored, so the memory is that of the values. Pure.

use std::cmp::Ordering;
use std::ops::Range;

use zeroize::Zeroizing;

/// Shorter values also occur in ordinary words and numbers.
pub(crate) const SHORTEST: usize = 4;
/// The same for an encoded form, which may lack a character at either end.
const SHORTEST_ENCODED: usize = 5;
/// The same for one line of a value with several, without its indentation.
const SHORTEST_LINE: usize = 8;
/// Output that agrees with so many characters of a longer pattern counts as that value: it is masked before the rest has arrived. This bounds
/// how much output is held, and how often a character is compared.
pub(crate) const DECISIVE: usize = 4096;
/// How many characters decide the order of patterns. A decoder returns up to 4 at once, and the last of them may be beyond `DECISIVE`.
const ORDERED: usize = DECISIVE + 4;
/// The most forms of a value: with and without its last newline, itself, 2 in hexadecimal and 18 in base64.
const MAX_FORMS: usize = 2 * 21;
/// The characters at the beginning of base64 that depend on what precedes the value as well: 8 bits reach into 2 characters of 6 bits
/// each, and 16 bits into 3.
const UNKNOWN: [usize; 3] = [0, 2, 3];

/// One form of a part of the values.
#[derive(Debug, Clone, Copy)]
struct MaskPattern {
    /// Where the part starts in the values.
    start: u32,
    /// Its length in bytes.
    size: u32,
    form: PatternForm,
}

#[derive(Debug, Clone, Copy)]
enum PatternForm {
    Plain {
        /// A value, and not one of its lines.
        whole: bool,
        /// Whether it has a character with which an escape sequence starts.
        ambiguous: bool,
    },
    Hex {
        upper: bool,
    },
    Base64 {
        /// The alphabet for URLs.
        url: bool,
        /// How many bytes precede the value, modulo 3. Base64 turns 3 bytes into 4 characters.
        before: u8,
        tail: Base64Tail,
    },
}

#[derive(Debug, Clone, Copy)]
enum Base64Tail {
    /// Without the character that holds bits of what follows.
    Open,
    /// As if the value were the end.
    Ended,
    /// The same with `=`.
    Padded,
}

impl MaskPattern {
    /// The number of characters.
    fn len(&self) -> usize {
        let size = self.size as usize;
        match self.form {
            PatternForm::Plain { .. } => size,
            PatternForm::Hex { .. } => size * 2,
            PatternForm::Base64 { before, tail, .. } => {
                let bits = (size + usize::from(before)) * 8;
                let characters = match tail {
                    Base64Tail::Open => bits / 6,
                    Base64Tail::Ended => bits.div_ceil(6),
                    Base64Tail::Padded => bits.div_ceil(24) * 4,
                };
                characters.saturating_sub(UNKNOWN[usize::from(before)])
            }
        }
    }

    fn part<'a>(&self, values: &'a [u8]) -> &'a [u8] {
        &values[self.start as usize..][..self.size as usize]
    }

    /// The character at `at`, `None` after the last one.
    fn character(&self, values: &[u8], at: usize) -> Option<u8> {
        let part = self.part(values);
        match self.form {
            PatternForm::Plain { .. } => part.get(at).copied(),
            PatternForm::Hex { upper } => Some(hex_digit(part.get(at / 2)? >> (4 - at % 2 * 4), upper)),
            PatternForm::Base64 { url, before, .. } => {
                if at >= self.len() {
                    return None;
                }
                let before = usize::from(before);
                let bit = (at + UNKNOWN[before]) * 6 - before * 8;
                let Some(first) = part.get(bit / 8) else { return Some(b'=') };
                let second = part.get(bit / 8 + 1).copied().unwrap_or(0);
                Some(base64_digit(u16::from_be_bytes([*first, second]) >> (10 - bit % 8), url))
            }
        }
    }

    fn compare(&self, other: &Self, values: &[u8]) -> Ordering {
        for at in 0..ORDERED {
            let (a, b) = (self.character(values, at), other.character(values, at));
            if a != b || a.is_none() {
                return a.cmp(&b);
            }
        }
        Ordering::Equal
    }
}

/// Sorts in place, with a heap (Knuth, The Art of Computer Programming, volume 3, section 5.2.3). The sort of the standard library takes
/// some KiB of the program for each type.
pub(crate) fn sort<T: Copy>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    for start in (0..items.len() / 2).rev() {
        sift_down(items, start, &is_less);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift_down(&mut items[..end], 0, &is_less);
    }
}

fn sift_down<T: Copy>(heap: &mut [T], mut parent: usize, is_less: &impl Fn(&T, &T) -> bool) {
    loop {
        let children = 2 * parent + 1..heap.len().min(2 * parent + 3);
        let larger = children.reduce(|a, b| if is_less(&heap[a], &heap[b]) { b } else { a });
        let Some(child) = larger.filter(|child| is_less(&heap[parent], &heap[*child])) else { return };
        heap.swap(parent, child);
        parent = child;
    }
}

pub(crate) fn hex_digit(nibble: u8, upper: bool) -> u8 {
    match nibble & 15 {
        digit @ 0..10 => b'0' + digit,
        letter => (if upper { b'A' } else { b'a' }) + letter - 10,
    }
}

fn base64_digit(sextet: u16, url: bool) -> u8 {
    match (sextet & 63) as u8 {
        upper @ 0..26 => b'A' + upper,
        lower @ 26..52 => b'a' + lower - 26,
        digit @ 52..62 => b'0' + digit - 52,
        62 => [b'+', b'-'][usize::from(url)],
        _ => [b'/', b'_'][usize::from(url)],
    }
}

/// The values, and all of their patterns in the order of their characters. A pattern comes before those that continue it.
pub(crate) struct PatternSet {
    values: Zeroizing<Vec<u8>>,
    patterns: Vec<MaskPattern>,
}

impl PatternSet {
    /// `values` are the values one after the other, and `spans` are their places.
    pub(crate) fn new(values: Zeroizing<Vec<u8>>, spans: &[Range<usize>]) -> Self {
        let lines = values.iter().filter(|byte| **byte == b'\n').count() + spans.len();
        // At once: a vector that grows has its old memory beside the new one for a while.
        let patterns = Vec::with_capacity(spans.len() * MAX_FORMS + lines);
        let mut set = Self { values, patterns };
        for span in spans {
            set.add(span.clone());
        }
        let Self { values, patterns } = &mut set;
        sort(patterns, |a, b| a.compare(b, values).is_lt());
        // Of patterns that are longer than what decides their order, two may be the same. That costs time, and nothing else.
        patterns.dedup_by(|a, b| {
            let same = a.len() == b.len() && a.len() <= ORDERED && a.compare(b, values).is_eq();
            // A value is searched for in escaped forms too, even if it is also a line or an encoded form of another value.
            if same && matches!(a.form, PatternForm::Plain { whole: true, .. }) {
                *b = *a;
            }
            same
        });
        set
    }

    fn add(&mut self, span: Range<usize>) {
        let value = &self.values[span.clone()];
        // Programs strip the last newline of what they read from a file.
        let text = value.strip_suffix(b"\n").unwrap_or(value);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (whole, stripped) = (value.len(), text.len());
        self.add_forms(span.start, whole);
        if stripped < whole {
            self.add_forms(span.start, stripped);
        }
        // A log collector splits a private key into lines.
        let (mut start, end) = (span.start, span.start + stripped);
        if !self.values[start..end].contains(&b'\n') {
            return;
        }
        while start < end {
            let rest = &self.values[start..end];
            let line = &rest[..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())];
            let next = start + line.len() + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Spaces alone would be found in the indentation of any log.
            let text = line.trim_ascii_start();
            if text.len() >= SHORTEST_LINE {
                self.push(start + line.len() - text.len(), text.len(), self.plain(text, false));
            }
            start = next;
        }
    }

    fn plain(&self, part: &[u8], whole: bool) -> PatternForm {
        let ambiguous = part.iter().any(|byte| matches!(byte, b'%' | b'+' | b'\\'));
        PatternForm::Plain { whole, ambiguous }
    }

    fn add_forms(&mut self, start: usize, size: usize) {
        if size < SHORTEST {
            return;
        }
        self.push(start, size, self.plain(&self.values[start..start + size], true));
        self.push_either(start, size, |upper| PatternForm::Hex { upper });
        for before in 0..3 {
            for tail in [Base64Tail::Open, Base64Tail::Ended, Base64Tail::Padded] {
                self.push_either(start, size, |url| PatternForm::Base64 { url, before, tail });
            }
        }
    }

    /// Adds a form in both of its alphabets.
    fn push_either(&mut self, start: usize, size: usize, form: impl Fn(bool) -> PatternForm) {
        let [first, second] = [form(false), form(true)].map(|form| MaskPattern {
            start: start as u32,
            size: size as u32,
            form,
        });
        if first.len() < SHORTEST_ENCODED {
            return;
        }
        self.patterns.push(first);
        // Long values are compared as a whole here: below, only their beginnings are.
        let differs = |at| first.character(&self.values, at) != second.character(&self.values, at);
        if (0..first.len()).any(differs) {
            self.patterns.push(second);
        }
    }

    fn push(&mut self, start: usize, size: usize, form: PatternForm) {
        self.patterns.push(MaskPattern { start: start as u32, size: size as u32, form });
    }

    /// The number of patterns.
    pub(crate) fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The number of characters of one pattern.
    pub(crate) fn pattern_len(&self, index: usize) -> usize {
        self.patterns[index].len()
    }

    /// Those of `range`, whose first `at` characters are the same, that have `character` next.
    pub(crate) fn narrow(&self, range: Range<usize>, at: usize, character: u8) -> Range<usize> {
        let next = |pattern: &MaskPattern| pattern.character(&self.values, at);
        let patterns = &self.patterns[range.clone()];
        // Most often all of them have it or none has.
        if let (Some(first), Some(last)) = (patterns.first(), patterns.last()) {
            let (first, last) = (next(first), next(last));
            if first == last && first == Some(character) {
                return range;
            }
            if first == last || Some(character) < first || Some(character) > last {
                return range.start..range.start;
            }
        }
        let start = range.start + patterns.partition_point(|pattern| next(pattern) < Some(character));
        let rest = &self.patterns[start..range.end];
        start..start + rest.partition_point(|pattern| next(pattern) == Some(character))
    }

    /// The first pattern that starts with `beginning` or comes after it.
    pub(crate) fn position(&self, beginning: &[u8]) -> usize {
        self.patterns.partition_point(|pattern| {
            let characters = (0..beginning.len()).map_while(|at| pattern.character(&self.values, at));
            characters.lt(beginning.iter().copied())
        })
    }

    /// If the patterns of `range` are one value as it is, with or without its newline: the bytes that they share.
    pub(crate) fn shared_bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        let (first, last) = (self.patterns.get(range.start)?, self.patterns.get(range.end - 1)?);
        let plain =
            |pattern: &MaskPattern| matches!(pattern.form, PatternForm::Plain { ambiguous: false, .. });
        let alike = range.len() <= 2 && first.start == last.start && plain(first) && plain(last);
        alike.then(|| first.part(&self.values))
    }

    /// The beginning of each pattern, and whether it is a value as it is.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = (Zeroizing<Vec<u8>>, bool)> {
        self.patterns.iter().map(|pattern| {
            // Long enough for 4 characters of which the last has 4 bytes in UTF-8.
            let characters = (0..8).map_while(|at| pattern.character(&self.values, at));
            (
                Zeroizing::new(characters.collect()),
                matches!(pattern.form, PatternForm::Plain { whole: true, .. }),
            )
        })
    }
}
