//! Values, passphrases and tokens on their way in: from a file, from standard input when that is no terminal, or from a hidden
//! prompt. Never from the command line or the environment.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CliError;
use super::{CliContext, files, output};
use crate::domain::value::{MAX_FILE, SecretValue};
use crate::process::Exit;

/// Far longer than any passphrase, key file or token.
const LONGEST_LINE: usize = 4096;

/// A value, byte for byte.
pub(crate) fn value(context: &CliContext, name: &str, file: Option<&Path>) -> Result<SecretValue, CliError> {
    let bytes = match file {
        Some(path) => files::read(path, MAX_FILE)?,
        None if context.terminal.input => {
            let line = context.terminal.hidden(&format!("Value of {name} (hidden): "))?;
            output::note(format!("{} bytes entered", line.len()));
            Zeroizing::new(line.as_bytes().to_vec())
        }
        None => standard_input(MAX_FILE)?,
    };
    Ok(SecretValue::new(inner(bytes)))
}

/// A passphrase that unlocks: one line.
pub(crate) fn passphrase(
    context: &CliContext,
    file: Option<&Path>,
    prompt: &str,
) -> Result<Zeroizing<String>, CliError> {
    secret_line(context, file, "the passphrase", |context| context.terminal.hidden(prompt))
}

/// A new passphrase: asked for twice.
pub(crate) fn new_passphrase(
    context: &CliContext,
    file: Option<&Path>,
) -> Result<Zeroizing<String>, CliError> {
    secret_line(context, file, "the passphrase", |context| {
        context.terminal.hidden_twice("New passphrase (hidden): ")
    })
}

/// The text of a key file.
pub(crate) fn key_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    one_line(files::read(path, LONGEST_LINE)?, "the key file")
}

/// A token.
pub(crate) fn token(context: &CliContext) -> Result<Zeroizing<String>, CliError> {
    secret_line(context, None, "the token", |context| context.terminal.hidden("Token (hidden): "))
}

fn secret_line(
    context: &CliContext,
    file: Option<&Path>,
    what: &str,
    ask: impl FnOnce(&CliContext) -> Result<Zeroizing<String>, CliError>,
) -> Result<Zeroizing<String>, CliError> {
    let bytes = match file {
        Some(path) => files::read(path, LONGEST_LINE)?,
        None if context.terminal.input => {
            let line = ask(context)?;
            Zeroizing::new(line.as_bytes().to_vec())
        }
        None => standard_input(LONGEST_LINE)?,
    };
    one_line(bytes, what)
}

/// The text without the one line end that an editor or `echo` adds; nobody means it to be part of a passphrase.
fn one_line(bytes: Zeroizing<Vec<u8>>, what: &str) -> Result<Zeroizing<String>, CliError> {
    let text =
        str::from_utf8(&bytes).map_err(|_| CliError::refused(format_args!("{what} is not valid UTF-8")))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(CliError::refused(format_args!("{what} is empty"))
            .hint("give it on standard input, in a file, or at the prompt of a terminal"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// All of standard input.
pub(crate) fn standard_input(limit: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    match files::read_bounded(&mut io::stdin().lock(), limit) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(files::InputTooLong)) => {
            Err(CliError::refused(format_args!("standard input holds more than {limit} bytes")))
        }
        Err(error) => Err(CliError::new(
            Exit::NoInput,
            format_args!("standard input cannot be read: {}", files::why(&error)),
        )),
    }
}

fn inner(mut bytes: Zeroizing<Vec<u8>>) -> Vec<u8> {
    std::mem::take(&mut *bytes)
}
