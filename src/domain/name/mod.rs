//! Names, and how a secret's name becomes the name of an environment variable. Never quotes a name that it refuses:
//! a value pasted into the wrong field arrives here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use heck::ToShoutySnakeCase;

pub use crate::domain::refusal::{Refusal, refused};
use crate::domain::text;

#[cfg(test)]
mod tests;

/// The longest secret name, in bytes.
pub const MAX_SECRET_NAME: usize = 200;
/// The longest exported name, in bytes: the longest secret name and the `_` that a leading digit gets.
pub const MAX_ENV_NAME: usize = MAX_SECRET_NAME + 1;

/// Why a name is refused. Holds the rule and never the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// More bytes than allowed.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The largest number of bytes.
        limit: usize,
    },
    /// A character outside the alphabet of this kind of name.
    #[error("{what} holds a character that is not allowed")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The alphabet, in words.
        allowed: &'static str,
    },
    /// The first character may not begin this kind of name.
    #[error("{what} does not start with {start}")]
    Start {
        /// Which kind of name.
        what: &'static str,
        /// What it must start with.
        start: &'static str,
    },
    /// A secret name of digits and punctuation only: nothing to export it as.
    #[error("a secret's name needs at least one letter")]
    NoLetter,
    /// The words of the name, once joined by underscores, no longer fit.
    #[error("the name would be exported as more than {limit} bytes")]
    ExportTooLong {
        /// The largest number of bytes.
        limit: usize,
    },
}

impl NameError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Character { allowed, .. } => Some(allowed),
            Self::ExportTooLong { .. } => Some("shorten the name or write it in UPPER_SNAKE_CASE"),
            Self::Empty { .. } | Self::TooLong { .. } | Self::Start { .. } | Self::NoLetter => None,
        }
    }
}

macro_rules! names {
    ($( $(#[$meta:meta])* $Name:ident($check:path), $expected:literal; )+) => { $(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Takes the text if it keeps the rules of this kind of name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }

        impl FromStr for $Name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        text::serde_as_text!(as_str $Name, $expected);
    )+ };
}

names! {
    /// A secret's name as its depositor wrote it: 1 to 200 bytes of ASCII letters, digits and `- _ . : /`, with at
    /// least one letter, and convertible to an [`EnvName`]. Cheap to clone.
    SecretName(check_secret_name), "a secret's name";
    /// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`, at most 201 bytes. Cheap to clone.
    EnvName(check_env_name), "the name of an environment variable";
    /// An organization's name: 1 to 64 of `a-z 0-9 . _ - @`, starting with a letter or digit.
    OrgName(check_org_name), "an organization's name";
    /// A member's name: 1 to 64 of `a-z 0-9 . _ - @`, starting with a letter or digit.
    MemberName(check_member_name), "a member's name";
    /// The name of an issuer of tokens in an organization: 1 to 64 of `a-z 0-9 . _ - @`, starting with a letter or digit.
    IssuerName(check_issuer_name), "an issuer's name";
    /// A plugin's name: 1 to 100 ASCII letters, digits and `@ / . _ - :`.
    PluginName(check_plugin_name), "a plugin's name";
    /// A category: 1 to 50 of `a-z 0-9 _ -`.
    Category(check_category), "a category";
    /// What a person calls a token or ticket: 1 to 100 bytes without control characters or outer blanks.
    Label(check_label), "a label";
    /// A preset's platform: 1 to 50 of `a-z 0-9 _ -`.
    PresetId(check_preset), "a preset";
    /// The last part of the name of a preset's secret: 1 to 50 of `a-z 0-9 _ -`.
    FieldKey(check_field), "a preset's field";
    /// What the operator calls an OIDC provider, in addresses and commands: 1 to 32 of `a-z 0-9 -`, starting with a letter
    /// or digit.
    ProviderName(check_provider_name), "a provider's name";
    /// The URL that identifies an OIDC provider, compared byte for byte: at most 255 visible ASCII characters.
    ProviderIssuer(check_issuer), "a provider's issuer URL";
    /// How a provider identifies a person: 1 to 255 printable ASCII characters (OpenID Connect Core, section 2).
    ProviderSubject(check_subject), "a provider's subject";
}

impl SecretName {
    /// The name of the environment variable that this secret becomes, unless one was given explicitly.
    ///
    /// A name that already is UPPER_SNAKE_CASE stays as it is; any other is split into words by `heck` and joined in
    /// shouty snake case, with `_` in front of a leading digit. Converting the result again changes nothing.
    pub fn export(&self) -> EnvName {
        // `heck` would merge the underscores of `A__B`, which is meant as it stands.
        if is_upper_snake(&self.0) { EnvName(Arc::clone(&self.0)) } else { EnvName(shouty(&self.0).into()) }
    }
}

impl EnvName {
    /// The variable by which a machine finds a file: the name with `_FILE` after it. `None` if that is too long.
    pub(crate) fn file_variable(&self) -> Option<Self> {
        Self::parse(&format!("{self}_FILE")).ok()
    }
}

fn is_upper_snake(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

fn shouty(text: &str) -> String {
    let mut name = text.to_shouty_snake_case();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        // A shell assigns to no name that begins with a digit (POSIX, "Name").
        name.insert(0, '_');
    }
    name
}

fn check_secret_name(text: &str) -> Result<(), NameError> {
    let rule = Rule {
        what: "a secret's name",
        limit: MAX_SECRET_NAME,
        allowed: "use ASCII letters, digits and - _ . : /",
        letter: |byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte),
    };
    rule.check(text)?;
    if !text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(NameError::NoLetter);
    }
    // `aBcD` gains an underscore per word, so a legal name can outgrow the limit of exported names.
    if !is_upper_snake(text) && shouty(text).len() > MAX_ENV_NAME {
        return Err(NameError::ExportTooLong { limit: MAX_ENV_NAME });
    }
    Ok(())
}

fn check_env_name(text: &str) -> Result<(), NameError> {
    let what = "a variable's name";
    let rule = Rule {
        what,
        limit: MAX_ENV_NAME,
        allowed: "use ASCII letters, digits and _",
        letter: |byte| byte.is_ascii_alphanumeric() || byte == b'_',
    };
    rule.check(text)?;
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(NameError::Start { what, start: "a letter or _" });
    }
    Ok(())
}

fn check_org_name(text: &str) -> Result<(), NameError> {
    check_handle("an organization's name", text)
}

fn check_member_name(text: &str) -> Result<(), NameError> {
    check_handle("a member's name", text)
}

fn check_issuer_name(text: &str) -> Result<(), NameError> {
    check_handle("an issuer's name", text)
}

fn check_handle(what: &'static str, text: &str) -> Result<(), NameError> {
    let rule = Rule {
        what,
        limit: 64,
        allowed: "use a-z, 0-9 and . _ - @",
        letter: |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@'),
    };
    rule.check(text)?;
    // A name such as `-x` looks like an option, and `..` like a folder.
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(NameError::Start { what, start: "a letter or digit" });
    }
    Ok(())
}

fn check_plugin_name(text: &str) -> Result<(), NameError> {
    let rule = Rule {
        what: "a plugin's name",
        limit: 100,
        allowed: "use ASCII letters, digits and @ / . _ - :",
        letter: |byte| byte.is_ascii_alphanumeric() || b"@/._-:".contains(&byte),
    };
    rule.check(text)
}

fn check_category(text: &str) -> Result<(), NameError> {
    check_slug("a category", text)
}

fn check_preset(text: &str) -> Result<(), NameError> {
    check_slug("a preset", text)
}

fn check_field(text: &str) -> Result<(), NameError> {
    check_slug("a preset's field", text)
}

fn check_provider_name(text: &str) -> Result<(), NameError> {
    let what = "a provider's name";
    let rule = Rule {
        what,
        limit: 32,
        allowed: "use a-z, 0-9 and -",
        letter: |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'),
    };
    rule.check(text)?;
    // It is an argument of a command, where `-x` looks like an option.
    if text.starts_with('-') {
        return Err(NameError::Start { what, start: "a letter or digit" });
    }
    Ok(())
}

fn check_issuer(text: &str) -> Result<(), NameError> {
    let what = "a provider's issuer URL";
    let rule = Rule {
        what,
        limit: 255,
        allowed: "write https:// and a host, and a path if the provider has one; no query, no fragment",
        // OpenID Connect Discovery, section 3: an issuer has neither a query nor a fragment.
        letter: |byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'),
    };
    rule.check(text)?;
    match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        Some(_) => Ok(()),
        None => Err(NameError::Start { what, start: "https://" }),
    }
}

fn check_subject(text: &str) -> Result<(), NameError> {
    let rule = Rule {
        what: "a provider's subject",
        limit: 255,
        allowed: "it has printable ASCII characters only",
        letter: |byte| byte == b' ' || byte.is_ascii_graphic(),
    };
    rule.check(text)
}

fn check_slug(what: &'static str, text: &str) -> Result<(), NameError> {
    let rule = Rule {
        what,
        limit: 50,
        allowed: "use a-z, 0-9, _ and -",
        letter: |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'),
    };
    rule.check(text)
}

fn check_label(text: &str) -> Result<(), NameError> {
    let what = "a label";
    let allowed = "use no control characters, and no blank at either end";
    match text {
        "" => Err(NameError::Empty { what }),
        _ if text.len() > 100 => Err(NameError::TooLong { what, limit: 100 }),
        // Two labels that differ in a blank at the end look the same in a list.
        _ if text.trim() != text || text.chars().any(char::is_control) => {
            Err(NameError::Character { what, allowed })
        }
        _ => Ok(()),
    }
}

struct Rule {
    what: &'static str,
    limit: usize,
    allowed: &'static str,
    letter: fn(u8) -> bool,
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let what = self.what;
        if text.is_empty() {
            return Err(NameError::Empty { what });
        }
        // Before the characters: what was pasted into the wrong field can be long.
        if text.len() > self.limit {
            return Err(NameError::TooLong { what, limit: self.limit });
        }
        if !text.bytes().all(self.letter) {
            return Err(NameError::Character { what, allowed: self.allowed });
        }
        Ok(())
    }
}
