//! Reads a dotenv file strictly: every name and value, or every fault with its line. Never quotes a value in a fault,
//! never expands a variable, never runs a command.
//!
//! Readers of such files disagree. Taken here is what systemd's `EnvironmentFile=`, Docker Compose and the dotenv
//! libraries read alike; where one of them would read another value, the line is a fault that says how to write it:
//!
//! - `#` begins a comment at the start of a line and after a closing quote. After an unquoted value it is a fault:
//!   dotenv drops the comment, systemd keeps it in the value. `;` begins a comment for systemd only: a fault.
//! - `export ` in front of a name is taken, as shells and dotenv do; systemd does not know it.
//! - A blank before or after `=` is a fault: shells refuse it and the others differ.
//! - An unquoted value ends with its line, blanks at its end dropped. It may hold no quote of any kind and no backslash,
//!   which systemd takes as an escape and dotenv does not.
//! - `$NAME`, `${…}`, `$(…)` and `$$` outside single quotes are a fault: Compose and shells expand them, systemd does not.
//! - Single quotes keep everything up to the next single quote, newlines too.
//! - Double quotes keep newlines and know `\\`, `\"`, `\$`, `` \` `` and a backslash before a newline (which joins the lines), as
//!   systemd does, and `\n`, `\r`, `\t` as dotenv does: systemd would keep those two characters, yet nobody means them.
//! - Lines end with LF or CRLF. A UTF-8 byte order mark at the start is skipped.

use std::collections::BTreeMap;

use crate::domain::name::{EnvName, NameError, SecretName};
use crate::domain::text;
use crate::domain::value::SecretValue;

mod attributes;
mod scan;
#[cfg(test)]
mod tests;

text::text_enum! {
    /// What becomes of one name.
    pub enum ImportOutcome, "what becomes of a name" {
        /// A new secret.
        Create = "create",
        /// A new version of the secret that is there.
        Replace = "replace",
        /// The secret that is there stays as it is.
        Keep = "keep",
        /// The secret that is there is deleted.
        Clear = "clear",
        /// There is nothing to clear.
        Nothing = "nothing",
        /// It cannot be done, so that nothing of the whole is.
        Refused = "refused",
    }
}

text::text_enum! {
    /// What to do with a secret that is there already.
    pub enum ExistingPolicy, "replace, keep or refuse" {
        /// Give it the new value.
        Replace = "replace",
        /// Leave it.
        Keep = "keep",
        /// Do nothing at all.
        Refuse = "refuse",
    }
}

/// An assignment, or what is wrong with one.
#[derive(Debug)]
pub struct ImportLine {
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// The name, as far as one could be read.
    pub name: Option<SecretName>,
    /// The value.
    pub value: Result<SecretValue, ImportFaultKind>,
    /// The first line after it. None if it reaches to the end of the file.
    pub next: Option<usize>,
}

/// One assignment.
#[derive(Debug)]
pub struct Assignment {
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// The name.
    pub name: SecretName,
    /// The value.
    pub value: SecretValue,
}

pub use attributes::{CommentFault, LineOptions, attributes};

/// What is wrong with one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ImportFault {
    /// The line, counted from 1; for a value over several lines, the one it begins on.
    pub line: usize,
    /// What is wrong.
    pub kind: ImportFaultKind,
}

/// A kind of fault. Says the rule, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportFaultKind {
    /// No `=` in the line.
    #[error("this is no assignment: there is no `=`")]
    NoAssignment,
    /// A name that no secret can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A blank between the name and `=`, or between `=` and the value.
    #[error("there is a blank beside the `=`")]
    Blank,
    /// Something that readers differ on in an unquoted value.
    #[error("an unquoted value holds a quote, a backslash or a ` #`, which programs read differently")]
    Unquoted,
    /// Something that some readers expand.
    #[error("the value holds a `$` that some programs expand")]
    Dollar,
    /// An escape that readers differ on.
    #[error("a backslash in double quotes is followed by a character that it does not escape")]
    Escape,
    /// Text after the closing quote.
    #[error("there is text after the closing quote")]
    AfterQuote,
    /// A quote that nothing closes. The rest of the file was not read.
    #[error("the quote is never closed; nothing after it was read")]
    Unclosed,
    /// A NUL byte.
    #[error("the line holds a NUL byte")]
    Nul,
    /// A name that exports as one before it does.
    #[error("the name is exported like that of line {first}")]
    Duplicate {
        /// The line of the other.
        first: usize,
    },
}

impl ImportFaultKind {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(error) => error.hint(),
            Self::NoAssignment => Some("write NAME=VALUE, or # before a comment"),
            Self::Blank => Some("write NAME=VALUE without blanks around the `=`, or quote the value"),
            Self::Unquoted | Self::Dollar => {
                Some("put the value in single quotes to have it read as it stands")
            }
            Self::Escape => Some("write the backslash twice"),
            Self::AfterQuote => Some("quote the whole value"),
            Self::Unclosed => {
                Some("inside single quotes a single quote cannot be written; use double quotes")
            }
            Self::Nul => Some("give such a value by itself, from a file"),
            Self::Duplicate { .. } => Some("keep one of them"),
        }
    }
}

/// Reads a whole file. Either every assignment in the order of the file, or every fault in that order.
pub fn parse(bytes: &[u8]) -> Result<Vec<Assignment>, Vec<ImportFault>> {
    let mut assignments: Vec<Assignment> = Vec::new();
    let mut faults = Vec::new();
    for ImportLine { line, name, value, .. } in lines(bytes) {
        match (name, value) {
            (Some(name), Ok(value)) => assignments.push(Assignment { line, name, value }),
            (_, Err(kind)) => faults.push(ImportFault { line, kind }),
            (None, Ok(_)) => {}
        }
    }
    if faults.is_empty() { Ok(assignments) } else { Err(faults) }
}

/// Reads a whole file, its assignments and its faults in their order.
pub fn lines(bytes: &[u8]) -> Vec<ImportLine> {
    let mut exported: BTreeMap<EnvName, usize> = BTreeMap::new();
    let mut scanner = scan::LineScanner::new(bytes);
    let mut lines = Vec::new();
    while let Some((line, read)) = scanner.next() {
        let (name, value) = match read {
            Ok((name, value)) => {
                // By exported name: `db-url` and `DB_URL` would overwrite each other.
                let first = *exported.entry(name.export()).or_insert(line);
                let value = if first == line { Ok(value) } else { Err(ImportFaultKind::Duplicate { first }) };
                (Some(name), value)
            }
            Err(kind) => (None, Err(kind)),
        };
        lines.push(ImportLine { line, name, value, next: scanner.next_line() });
    }
    lines
}
