//! What an identity requires of one claim: a value, or the beginning of one. Says what it found instead, for the person who
//! tests an identity, and never for the machine that presents a token.

use serde_json::{Map, Value};

/// The longest pointer, in bytes.
const MAX_POINTER: usize = 256;
/// The longest value, in bytes.
const MAX_VALUE: usize = 1024;
/// How much of another value is shown, in characters.
const MAX_FOUND: usize = 200;
/// Where the value of a prefix rule may end.
///
/// All of them stand between the parts of a name that different people own: paths and URLs, `repo:acme/app:ref`, ARNs,
/// `workflow.yml@ref`, `auth0|user`. Not `-`, `_` or `.`, which stand within names: everybody can register a name that begins
/// with `acme-`.
const SEPARATORS: [char; 5] = ['/', ':', '#', '@', '|'];
/// Claims that are checked for every token, so that a rule about them could only be misunderstood.
const RESERVED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClaimRule {
    /// Where the claim is: a JSON Pointer (RFC 6901) such as `/kubernetes.io/namespace`.
    pub(crate) pointer: String,
    /// The value. Numbers and booleans are compared by their text in JSON, so that `7` matches both `7` and `"7"`.
    pub(crate) value: String,
    /// Whether the claim only has to begin with the value, and go on after it.
    pub(crate) prefix: bool,
}

/// Why there is no such rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRuleError {
    /// It is not a JSON Pointer to a claim.
    #[error(
        "a claim is named by a JSON Pointer of 2 to {MAX_POINTER} bytes, such as /sub or /kubernetes.io/namespace"
    )]
    Pointer,
    /// It names a claim that every token is checked for.
    #[error("this claim is checked for every token")]
    Reserved,
    /// The value is empty, too long, or has control characters.
    #[error("the value of a claim has 1 to {MAX_VALUE} bytes and no control characters")]
    Value,
    /// The prefix could end within a name.
    #[error("a prefix ends with one of / : # @ |")]
    Prefix,
}

impl ClaimRuleError {
    /// What to do about it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            Self::Pointer => Some("write ~1 for a slash and ~0 for a tilde within a name"),
            Self::Reserved => Some("set the issuer and the audience of the identity instead"),
            Self::Prefix => Some(
                "a name that only begins like yours may belong to somebody else: end the prefix where your name ends",
            ),
            Self::Value => None,
        }
    }
}

/// What a rule says about the claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimCheck {
    Matched,
    /// There is no such claim, or it is null.
    Absent,
    /// There is another value.
    Different {
        /// That value, shortened, without control characters.
        found: String,
    },
}

impl ClaimRule {
    pub(crate) fn new(pointer: &str, value: &str, prefix: bool) -> Result<Self, ClaimRuleError> {
        check_pointer(pointer)?;
        if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            return Err(ClaimRuleError::Value);
        }
        if prefix && !value.ends_with(SEPARATORS) {
            return Err(ClaimRuleError::Prefix);
        }
        Ok(Self { pointer: pointer.to_owned(), value: value.to_owned(), prefix })
    }

    /// Compares the claims of a token with this rule.
    pub(crate) fn check(&self, claims: &Map<String, Value>) -> ClaimCheck {
        let found = match find(&self.pointer, claims) {
            None | Some(Value::Null) => return ClaimCheck::Absent,
            Some(found) => found,
        };
        let matched = match found {
            // Groups and roles: the issuer lists all that apply, and one of them is what the rule is about. Only a whole entry
            // matches, because a prefix over several values would match more than its author can see at once.
            Value::Array(list) => !self.prefix && list.iter().any(|entry| self.matches(entry)),
            single => self.matches(single),
        };
        if matched { ClaimCheck::Matched } else { ClaimCheck::Different { found: display(found) } }
    }

    fn matches(&self, found: &Value) -> bool {
        match found {
            Value::String(text) if self.prefix => {
                // Something has to follow: the value itself is what the prefix's owner shares with all below it.
                text.len() > self.value.len() && text.starts_with(&self.value)
            }
            Value::String(text) => *text == self.value,
            Value::Bool(flag) => !self.prefix && self.value == if *flag { "true" } else { "false" },
            // Not a fraction: `1e2`, `100.0` and `100` are one number with several texts, and what is beyond 64 bits has
            // been rounded.
            Value::Number(number) => !self.prefix && !number.is_f64() && number.to_string() == self.value,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

/// The text at a pointer that a rule could have. `None` for other values.
pub(crate) fn claim_text<'a>(pointer: &str, claims: &'a Map<String, Value>) -> Option<&'a str> {
    find(pointer, claims)?.as_str()
}

/// The value at a pointer that [`check_pointer`] accepts.
fn find<'a>(pointer: &str, claims: &'a Map<String, Value>) -> Option<&'a Value> {
    let path = pointer.strip_prefix('/')?;
    let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    // In this order: `~01` stands for `~1` (RFC 6901 section 4).
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

fn check_pointer(pointer: &str) -> Result<(), ClaimRuleError> {
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    // Control characters and the empty name of a member could not be told apart on a screen.
    let named = pointer.strip_prefix('/').is_some_and(|path| {
        path.split('/').all(|name| !name.is_empty()) && !path.chars().any(char::is_control)
    });
    if !named || !escapes || pointer.len() > MAX_POINTER {
        return Err(ClaimRuleError::Pointer);
    }
    let first = pointer.split('/').nth(1).unwrap_or_default();
    if RESERVED.contains(&first) { Err(ClaimRuleError::Reserved) } else { Ok(()) }
}

fn display(found: &Value) -> String {
    let text = match found {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            found.to_string()
        }
    };
    // An issuer of somebody else's choice wrote it, and it ends up on a terminal.
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(MAX_FOUND).map(shown).collect();
    if text.chars().nth(MAX_FOUND).is_some() {
        short.push('…');
    }
    short
}
