//! A secret's value and what it must keep to be deliverable. A value is never printed, cloned, compared or serialized;
//! `expose` is the only door, and an error about a value says its length at most.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use crate::domain::hint::Hint;
use crate::domain::name::EnvName;
use crate::domain::text;

/// The largest `NAME=VALUE`, in bytes without the closing NUL: Linux refuses an exec with a longer string
/// (`MAX_ARG_STRLEN`, 32 pages of 4 KiB; execve(2)).
pub const MAX_VARIABLE: usize = 131_071;
/// The largest value of a variable, in bytes, unless an organization sets another.
pub const DEFAULT_VARIABLE_CEILING: u32 = 64 * 1024;
/// The largest value delivered as a file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// The bytes of a value, wiped when dropped.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the bytes. The caller must not have reallocated the vector while filling it, since freed memory
    /// is not wiped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes: the only way to them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes as text, if they are UTF-8.
    pub fn to_text(&self) -> Result<&str, ValueError> {
        // The error of `from_utf8` says how much of the value is text, which nobody needs to know.
        str::from_utf8(&self.0).map_err(|_| ValueError::NotText)
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

text::text_enum! {
    /// How a value reaches the workload.
    pub enum Delivery, "a delivery: variable or file" {
        /// In the environment.
        Variable = "variable",
        /// As a file whose path is in the environment.
        File = "file",
    }
}

text::text_enum! {
    /// Whether a value may ever be shown. On the wire this is called `type`.
    pub enum Kind, "a type: encrypted or plain" {
        /// A secret: write-only.
        Encrypted = "encrypted",
        /// A setting that is not sensitive; its value may be shown to those who may use it.
        Plain = "plain",
    }
}

/// Why a value cannot be delivered. Says the rule and a length, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A NUL byte ends an environment string early.
    #[error("the value holds a NUL byte, which a variable cannot carry")]
    Nul,
    #[error("the value is not valid UTF-8, which a variable must be")]
    NotText,
    /// `NAME=VALUE` would not fit the kernel's limit for one string.
    #[error("name and value make {len} bytes; the kernel takes {MAX_VARIABLE} for one variable")]
    VariableTooLong {
        /// Length of `NAME=VALUE`.
        len: usize,
    },
    /// The value of a variable is above the organization's ceiling.
    #[error("the value has {len} bytes; a variable may have {ceiling}")]
    AboveCeiling { len: usize, ceiling: usize },
    #[error("the value has {len} bytes; a file may have {MAX_FILE}")]
    FileTooLong { len: usize },
}

impl ValueError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nul | Self::NotText => Some("deliver it as a file, or encode it, for example as base64"),
            Self::VariableTooLong { .. } | Self::AboveCeiling { .. } => Some("deliver it as a file"),
            Self::FileTooLong { .. } => None,
        }
    }
}

/// What is probably a mistake in a value that is stored as given.
///
/// Binary formats store the position of the variant: add at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ValueWarning {
    /// The value ends with a newline, as `echo` and editors add one.
    #[error("the value ends with a newline, which is kept")]
    TrailingNewline,
    #[error("the value is empty")]
    Empty,
    /// The value does not begin as values of this name do.
    #[error("values of this name usually begin with {expected}")]
    UnusualForm {
        /// How they begin.
        expected: Box<str>,
    },
    /// The value is to be plain, hence shown, and looks like a key.
    #[error("the value looks like a key, and a plain one is shown to those who may use it")]
    LooksLikeKey,
}

/// Whether `value` can be delivered as `env` in this way. `ceiling` bounds the value of a variable, in bytes.
pub fn check(
    value: &SecretValue,
    env: &EnvName,
    delivery: Delivery,
    ceiling: u32,
) -> Result<Vec<ValueWarning>, ValueError> {
    match delivery {
        Delivery::Variable => check_variable(value, env, ceiling)?,
        Delivery::File if value.len() > MAX_FILE => return Err(ValueError::FileTooLong { len: value.len() }),
        Delivery::File => {}
    }
    let mut warnings = Vec::new();
    // A file ends with a newline by convention; in a variable it breaks headers and URLs.
    if delivery == Delivery::Variable && value.expose().ends_with(b"\n") {
        warnings.push(ValueWarning::TrailingNewline);
    }
    if value.is_empty() {
        warnings.push(ValueWarning::Empty);
    }
    Ok(warnings)
}

/// Whether `NAME=VALUE` is within the kernel's limit, by lengths alone.
pub fn fits_variable(env: &EnvName, value_len: usize) -> bool {
    variable_len(env, value_len) <= MAX_VARIABLE
}

fn check_variable(value: &SecretValue, env: &EnvName, ceiling: u32) -> Result<(), ValueError> {
    let len = value.len();
    let ceiling = usize::try_from(ceiling).unwrap_or(usize::MAX);
    // First, because no administrator can raise the kernel's limit.
    if !fits_variable(env, len) {
        return Err(ValueError::VariableTooLong { len: variable_len(env, len) });
    }
    if len > ceiling {
        return Err(ValueError::AboveCeiling { len, ceiling });
    }
    // The strings of execve(2) end at the first NUL, so the rest would be lost without a word.
    if value.expose().contains(&0) {
        return Err(ValueError::Nul);
    }
    // Many runtimes decode the environment as UTF-8, and replace or refuse the rest.
    value.to_text().map(|_| ())
}

fn variable_len(env: &EnvName, value_len: usize) -> usize {
    // Saturating: a length that wraps around would fit.
    env.as_str().len().saturating_add(1).saturating_add(value_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    fn env(name: &str) -> EnvName {
        EnvName::parse(name).unwrap()
    }

    fn checked(bytes: &[u8], delivery: Delivery) -> Result<Vec<ValueWarning>, ValueError> {
        check(&value(bytes), &env("KEY"), delivery, DEFAULT_VARIABLE_CEILING)
    }

    #[test]
    fn a_variable_is_text_without_nul() {
        assert_eq!(checked(b"secret", Delivery::Variable), Ok(vec![]));
        assert_eq!(checked("schlüssel".as_bytes(), Delivery::Variable), Ok(vec![]));
        assert_eq!(checked(b"a\0b", Delivery::Variable), Err(ValueError::Nul));
        assert_eq!(checked(b"\xff", Delivery::Variable), Err(ValueError::NotText));
        assert_eq!(checked(b"line\nline", Delivery::Variable), Ok(vec![]));
    }

    #[test]
    fn a_file_is_any_bytes() {
        assert_eq!(checked(b"\0\xff\n", Delivery::File), Ok(vec![]));
        assert_eq!(checked(&vec![0; MAX_FILE], Delivery::File), Ok(vec![]));
        assert_eq!(
            checked(&vec![0; MAX_FILE + 1], Delivery::File),
            Err(ValueError::FileTooLong { len: MAX_FILE + 1 })
        );
    }

    #[test]
    fn likely_mistakes_are_warned_of() {
        assert_eq!(checked(b"x\n", Delivery::Variable), Ok(vec![ValueWarning::TrailingNewline]));
        assert_eq!(checked(b"x\r\n", Delivery::Variable), Ok(vec![ValueWarning::TrailingNewline]));
        assert_eq!(checked(b"", Delivery::Variable), Ok(vec![ValueWarning::Empty]));
        assert_eq!(checked(b"", Delivery::File), Ok(vec![ValueWarning::Empty]));
    }

    #[test]
    fn a_variable_fits_the_ceiling_and_the_kernel() {
        let of = |name: &str, len: usize, ceiling| {
            check(&value(&vec![b'x'; len]), &env(name), Delivery::Variable, ceiling)
        };
        assert_eq!(of("KEY", 65_536, DEFAULT_VARIABLE_CEILING), Ok(vec![]));
        let above = ValueError::AboveCeiling { len: 65_537, ceiling: 65_536 };
        assert_eq!(of("KEY", 65_537, DEFAULT_VARIABLE_CEILING), Err(above));
        assert_eq!(of("KEY", MAX_VARIABLE - 4, u32::MAX), Ok(vec![]));
        assert_eq!(
            of("KEY", MAX_VARIABLE - 3, u32::MAX),
            Err(ValueError::VariableTooLong { len: MAX_VARIABLE + 1 })
        );
        assert_eq!(
            of("LONGER", MAX_VARIABLE - 4, u32::MAX),
            Err(ValueError::VariableTooLong { len: MAX_VARIABLE + 3 })
        );
        assert!(!fits_variable(&env("KEY"), usize::MAX));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", value(b"hunter2")), "[redacted]");
    }

    #[test]
    fn errors_show_lengths_only() {
        for error in [checked(b"hunter2\0", Delivery::Variable), checked(b"hunter2\xff", Delivery::Variable)]
        {
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
            assert!(error.hint().is_some());
        }
    }
}
