//! Unlocking at startup: by a passphrase file, a key file, or a systemd credential. The texts live in memory that is wiped.

use std::path::Path;

use zeroize::Zeroizing;

use super::config::UnlockSource;
use super::data_dir::{DataDirError, is_exposed, read};
use crate::store::UnlockSecret;

/// The names of the systemd credentials that are looked for (systemd.exec(5), `LoadCredentialEncrypted=`).
const CREDENTIAL_KEY: &str = "dropsafe.key";
const CREDENTIAL_PASSPHRASE: &str = "dropsafe.passphrase";

/// Reads what is configured, or else one of this service's systemd credentials. Returns `None` if there is neither: the store
/// starts locked.
pub(crate) fn read_unlock_secret(
    configured: Option<&UnlockSource>,
    credentials: Option<&Path>,
) -> Result<Option<UnlockSecret>, DataDirError> {
    match configured {
        Some(UnlockSource::PassphraseFile(path)) => {
            return Ok(Some(passphrase(read_with_warning(path)?)));
        }
        Some(UnlockSource::KeyFile(path)) => {
            return Ok(Some(UnlockSecret::KeyFile(read_with_warning(path)?)));
        }
        None => {}
    }
    let Some(credentials) = credentials else { return Ok(None) };
    let (key, phrase) = (credentials.join(CREDENTIAL_KEY), credentials.join(CREDENTIAL_PASSPHRASE));
    // The mode of these files is not checked: systemd gives the folder to this service alone.
    if key.exists() {
        return Ok(Some(UnlockSecret::KeyFile(read(&key)?)));
    }
    if phrase.exists() {
        return Ok(Some(passphrase(read(&phrase)?)));
    }
    Ok(None)
}

fn read_with_warning(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    // A warning and no refusal: the store must come up at boot, and the folder around the file may be closed.
    if is_exposed(path)? {
        tracing::warn!(file = %path.display(), "the file that unlocks the store can be read by other users: chmod 600");
    }
    read(path)
}

fn passphrase(mut text: Zeroizing<String>) -> UnlockSecret {
    // One line end, which editors and `echo` add and nobody means. The command line does the same.
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
