//! The scanner of dotenv lines: bytes to names and values. Never keeps a copy of a value beside the one it returns.

use zeroize::Zeroizing;

use super::ImportFaultKind;
use crate::domain::name::{NameError, SecretName};
use crate::domain::value::SecretValue;

/// The assignments of a file with the number of the line each begins on; blank lines and comments are passed over.
pub(crate) struct LineScanner<'a> {
    rest: &'a [u8],
    line: usize,
}

type Read = Result<(SecretName, SecretValue), ImportFaultKind>;

impl<'a> LineScanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        // Some editors put a byte order mark in front, which is no part of the first name.
        Self { rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes), line: 1 }
    }

    /// The number of the line that it reads next, if there is one.
    pub(crate) fn next_line(&self) -> Option<usize> {
        (!self.rest.is_empty()).then_some(self.line)
    }

    /// Moves past `len` bytes, counting their newlines.
    fn advance(&mut self, len: usize) {
        let (passed, rest) = self.rest.split_at(len);
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.rest = rest;
    }
}

impl Iterator for LineScanner<'_> {
    type Item = (usize, Read);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let line = line_of(self.rest);
            if is_blank_or_comment(line) {
                self.advance(line_len(self.rest));
                continue;
            }
            let begins = self.line;
            let (read, len) = assignment(self.rest, line);
            self.advance(len);
            return Some((begins, read));
        }
        None
    }
}

/// One assignment at the start of `rest`, whose first line is `line`, and how many bytes of `rest` it takes with the
/// end of its last line. After a fault it goes on with the next line, so that one fault does not hide another.
fn assignment(rest: &[u8], line: &[u8]) -> (Read, usize) {
    let (name, begins) = match name_of(line) {
        Ok(found) => found,
        Err(kind) => return (Err(kind), after_fault(rest, line)),
    };
    let value = &rest[begins..];
    let scanned = match value.first() {
        Some(b'\'') => single_quoted(value),
        Some(b'"') => double_quoted(value),
        _ => unquoted(line_of(value)).map(|taken| (taken, line_of(value).len())),
    };
    match scanned.map(|(taken, len)| (taken, begins + len)) {
        Ok((taken, end)) => {
            let tail = line_of(&rest[end..]);
            let read = if is_blank_or_comment_after_quote(tail) {
                Ok((name, taken))
            } else {
                Err(ImportFaultKind::AfterQuote)
            };
            (read, end + line_len(&rest[end..]))
        }
        // Any of the following lines could be part of the value, so none of them is read as a line.
        Err(ImportFaultKind::Unclosed) => (Err(ImportFaultKind::Unclosed), rest.len()),
        Err(kind) => (Err(kind), after_fault(rest, line)),
    }
}

/// The name, and where the value begins.
fn name_of(line: &[u8]) -> Result<(SecretName, usize), ImportFaultKind> {
    let equals = line.iter().position(|byte| *byte == b'=').ok_or(ImportFaultKind::NoAssignment)?;
    let mut name = line[..equals].trim_ascii_start();
    // Files that a shell sources have it in front.
    if let Some(exported) = name.strip_prefix(b"export")
        && exported.first().is_some_and(u8::is_ascii_whitespace)
    {
        name = exported.trim_ascii_start();
    }
    if name.last().is_some_and(u8::is_ascii_whitespace) {
        return Err(ImportFaultKind::Blank);
    }
    let name = str::from_utf8(name).map_err(|_| NameError::Character {
        what: "a secret's name",
        allowed: "use ASCII letters, digits and - _ . : /",
    })?;
    Ok((SecretName::parse(name)?, equals + 1))
}

fn unquoted(line: &[u8]) -> Result<SecretValue, ImportFaultKind> {
    let value = line.trim_ascii_end();
    if value.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(ImportFaultKind::Blank);
    }
    if value.contains(&0) {
        return Err(ImportFaultKind::Nul);
    }
    let comment =
        value.first() == Some(&b'#') || value.windows(2).any(|pair| matches!(pair, [b' ' | b'\t', b'#']));
    // Programs differ in how they read each of these, so a guess could store another value than was meant.
    if comment || value.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'`')) {
        return Err(ImportFaultKind::Unquoted);
    }
    if (0..value.len()).any(|at| expands(&value[at..])) {
        return Err(ImportFaultKind::Dollar);
    }
    Ok(SecretValue::new(value.to_vec()))
}

/// The value between single quotes and how many bytes it takes with them.
fn single_quoted(bytes: &[u8]) -> Result<(SecretValue, usize), ImportFaultKind> {
    let inside = &bytes[1..];
    let len = inside.iter().position(|byte| *byte == b'\'').ok_or(ImportFaultKind::Unclosed)?;
    if inside[..len].contains(&0) {
        return Err(ImportFaultKind::Nul);
    }
    Ok((SecretValue::new(inside[..len].to_vec()), len + 2))
}

/// The value between double quotes and how many bytes it takes with them.
fn double_quoted(bytes: &[u8]) -> Result<(SecretValue, usize), ImportFaultKind> {
    // Escapes only make it shorter, so the vector does not grow and leaves no copy behind.
    let len = closing(bytes).ok_or(ImportFaultKind::Unclosed)?;
    let mut value = Zeroizing::new(Vec::with_capacity(len));
    let mut rest = &bytes[1..len];
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (0, _) => return Err(ImportFaultKind::Nul),
            (b'$', _) if expands_after(after) => return Err(ImportFaultKind::Dollar),
            // A backslash at the end of a line continues it, as in a shell.
            (b'\\', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => rest = after,
            (b'\\', [escaped, after @ ..]) => {
                value.push(unescape(*escaped).ok_or(ImportFaultKind::Escape)?);
                rest = after;
            }
            (byte, _) => value.push(*byte),
        }
    }
    Ok((SecretValue::new(std::mem::take(&mut *value)), len + 1))
}

/// Where the double quote that `bytes` opens with is closed.
fn closing(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    bytes.iter().enumerate().skip(1).find_map(|(at, byte)| {
        // A quote behind a backslash does not close, and a backslash behind a backslash escapes nothing.
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(escaped: u8) -> Option<u8> {
    match escaped {
        b'\\' | b'"' | b'$' | b'`' => Some(escaped),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

fn expands(bytes: &[u8]) -> bool {
    bytes.split_first().is_some_and(|(first, rest)| *first == b'$' && expands_after(rest))
}

fn expands_after(rest: &[u8]) -> bool {
    rest.first().is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'_' | b'{' | b'(' | b'$'))
}

fn is_blank_or_comment(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

fn is_blank_or_comment_after_quote(tail: &[u8]) -> bool {
    match tail.trim_ascii() {
        [] => true,
        // Without a blank before it a shell takes the `#` for a part of the word.
        [b'#', ..] => tail.first().is_some_and(u8::is_ascii_whitespace),
        _ => false,
    }
}

/// The first line without its end.
fn line_of(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// The length of the first line with its end.
fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

/// Where to go on after a fault: behind the closing quote, if the value opened one and the fault is inside; otherwise
/// the next line. Going on inside a value would report its lines as faults of their own.
fn after_fault(rest: &[u8], line: &[u8]) -> usize {
    let begins = line.iter().position(|byte| *byte == b'=').and_then(|equals| {
        let blanks = line[equals + 1..].iter().position(|byte| !byte.is_ascii_whitespace())?;
        Some(equals + 1 + blanks)
    });
    let end = match begins.map(|begins| (begins, line[begins])) {
        Some((begins, b'"')) => closing(&rest[begins..]).map(|len| begins + len),
        Some((begins, b'\'')) => {
            rest[begins + 1..].iter().position(|byte| *byte == b'\'').map(|len| begins + 1 + len)
        }
        _ => None,
    };
    let end = end.unwrap_or(0);
    end + line_len(&rest[end..])
}
