//! The names that sealed release has in HTTP. `crypto::sealed_release` says what the bytes are.

use data_encoding::BASE64URL_NOPAD;

/// The scheme of a proof in `Authorization`.
pub(crate) const PROOF_SCHEME: &str = "Dropsafe-Proof";
/// The header with the identity that a token proves.
pub(crate) const IDENTITY_HEADER: &str = "dropsafe-identity";
/// The header with a token that is bound to the key of a proof.
pub(crate) const TOKEN_HEADER: &str = "dropsafe-token";
/// The media type of a sealed answer.
pub(crate) const SEALED_MEDIA_TYPE: &str = "application/vnd.dropsafe.sealed";

const CHALLENGE: &str = "challenge=\"";

/// The value of `WWW-Authenticate` that gives a challenge.
#[cfg(feature = "server")]
pub(crate) fn render_challenge(challenge: &[u8]) -> String {
    format!("{PROOF_SCHEME} {CHALLENGE}{}\"", BASE64URL_NOPAD.encode(challenge))
}

/// The challenge in a value of `WWW-Authenticate`. `None` if there is none of `N` bytes.
pub(crate) fn parse_challenge<const N: usize>(value: &str) -> Option<[u8; N]> {
    // Only the one form that a store sends: whatever else answers here gives no challenge.
    let text = value.strip_prefix(PROOF_SCHEME)?.strip_prefix(' ')?.strip_prefix(CHALLENGE)?;
    BASE64URL_NOPAD.decode(text.strip_suffix('"')?.as_bytes()).ok()?.try_into().ok()
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_reads_back_and_nothing_else_is_one() {
        let value = render_challenge(&[7; 24]);
        assert_eq!(parse_challenge(&value), Some([7; 24]));
        assert_eq!(parse_challenge::<23>(&value), None);
        for other in [
            "",
            "Bearer realm=\"dropsafe\"",
            "Dropsafe-Proof challenge=\"!\"",
            "Dropsafe-Proof challenge=\"",
            &value[..20],
        ] {
            assert_eq!(parse_challenge::<24>(other), None, "{other}");
        }
    }
}
