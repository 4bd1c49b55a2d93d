//! Replaces patterns in a stream, however it is cut into pieces. Bytes that cannot be part of a pattern are passed on at once; bytes
//! that may still become one are held until that is decided, or until the caller releases them. Overlapping matches are replaced as one.

use zeroize::Zeroizing;

use super::anchors::Anchors;
use super::patterns::PatternSet;
use super::reading::{Reading, ReadingState, Readings};

/// The replacement of a value.
pub(crate) const MASK: &[u8] = b"***";
/// The capacity of a pipe (pipe(7)). At most 24 KiB and a few bytes of it are held: `DECISIVE` characters, each as an escape sequence
/// of 6 bytes.
pub(crate) const WINDOW: usize = 64 << 10;
/// How many long patterns are followed at the same time. Only that many values with the same first `DECISIVE` characters need more.
const MAX_FOLLOWED: usize = 64;

pub(crate) struct Masker<'a> {
    set: &'a PatternSet,
    anchors: &'a Anchors,
    /// Text that is not decided yet, at the beginning of the window. The rest of the window is zeros.
    window: Zeroizing<Vec<u8>>,
    /// The length of that text.
    len: usize,
    /// The place that is being compared. Before it, everything is decided.
    start: usize,
    /// What agrees with the text from there on.
    readings: Readings,
    /// Long patterns that the text is known to contain, each up to where it agrees. Those that are over stay until `start` is there.
    followed: Vec<Reading>,
    /// How many of `followed` are not over: these come first.
    running: usize,
    /// The end of the last match.
    covered: usize,
    /// What comes before was passed on.
    passed: usize,
    /// Whether the last output was the replacement of a match that may go on.
    masking: bool,
}

impl<'a> Masker<'a> {
    /// A masker at the start of a stream.
    pub(crate) fn new(set: &'a PatternSet, anchors: &'a Anchors) -> Self {
        Self {
            set,
            anchors,
            window: Zeroizing::new(vec![0; WINDOW]),
            len: 0,
            start: 0,
            readings: Readings::default(),
            followed: Vec::new(),
            running: 0,
            covered: 0,
            passed: 0,
            masking: false,
        }
    }

    /// Where the caller puts the next piece.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.window[self.len..]
    }

    /// Appends to `out` what can be passed on after a piece of `count` bytes.
    pub(crate) fn push(&mut self, count: usize, out: &mut Vec<u8>) {
        self.len += count;
        self.advance(false, out);
    }

    /// Appends what was held: the stream has ended, so that it cannot become a match any more.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(true, out);
    }

    /// Whether bytes are held.
    pub(crate) fn is_holding(&self) -> bool {
        self.passed < self.len
    }

    /// Appends what is held. If it becomes a match later, the rest of the match is masked.
    pub(crate) fn release(&mut self, out: &mut Vec<u8>) {
        self.pass(self.len, out);
    }

    fn advance(&mut self, last: bool, out: &mut Vec<u8>) {
        self.follow(last, out);
        loop {
            // While a long pattern agrees, only the beginning of an escape sequence is beyond it.
            let running = &self.followed[..self.running];
            let end = running.iter().map(|reading| reading.at).max().unwrap_or(self.len);
            if self.readings.iter().all(Option::is_none) {
                let anchor = self.anchors.find(&self.window[..self.len], self.start);
                let anchor = anchor.filter(|anchor| anchor.at < end);
                self.start = anchor.as_ref().map_or(end, |anchor| anchor.at);
                self.pass(self.start, out);
                let Some(anchor) = anchor else { break };
                self.forget_passed();
                self.readings[0] = Some(Reading::start(self.set, anchor));
            }
            if !self.compare(last, out) {
                break;
            }
            self.start += 1;
        }
        self.forget_passed();
        self.remove_decided();
    }

    /// Compares from `start` on. Returns whether that is decided.
    fn compare(&mut self, last: bool, out: &mut Vec<u8>) -> bool {
        let mut decided = true;
        for index in 0..self.readings.len() {
            // Reading a text literally, which comes first, adds the others.
            let Some(mut reading) = self.readings[index].take() else { continue };
            let text = &self.window[..self.len];
            let state = reading.advance(self.set, text, &mut self.readings, &self.followed);
            self.cover(reading.found, out);
            match state {
                ReadingState::Waiting if !last => {
                    decided = false;
                    self.readings[index] = Some(reading);
                }
                ReadingState::Waiting | ReadingState::Over => {}
                ReadingState::Decided => {
                    let room = MAX_FOLLOWED.saturating_sub(self.followed.len());
                    for pattern in (reading.first..reading.end).take(room) {
                        self.followed.insert(0, reading.decide(pattern));
                        self.running += 1;
                    }
                    self.follow(last, out);
                }
            }
        }
        decided
    }

    /// Masks as much of the text as agrees with the long patterns.
    fn follow(&mut self, last: bool, out: &mut Vec<u8>) {
        let mut index = 0;
        while index < self.running {
            let mut reading = self.followed[index];
            let mut readings = Readings::default();
            let state = reading.advance(self.set, &self.window[..self.len], &mut readings, &[]);
            self.followed[index] = reading;
            self.cover(reading.at, out);
            if state == ReadingState::Waiting && !last {
                index += 1;
            } else {
                self.running -= 1;
                self.followed.swap(index, self.running);
            }
            // A long pattern may have its first escape sequence here.
            for reading in readings.into_iter().flatten() {
                self.followed.insert(self.running, reading);
                self.running += 1;
            }
        }
    }

    /// Masks everything from `start` to `end`.
    fn cover(&mut self, end: usize, out: &mut Vec<u8>) {
        if end > self.covered {
            // What precedes `start` may lie between two matches.
            self.pass(self.start, out);
            self.covered = end;
            self.pass(end, out);
        }
    }

    /// Passes on everything up to `end`.
    fn pass(&mut self, end: usize, out: &mut Vec<u8>) {
        if self.passed < self.covered.min(end) {
            if !self.masking {
                out.extend_from_slice(MASK);
            }
            self.masking = true;
            self.passed = self.covered.min(end);
        }
        if self.passed < end {
            out.extend_from_slice(&self.window[self.passed..end]);
            self.masking = false;
            self.passed = end;
        }
    }

    fn forget_passed(&mut self) {
        let (running, start) = (self.running, self.start);
        let mut index = 0;
        self.followed.retain(|reading| {
            index += 1;
            index <= running || reading.at > start
        });
    }

    /// Moves what is not decided to the beginning of the window.
    fn remove_decided(&mut self) {
        let decided = self.start;
        self.window.copy_within(decided..self.len, 0);
        let left = self.len - decided;
        // No copy of the output stays.
        self.window[left..self.len].fill(0);
        self.len = left;
        self.start = 0;
        self.passed -= decided;
        self.covered = self.covered.saturating_sub(decided);
        let readings = self.readings.iter_mut().flatten();
        readings.chain(&mut self.followed).for_each(|reading| reading.shift(decided));
    }
}
