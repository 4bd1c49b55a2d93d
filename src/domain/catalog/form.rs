//! Whether a value looks like a key. A guess, made for a warning: it refuses nothing and tells nothing but yes or no.
//!
//! A value looks like a key when
//! - it begins as issuers mark their keys (see [`Hint`]) and is long enough to be one, or
//! - it holds a PEM private key, or a URL with a password in it, or
//! - it holds an unbroken run of at least 20 of `A-Z a-z 0-9 _ + =`, as random as keys are: hexadecimal with letters and
//!   digits from 3 bits a character on, other with capitals, small letters and digits from 3.9 bits on (Shannon's entropy
//!   of the run's own characters). Dashes, dots and slashes end a run, so UUIDs, host names and paths are no keys.

use crate::domain::value::{Hint, SecretValue};

const MIN_RUN: usize = 20;
const HEX_BITS: f64 = 3.0;
const MIXED_BITS: f64 = 3.9;

/// Whether it does.
pub(crate) fn looks_like_a_key(value: &SecretValue) -> bool {
    let Ok(text) = value.to_text() else { return false };
    Hint::of(value).is_some()
        || text.contains("PRIVATE KEY-----")
        || text.split_whitespace().any(holds_password)
        || text.split(|c: char| !(c.is_ascii_alphanumeric() || "_+=".contains(c))).any(is_random)
}

/// `scheme://user:password@…` (RFC 3986, section 3.2.1).
fn holds_password(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    // The last one: a password can have an `@` that nobody encoded.
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

fn is_random(run: &str) -> bool {
    if run.len() < MIN_RUN {
        return false;
    }
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    let digits = has(u8::is_ascii_digit);
    if run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return digits && has(u8::is_ascii_alphabetic) && entropy(run) >= HEX_BITS;
    }
    // Long words and identifiers are as random by this measure, but seldom have all three.
    digits && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && entropy(run) >= MIXED_BITS
}

/// Bits per character.
fn entropy(run: &str) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in run.bytes() {
        // A run is ASCII, so every byte has its count.
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let whole: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let share = |count: &&u32| f64::from(**count) / whole;
    -counts.iter().filter(|count| **count > 0).map(|count| share(&count)).map(|p| p * p.log2()).sum::<f64>()
}
