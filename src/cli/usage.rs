//! Errors of the command line in our own words. They never repeat what was typed, except the name of a flag: somebody may have
//! typed a value where none belongs.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::CliError;

/// The hint of `set` if its arguments seem to contain a value.
pub(crate) const NO_VALUE_HINT: &str = "values are read from standard input, --file or a hidden prompt, never from the command line; what you typed may \
     already be in the shell's history and was visible to other processes";

/// Why there is no command to run.
pub(crate) enum ParseFailure {
    /// Help or the version was asked for: print this text on standard output.
    Help(String),
    Usage(CliError),
}

/// The definitions of all commands. They are built only where an error needs them: that takes longer than most commands.
type RootCommandFactory = fn() -> clap::Command;

/// Turns the parser's error on `typed` into our words.
pub(crate) fn classify(error: &clap::Error, typed: &[OsString], root: RootCommandFactory) -> ParseFailure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ParseFailure::Help(error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            ParseFailure::Usage(CliError::usage("no command given").hint(help_hint(typed, root)))
        }
        _ => ParseFailure::Usage(rephrase(error, typed, root)),
    }
}

fn rephrase(error: &clap::Error, typed: &[OsString], root: RootCommandFactory) -> CliError {
    let argument = text(error, ContextKind::InvalidArg);
    let name = argument.as_deref().unwrap_or_default();
    let see_help = |message: String| CliError::usage(message).hint(help_hint(typed, root));
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(error, typed, root),
        ErrorKind::InvalidSubcommand => match text(error, ContextKind::SuggestedSubcommand) {
            Some(name) => CliError::usage("unknown command").hint(format_args!("did you mean {name}?")),
            None => see_help("unknown command".to_owned()),
        },
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(", ");
            see_help(format!("missing required argument: {missing}"))
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(error, ContextKind::PriorArg).join(", ");
            see_help(match others.as_str() {
                "" => format!("{name} cannot be used here"),
                // The parser reports a repeated flag as a conflict of the flag with itself.
                same if same == name => format!("{name} is given more than once"),
                others => format!("{name} cannot be used with {others}"),
            })
        }
        // The parser reports a flag without its value as an invalid value that is empty.
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if is_empty(error) => {
            see_help(format!("{name} requires a value"))
        }
        ErrorKind::InvalidValue => {
            let allowed = texts(error, ContextKind::ValidValue).join(", ");
            CliError::usage(format!("{name} must be one of: {allowed}"))
        }
        ErrorKind::ValueValidation => {
            // Our own parsers repeat nothing of their input, and neither do the standard library's for numbers. The
            // parser's range check does ("5 is not in 1..=3"), so its text must not be printed.
            let safe = error.source().filter(|source| !source.to_string().contains(" is not in "));
            see_help(format!(
                "{name}: {}",
                safe.map_or_else(|| "out of range".to_owned(), ToString::to_string)
            ))
        }
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            see_help(format!("{name} requires a value"))
        }
        ErrorKind::TooManyValues => see_help(format!("{name} takes no value")),
        _ => see_help("invalid command line".to_owned()),
    }
}

fn unknown_argument(error: &clap::Error, typed: &[OsString], root: RootCommandFactory) -> CliError {
    let argument = text(error, ContextKind::InvalidArg);
    let Some(flag) = argument.as_deref().and_then(printable_flag) else {
        // `dropsafe set NAME VALUE` is the first thing that many try.
        let hint = if is_set(typed) { NO_VALUE_HINT.to_owned() } else { help_hint(typed, root) };
        return CliError::usage("unexpected argument").hint(hint);
    };
    let hint = match text(error, ContextKind::SuggestedArg) {
        // A suggestion of some similar flag would mislead somebody who has just typed a value.
        _ if is_set(typed) && flag.starts_with("--val") => NO_VALUE_HINT.to_owned(),
        Some(flag) => format!("did you mean {flag}?"),
        None => help_hint(typed, root),
    };
    CliError::usage(format_args!("unknown flag {flag}")).hint(hint)
}

fn is_empty(error: &clap::Error) -> bool {
    text(error, ContextKind::InvalidValue).is_some_and(|value| value.is_empty())
}

/// The flag's name if it may be repeated: short, and only lower case letters and `-`, unlike any key or token.
fn printable_flag(typed: &str) -> Option<&str> {
    let name = typed.strip_prefix("--")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (plain && (1..=24).contains(&name.len())).then_some(typed)
}

fn is_set(typed: &[OsString]) -> bool {
    typed
        .iter()
        .skip(1)
        .find(|word| !word.as_encoded_bytes().starts_with(b"-"))
        .is_some_and(|word| word == "set")
}

/// Names the command whose help to read. Of what was typed, it repeats only names of commands.
fn help_hint(typed: &[OsString], root: RootCommandFactory) -> String {
    let mut command = root();
    let mut path = String::from("dropsafe");
    for word in typed.iter().skip(1) {
        let Some(below) = word.to_str().and_then(|word| command.find_subcommand(word)).cloned() else {
            break;
        };
        path.push(' ');
        // The definition's spelling and not what was typed, although they are equal: it cannot hold a value.
        path.push_str(below.get_name());
        command = below;
    }
    format!("see {path} --help")
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    texts(error, kind).into_iter().next()
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
