//! The redacted display of a value: a public prefix that its issuer gives to all such keys, and the last four characters.
//! Never more of a value than that, and nothing of a value whose prefix is not known: the end of a connection string
//! or of a passphrase may be the very part that is secret.

use std::fmt;
use std::str::FromStr;

use crate::domain::text;
use crate::domain::value::SecretValue;

const MIN_VALUE: usize = 24;
/// Characters that stay hidden at least, whatever the prefix.
const MIN_HIDDEN: usize = 12;
const TAIL: usize = 4;
const MASK: &str = "****...";

/// Prefixes that issuers publish so that leaked keys are recognized. The longest that matches counts.
const PREFIXES: &[&str] = &[
    // AI providers.
    "sk-",
    "sk-ant-",
    "sk-ant-api03-",
    "sk-or-",
    "sk-or-v1-",
    "sk-proj-",
    "sk-svcacct-",
    "sk-lf-",
    "pk-lf-",
    "gsk_",
    "hf_",
    "r8_",
    "xai-",
    "pplx-",
    "tgp_v1_",
    "fw_",
    "nvapi-",
    "lsv2_pt_",
    "lsv2_sk_",
    "AIza",
    "jina_",
    "tvly-",
    // Code and packages.
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "npm_",
    "pypi-",
    "dckr_pat_",
    "dop_v1_",
    "atlasv1.",
    "ATATT3",
    "sntrys_",
    "sntryu_",
    "lin_api_",
    "figd_",
    "PMAK-",
    "rubygems_",
    // Messages.
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxr-",
    "xoxs-",
    "xoxe-",
    "xapp-",
    "SG.",
    "ntn_",
    // Clouds, payments, observability.
    "AKIA",
    "ASIA",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "pk_live_",
    "pk_test_",
    "whsec_",
    "sq0atp-",
    "sq0csp-",
    "shpat_",
    "shpss_",
    "glsa_",
    "glc_",
    "NRAK-",
    "hvs.",
    "hvb.",
    "pul-",
    "dp.st.",
    "dp.pt.",
    "phc_",
    "phx_",
    "sbp_",
    "vercel_",
    "nfp_",
    "rnd_",
    "tskey-",
    "eyJ",
    "AGE-SECRET-KEY-1",
    // Our own.
    "dsm_",
    "dso_",
    "dst_",
];

/// The redacted display of a value, such as `sk-****...wxyz`. Text and serde: that form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hint(Box<str>);

/// A text that is not a redacted display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a known public prefix, `****...` and four characters")]
pub struct HintError;

impl Hint {
    /// The hint of a value of at least 24 graphic ASCII characters that starts with a known prefix; otherwise none.
    pub fn of(value: &SecretValue) -> Option<Self> {
        let text = value.to_text().ok()?;
        // Four characters are too large a part of a short value, and no issuer's keys have blanks.
        if text.len() < MIN_VALUE || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let prefix = prefix_of(text)?;
        // Behind a long prefix too little may be left to hide.
        if text.len() < prefix.len() + MIN_HIDDEN + TAIL {
            return None;
        }
        let tail = &text[text.len() - TAIL..];
        Some(Self([prefix, MASK, tail].concat().into()))
    }

    /// Takes a hint made by another program (which sealed the value before it sent it): a known prefix, the mask, four
    /// graphic characters, and nothing else, so that no client can have a value stored here.
    pub fn parse(text: &str) -> Result<Self, HintError> {
        let (prefix, tail) = text.split_once(MASK).ok_or(HintError)?;
        let graphic = tail.len() == TAIL && tail.bytes().all(|byte| byte.is_ascii_graphic());
        // A free text in front of the mask would be a way to store a value where everybody can read it.
        if graphic && PREFIXES.contains(&prefix) { Ok(Self(text.into())) } else { Err(HintError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn prefix_of(text: &str) -> Option<&'static str> {
    // The longest, since what begins with `sk-ant-` begins with `sk-` too.
    PREFIXES.iter().copied().filter(|prefix| text.starts_with(prefix)).max_by_key(|prefix| prefix.len())
}

impl fmt::Display for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl FromStr for Hint {
    type Err = HintError;

    fn from_str(text: &str) -> Result<Self, HintError> {
        Self::parse(text)
    }
}

text::serde_as_text!(as_str Hint, "a redacted display");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Option<String> {
        Hint::of(&SecretValue::new(text.as_bytes().to_vec())).map(|hint| hint.to_string())
    }

    #[test]
    fn known_prefixes_and_the_last_four() {
        for (value, hint) in [
            ("sk-abcdefghijklmnopqrstuvwxyz", "sk-****...wxyz"),
            ("sk-ant-abcdefghijklmnopqrstuvwxyz", "sk-ant-****...wxyz"),
            ("sk-ant-api03-abcdefghijklmnopqrstuvwxyz", "sk-ant-api03-****...wxyz"),
            ("ghp_0123456789012345678901234567890123AB", "ghp_****...23AB"),
            ("xoxb-0123456789012345678901234567890123AB", "xoxb-****...23AB"),
        ] {
            assert_eq!(of(value).as_deref(), Some(hint));
        }
    }

    #[test]
    fn nothing_of_short_unknown_or_odd_values() {
        for value in [
            "",
            "sk-",
            "sk-abcdefghijklmnopqrst",
            "correct-horse-battery-staple-pw12",
            "postgres://user:password@host/abcd",
            "sk-abcdefghijklm nopqrstuvwxyz",
            "sk-abcdefghijklmnopqrstuvwxyz\n",
            "sk-abcdefghijklmnopqrstuvwxyzé",
            // Long enough, yet all but nine characters would show.
            "AGE-SECRET-KEY-1abcdefghi",
        ] {
            assert_eq!(of(value), None, "{value:?}");
        }
        assert_eq!(Hint::of(&SecretValue::new(vec![0xff; 40])), None);
    }

    #[test]
    fn a_hint_of_another_program_is_bounded() {
        for good in ["sk-****...wxyz", "ghp_****...23AB", "sk-****...****"] {
            assert_eq!(Hint::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "****...wxyz",
            "hunter2",
            "sk-****...",
            "sk-****...wxy",
            "sk-****...vwxyz",
            "sk-****...w yz",
            "mysecret****...wxyz",
            "sk-****...\u{e9}xy",
            "sk-secret****...wxyz",
        ] {
            assert_eq!(Hint::parse(bad), Err(HintError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_prefix_and_last_four(prefix in prop::sample::select(PREFIXES), rest in "[!-~]{0,60}") {
            let value = format!("{prefix}{rest}");
            if let Some(hint) = of(&value) {
                let (shown, tail) = hint.split_once(MASK).unwrap();
                prop_assert!(value.len() >= MIN_VALUE);
                prop_assert!(PREFIXES.contains(&shown) && value.starts_with(shown));
                prop_assert_eq!(tail.len(), 4);
                prop_assert!(value.ends_with(tail));
                prop_assert!(shown.len() + 4 + MIN_HIDDEN <= value.len());
                prop_assert!(Hint::parse(&hint).is_ok());
            }
        }
    }
}
