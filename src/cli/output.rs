//! Standard output and standard error. Data goes to standard output and everything else to standard error. Texts that other
//! people chose lose their control characters first, so that no host name rewrites a terminal.

use std::borrow::Cow;
use std::io;
use std::io::{StdoutLock, Write};

use clap::Args;
use serde::Serialize;

use super::error::CliError;

/// The arguments of a command that takes nothing else.
#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Standard output, buffered.
pub(crate) struct Output {
    out: io::BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        Self { out: io::BufWriter::new(io::stdout().lock()) }
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), CliError> {
        self.out.write_all(line.as_ref().as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Prints one JSON document.
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer_pretty(&mut self.out, document).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Prints `document` as JSON if `json` is set, and otherwise the line for people.
    pub(crate) fn json_or_line(
        &mut self,
        json: bool,
        document: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if json { self.json(document) } else { self.line(line()) }
    }

    /// Prints a line for a person on standard error.
    pub(crate) fn note(&mut self, line: impl AsRef<str>) {
        // On a terminal both streams are one text, and buffered data would come after the note that explains it. A failure
        // is reported by the flush at the end of the program.
        self.out.flush().ok();
        note(line);
    }

    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }

    /// Prints a credential that exists nowhere else.
    ///
    /// # Errors
    /// Also if the reader has closed standard output, which is no error anywhere else.
    pub(crate) fn credential(&mut self, credential: &str, what: &str) -> Result<(), CliError> {
        let written = self.out.write_all(credential.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.and_then(|()| self.out.flush()).map_err(|error| {
            CliError::failed(format_args!("{what} was created, but cannot be printed: {}", error.kind()))
                .hint("nobody received it: revoke it and create another")
        })
    }
}

/// A JSON array whose elements are printed as they arrive.
#[derive(Default)]
pub(crate) struct JsonArray {
    begun: bool,
}

impl JsonArray {
    /// Prints one element on its own line.
    pub(crate) fn element(&mut self, output: &mut Output, element: &impl Serialize) -> Result<(), CliError> {
        // The separator is printed before the next element, since nothing says which element is the last.
        output.bytes(if self.begun { b",\n" } else { b"[\n" })?;
        self.begun = true;
        serde_json::to_writer(&mut output.out, element).map_err(io::Error::from)?;
        Ok(())
    }

    pub(crate) fn end(self, output: &mut Output) -> Result<(), CliError> {
        output.bytes(if self.begun { b"\n]\n" } else { b"[]\n" })
    }
}

/// Prints a line for a person on standard error.
pub(crate) fn note(line: impl AsRef<str>) {
    // A closed standard error must not turn a success into a failure.
    writeln!(io::stderr().lock(), "{}", line.as_ref()).ok();
}

pub(crate) fn warn(line: impl AsRef<str>) {
    note(format!("warning: {}", line.as_ref()));
}

/// Prints why the program failed.
pub(crate) fn print_error(error: &CliError) {
    note(format!("dropsafe: {}", error.message));
    if let Some(hint) = &error.hint {
        note(format!("hint: {hint}"));
    }
}

/// Replaces every control character of a text that somebody else chose by its escape.
pub(crate) fn escape_control(text: &str) -> Cow<'_, str> {
    // Of the formatting characters only those that change the reading direction can make one text look like another.
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    // Almost no text has any, and a list prints many.
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { escaped.extend(c.escape_unicode()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape_control("vm-1.example é"), "vm-1.example é");
        assert_eq!(escape_control("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(escape_control("a\u{202e}b"), "a\\u{202e}b");
    }
}
