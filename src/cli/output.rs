//! Standard output and standard error of this program. Data goes to standard output, all else to standard error; texts
//! that came from elsewhere lose their control characters first, so that no host name rewrites a terminal.

use std::borrow::Cow;
use std::io;
use std::io::{StderrLock, StdoutLock, Write};

use serde::Serialize;

use super::error::CliError;

/// The two streams, and whether JSON was asked for.
pub(crate) struct Output {
    out: io::BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        Self { out: io::BufWriter::new(io::stdout().lock()) }
    }

    /// One line of data.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), CliError> {
        self.out.write_all(line.as_ref().as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.write_all(bytes)?)
    }

    /// One JSON document.
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer_pretty(&mut self.out, document).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// A line for the person, on standard error, after what was printed so far.
    pub(crate) fn note(&mut self, line: impl AsRef<str>) {
        // When standard output is gone, that is found out where data is written.
        self.out.flush().ok();
        note(line);
    }

    /// All of it is out.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }

    /// A thing that exists only here, such as a new token: a reader that went away is a failure, for once.
    pub(crate) fn only_copy(&mut self, line: &str, what: &str) -> Result<(), CliError> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.and_then(|()| self.out.flush()).map_err(|error| {
            let exit = crate::process::Exit::Failed;
            CliError::new(exit, format_args!("{what} was made, but cannot be shown: {}", error.kind()))
                .hint("it exists and nobody has it: revoke it and make another")
        })
    }
}

/// A JSON array whose elements are written as they come.
#[derive(Default)]
pub(crate) struct JsonArray {
    begun: bool,
}

impl JsonArray {
    /// One element, on a line of its own.
    pub(crate) fn element(&mut self, output: &mut Output, element: &impl Serialize) -> Result<(), CliError> {
        output.bytes(if self.begun { b",\n" } else { b"[\n" })?;
        self.begun = true;
        serde_json::to_writer(&mut output.out, element).map_err(io::Error::from)?;
        Ok(())
    }

    /// The end.
    pub(crate) fn end(self, output: &mut Output) -> Result<(), CliError> {
        output.bytes(if self.begun { b"\n]\n" } else { b"[]\n" })
    }
}

/// A line for the person, on standard error. Nothing can be done when that is gone.
pub(crate) fn note(line: impl AsRef<str>) {
    let mut stderr = io::stderr().lock();
    say(&mut stderr, line.as_ref());
}

/// A warning.
pub(crate) fn warn(line: impl AsRef<str>) {
    let mut stderr = io::stderr().lock();
    say(&mut stderr, &format!("warning: {}", line.as_ref()));
}

/// What ended the program.
pub(crate) fn report(failure: &CliError) {
    let mut stderr = io::stderr().lock();
    say(&mut stderr, &format!("dropsafe: {}", failure.message));
    if let Some(hint) = &failure.hint {
        say(&mut stderr, &format!("hint: {hint}"));
    }
}

fn say(stderr: &mut StderrLock<'_>, line: &str) {
    // A closed standard error must not turn a success into a failure.
    writeln!(stderr, "{line}").ok();
}

/// `text` with every control character written out, for texts that others chose.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    // Of the formatting characters only those that turn the reading direction can make a text read as another.
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) { clean.extend(c.escape_unicode()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(harmless("vm-1.example é"), "vm-1.example é");
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(harmless("a\u{202e}b"), "a\\u{202e}b");
    }
}
