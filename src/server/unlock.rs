//! Unlocking at the start: a passphrase file, a key file, or one of systemd's credentials. The texts live in memory that
//! is wiped.

use std::path::Path;

use zeroize::Zeroizing;

use super::config::UnlockSource;
use super::data_dir::{DataDirError, is_exposed, read};
use crate::store::UnlockSecret;

/// Names of systemd credentials that are looked for (systemd.exec(5), LoadCredentialEncrypted=).
const CREDENTIAL_KEY: &str = "dropsafe.key";
const CREDENTIAL_PASSPHRASE: &str = "dropsafe.passphrase";

/// What was configured, or else what systemd has put into this service's credentials, or else nothing.
pub(crate) fn secret(
    configured: Option<&UnlockSource>,
    credentials: Option<&Path>,
) -> Result<Option<UnlockSecret>, DataDirError> {
    match configured {
        Some(UnlockSource::PassphraseFile(path)) => return Ok(Some(passphrase(guarded(path)?))),
        Some(UnlockSource::KeyFile(path)) => return Ok(Some(UnlockSecret::KeyFile(guarded(path)?))),
        None => {}
    }
    let Some(credentials) = credentials else { return Ok(None) };
    let (key, phrase) = (credentials.join(CREDENTIAL_KEY), credentials.join(CREDENTIAL_PASSPHRASE));
    // systemd guards the folder, whatever the mode of a file in it.
    if key.exists() {
        return Ok(Some(UnlockSecret::KeyFile(read(&key)?)));
    }
    if phrase.exists() {
        return Ok(Some(passphrase(read(&phrase)?)));
    }
    Ok(None)
}

/// A file that an operator made is told about, not refused, when others may read it: the store must come up at boot, and
/// the folder around the file may well be closed.
fn guarded(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    if is_exposed(path)? {
        tracing::warn!(file = %path.display(), "the file that unlocks the store may be read by other users: chmod 600");
    }
    read(path)
}

/// Editors and `echo` end a file with a newline that nobody means.
fn passphrase(mut text: Zeroizing<String>) -> UnlockSecret {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    UnlockSecret::Passphrase(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_does_not_count() {
        for (file, expected) in [("a b\n", "a b"), ("a b\r\n", "a b"), ("a b\n\n", "a b\n"), (" a", " a")] {
            let UnlockSecret::Passphrase(text) = passphrase(Zeroizing::new(file.to_owned())) else {
                panic!()
            };
            assert_eq!(text.as_str(), expected);
        }
    }
}
