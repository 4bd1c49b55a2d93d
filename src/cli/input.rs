//! Values, passphrases and tokens on their way in: from a file, from standard input unless it is a terminal, or from a hidden
//! prompt. Never from the command line or the environment.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::context::CliContext;
use super::error::CliError;
use super::files::BoundedReadError;
use super::{files, output};
use crate::crypto::passphrase_strength::require_strong;
use crate::domain::value::{MAX_FILE, SecretValue};
use crate::process::Exit;

/// Far more than a passphrase, a key file or a token needs.
const MAX_LINE: usize = 4096;

/// Reads a value, byte for byte.
pub(crate) fn read_value(
    context: &CliContext,
    name: &str,
    file: Option<&Path>,
) -> Result<SecretValue, CliError> {
    let bytes = match file {
        // A file wins over standard input: in a script the latter is often something unrelated.
        Some(path) => files::read(path, MAX_FILE)?,
        None if context.terminal.input => {
            let line = context.terminal.prompt_hidden(&format!("Value of {name} (hidden): "))?;
            // The only sign of a paste that was cut off, where nothing is echoed.
            output::note(format!("{} bytes entered", line.len()));
            Zeroizing::new(line.as_bytes().to_vec())
        }
        None => read_stdin(MAX_FILE)?,
    };
    Ok(SecretValue::new(take(bytes)))
}

/// Reads a passphrase that unlocks.
pub(crate) fn read_passphrase(
    context: &CliContext,
    file: Option<&Path>,
) -> Result<Zeroizing<String>, CliError> {
    read_secret_line(context, file, "the passphrase", |context| {
        context.terminal.prompt_hidden("Passphrase (hidden): ")
    })
}

/// Reads a new passphrase; at a prompt, twice. Refuses one that can be guessed, unless `allow_weak`.
pub(crate) fn read_new_passphrase(
    context: &CliContext,
    file: Option<&Path>,
    allow_weak: bool,
) -> Result<Zeroizing<String>, CliError> {
    let passphrase = read_secret_line(context, file, "the passphrase", |context| {
        context.terminal.prompt_hidden_twice("New passphrase (hidden): ")
    })?;
    if !allow_weak {
        require_strong(&passphrase).map_err(|error| {
            CliError::failed(error).hint(
                "use five or more random words, or a key file; --allow-weak-passphrase accepts it all the same",
            )
        })?;
    }
    Ok(passphrase)
}

/// Reads the text of a key file.
pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    single_line(files::read(path, MAX_LINE)?, "the key file")
}

pub(crate) fn read_token(context: &CliContext) -> Result<Zeroizing<String>, CliError> {
    read_secret_line(context, None, "the token", |context| context.terminal.prompt_hidden("Token (hidden): "))
}

pub(crate) fn read_enrolment_code(context: &CliContext) -> Result<Zeroizing<String>, CliError> {
    read_secret_line(context, None, "the enrolment code", |context| {
        context.terminal.prompt_hidden("Enrolment code (hidden): ")
    })
}

fn read_secret_line(
    context: &CliContext,
    file: Option<&Path>,
    what: &str,
    prompt: impl FnOnce(&CliContext) -> Result<Zeroizing<String>, CliError>,
) -> Result<Zeroizing<String>, CliError> {
    let bytes = match file {
        Some(path) => files::read(path, MAX_LINE)?,
        None if context.terminal.input => {
            let line = prompt(context)?;
            Zeroizing::new(line.as_bytes().to_vec())
        }
        None => read_stdin(MAX_LINE)?,
    };
    single_line(bytes, what)
}

fn single_line(bytes: Zeroizing<Vec<u8>>, what: &str) -> Result<Zeroizing<String>, CliError> {
    let text =
        str::from_utf8(&bytes).map_err(|_| CliError::failed(format_args!("{what} is not valid UTF-8")))?;
    // One line end, which an editor or `echo` adds and nobody means to be a part of a passphrase. Further ones are meant.
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(CliError::failed(format_args!("{what} is empty"))
            .hint("provide it on standard input, in a file, or at the prompt of a terminal"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Reads all of standard input, at most `limit` bytes.
pub(crate) fn read_stdin(limit: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    files::read_bounded(&mut io::stdin().lock(), limit).map_err(|error| match error {
        BoundedReadError::TooLong => {
            CliError::failed(format_args!("standard input has more than {limit} bytes"))
        }
        BoundedReadError::Io(error) => CliError::new(
            Exit::NoInput,
            format_args!("standard input cannot be read: {}", files::describe_io_error(&error)),
        ),
    })
}

fn take(mut bytes: Zeroizing<Vec<u8>>) -> Vec<u8> {
    // Moved, not copied: the new owner wipes the same memory.
    std::mem::take(&mut *bytes)
}
