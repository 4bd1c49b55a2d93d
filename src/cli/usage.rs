//! What is said of a command line that cannot be understood. Never repeats what was typed, except the name of a flag:
//! somebody may have typed a value where none belongs.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::CliError;
use crate::process::Exit;

/// What `set` says of a value among its arguments.
pub(crate) const NO_VALUE_HERE: &str = "a value is read from standard input, --file or a hidden prompt, never from the command line: what was typed \
     may already be in the shell's history and was visible to other processes";

/// What became of a command line that gave no command to run.
pub(crate) enum ParseFailure {
    /// It asked for help or the version: this, to standard output.
    Told(String),
    /// It cannot be understood.
    Failed(CliError),
}

/// Turns the parser's finding on `typed` into our words.
pub(crate) fn answer(error: &clap::Error, typed: &[OsString]) -> ParseFailure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ParseFailure::Told(error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            ParseFailure::Failed(CliError::usage("a command is missing").hint(more(typed)))
        }
        _ => ParseFailure::Failed(failure(error, typed)),
    }
}

fn failure(error: &clap::Error, typed: &[OsString]) -> CliError {
    let argument = text(error, ContextKind::InvalidArg);
    let failure = |message: String| CliError::new(Exit::Usage, message);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(flag) = argument.as_deref().and_then(flag_name) else {
                let hint = if is_set(typed) { NO_VALUE_HERE.to_owned() } else { more(typed) };
                return failure("there is one argument too many".to_owned()).hint(hint);
            };
            let suggested = text(error, ContextKind::SuggestedArg);
            let hint = match suggested {
                _ if is_set(typed) && flag.starts_with("--val") => NO_VALUE_HERE.to_owned(),
                Some(flag) => format!("did you mean {flag}?"),
                None => more(typed),
            };
            failure(format!("there is no flag {flag} here")).hint(hint)
        }
        ErrorKind::InvalidSubcommand => {
            let suggested = text(error, ContextKind::SuggestedSubcommand);
            let hint = suggested.map_or_else(|| more(typed), |name| format!("did you mean {name}?"));
            failure("there is no such command".to_owned()).hint(hint)
        }
        ErrorKind::MissingRequiredArgument => {
            failure(format!("missing: {}", texts(error, ContextKind::InvalidArg).join(", ")))
                .hint(more(typed))
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(error, ContextKind::PriorArg).join(", ");
            let one = argument.unwrap_or_default();
            let message = match others.as_str() {
                "" => format!("{one} cannot be used here"),
                same if same == one => format!("{one} is given more than once"),
                others => format!("{one} cannot be used with {others}"),
            };
            failure(message).hint(more(typed))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if is_empty(error) => {
            failure(format!("{} needs a value", argument.unwrap_or_default())).hint(more(typed))
        }
        ErrorKind::InvalidValue => {
            let taken = texts(error, ContextKind::ValidValue).join(", ");
            failure(format!("{} takes one of: {taken}", argument.unwrap_or_default()))
        }
        ErrorKind::ValueValidation => {
            // Our own parsers' words, which repeat nothing. The standard library's number parsers repeat nothing either,
            // yet clap's range does.
            let ours = error.source().filter(|source| !source.to_string().contains(" is not in "));
            let why = ours.map_or_else(|| "out of its range".to_owned(), ToString::to_string);
            failure(format!("{}: {why}", argument.unwrap_or_default())).hint(more(typed))
        }
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            failure(format!("{} needs a value", argument.unwrap_or_default())).hint(more(typed))
        }
        ErrorKind::TooManyValues => {
            failure(format!("{} takes no value", argument.unwrap_or_default())).hint(more(typed))
        }
        _ => failure("the command line cannot be understood".to_owned()).hint(more(typed)),
    }
}

fn is_empty(error: &clap::Error) -> bool {
    text(error, ContextKind::InvalidValue).is_some_and(|value| value.is_empty())
}

/// A flag's name as it may be repeated: short enough, and of letters that no key has alone.
fn flag_name(typed: &str) -> Option<&str> {
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

/// Where to read on. Only names of commands are repeated.
fn more(typed: &[OsString]) -> String {
    use clap::CommandFactory;
    let mut command = super::arguments::RootArgs::command();
    let mut path = String::from("dropsafe");
    for word in typed.iter().skip(1) {
        let Some(below) = word.to_str().and_then(|word| command.find_subcommand(word)).cloned() else {
            break;
        };
        path.push(' ');
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::RootArgs;

    fn said(words: &[&str]) -> String {
        let typed: Vec<OsString> = ["dropsafe"].iter().chain(words).map(OsString::from).collect();
        let error = RootArgs::try_parse_from(&typed).expect_err("it was understood");
        match answer(&error, &typed) {
            ParseFailure::Told(_) => panic!("that is help"),
            ParseFailure::Failed(failure) => {
                assert_eq!(failure.exit, Exit::Usage);
                format!("{}\n{}", failure.message, failure.hint.unwrap_or_default())
            }
        }
    }

    #[test]
    fn what_was_typed_is_not_repeated() {
        const CANARY: &str = "CaNary4Value";
        let dashed = format!("--{CANARY}");
        let given = format!("--file-x={CANARY}");
        for words in [
            &["set", "name", CANARY][..],
            &["set", "name", "--shared", CANARY],
            &["set", "name", &dashed],
            &["set", "name", &given],
            &["set", "name", "--plain=CaNary4Value"],
            &[CANARY],
            &["ticket", CANARY],
            &["ticket", "new", "--ttl", CANARY],
            &["ticket", "new", "--uses", CANARY],
            &["ticket", "new", "--uses", "99999999999999"],
            &["member", "add", "x", "--role", CANARY],
            &["completions", CANARY],
            &["org", "set", "--hints", CANARY],
            &["dev", "--listen", CANARY],
        ] {
            let said = said(words);
            assert!(!said.contains(CANARY) && !said.contains("99999"), "{words:?}: {said}");
        }
    }

    #[test]
    fn a_value_among_the_arguments_of_set_gets_its_own_words() {
        assert!(said(&["set", "name", "x"]).contains("standard input"));
        assert!(!said(&["show", "name", "x"]).contains("standard input"));
    }
}
