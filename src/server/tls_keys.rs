//! The TLS keys that `init` creates in the data folder, and the rotation that replaces the current key with the next one.
//!
//! ```text
//! DIR/tls/key.pem   the current key
//! DIR/tls/cert.pem  its certificate, and that of the authority
//! DIR/tls/ca.pem    the authority's certificate
//! DIR/tls/next.pem  the key that the next rotation makes the current one
//! DIR/tls/rotated   the time of the last rotation
//! ```
//! A rotation renames next.pem to key.pem. It is complete once cert.pem belongs to key.pem, and cert.pem is written last. A server or
//! a rotation that finds it interrupted completes it.

use std::path::PathBuf;
use std::time::Duration;

use super::config::ServeConfig;
use super::data_dir::{DataDir, DataDirError, FolderLock, FolderUse};
use super::tls::TlsError;
use super::{data_dir, tls};
use crate::domain::pin::PinPair;
use crate::domain::time::Timestamp;
use crate::store::{Clock as _, SystemClock};

/// A second rotation makes every ticket useless that is older than the first. So soon, it is probably a repetition.
const MIN_ROTATION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Why the key was not rotated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{} was not created by dropsafe", path.display())]
    Foreign { path: PathBuf },
    /// The next key has become the current one, and what belongs to it could not be written.
    #[error("the TLS key was rotated, and its certificate is missing")]
    Unfinished(#[source] Box<RotateError>),
    #[error("the TLS key was already rotated at {at}; nothing is changed")]
    Recent { at: Timestamp },
}

impl RotateError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Data(error) => return error.hint(),
            Self::Tls(TlsError::NoKey) => {
                "restore key.pem; a next.pem without a key can be deleted".to_owned()
            }
            Self::Tls(_) => return None,
            Self::Foreign { .. } => {
                "replace your own certificate and key yourself, and send the server SIGHUP".to_owned()
            }
            Self::Unfinished(_) => {
                "mend the fault, and run this command again: it completes the rotation".to_owned()
            }
            Self::Recent { .. } => {
                "with --again, every ticket that was created before that rotation stops working".to_owned()
            }
        })
    }
}

/// What a rotation did.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// The pins that new tickets carry from now on.
    pub(crate) pins: PinPair,
    pub(crate) outcome: RotationOutcome,
    /// The process that serves this folder, if there is one and it said its number.
    pub(crate) server: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RotationOutcome {
    /// There was no next key, so no ticket has its pin. It was created, and the current key is the same.
    Prepared,
    /// An interrupted rotation was completed.
    Completed,
    /// The next key is the current one. The time is that of the rotation before.
    Rotated(Option<Timestamp>),
}

/// Makes the next key of the folder the current one, and creates a new next key.
pub(crate) fn rotate(config: &ServeConfig, again: bool) -> Result<Rotation, RotateError> {
    data_dir::restrict_new_files();
    data_dir::check_owner(&config.data)?;
    let folder = config.own_tls().ok_or_else(|| RotateError::Foreign { path: config.cert.clone() })?;
    // Held to the end, so that no server starts in between. A server that runs reads the files only when it is told to.
    let (_held, server) = match DataDir::open(&config.data, FolderUse::RotateTls) {
        Ok(data) => (Some(data), None),
        Err(DataDirError::InUse { pid, purpose: Some(FolderUse::Serve), .. }) => (None, pid),
        Err(error) => return Err(error.into()),
    };
    let (keys, TlsKeyState { pins, prepared, completed }) = TlsKeys::open(folder)?;
    if completed || prepared {
        let outcome = if completed { RotationOutcome::Completed } else { RotationOutcome::Prepared };
        return Ok(Rotation { pins, outcome, server });
    }
    let before = keys.rotated_at()?;
    if let Some(at) = before.filter(|at| !again && SystemClock.now().since(*at) < MIN_ROTATION_INTERVAL) {
        return Err(RotateError::Recent { at });
    }
    // From here on, the new key is the current one, whatever happens.
    data_dir::replace(&keys.file("next.pem"), &keys.file("key.pem"))?;
    let pins = keys.complete_rotation().map_err(|error| RotateError::Unfinished(Box::new(error)))?.pins;
    Ok(Rotation { pins, outcome: RotationOutcome::Rotated(before), server })
}

/// The folder with the keys, locked against another rotation as long as this value lives.
pub(crate) struct TlsKeys {
    folder: PathBuf,
    _lock: FolderLock,
}

/// What was found in the folder, or is there now.
pub(crate) struct TlsKeyState {
    pub(crate) pins: PinPair,
    /// Whether the next key was created.
    prepared: bool,
    /// Whether an interrupted rotation was completed.
    completed: bool,
}

impl TlsKeys {
    /// Locks the folder, and completes what was interrupted in it.
    pub(crate) fn open(folder: PathBuf) -> Result<(Self, TlsKeyState), RotateError> {
        let keys = Self { _lock: data_dir::lock_folder(&folder)?, folder };
        let state = keys.complete_rotation()?;
        Ok((keys, state))
    }

    /// Creates the next key if there is none, and completes a rotation that was interrupted.
    fn complete_rotation(&self) -> Result<TlsKeyState, RotateError> {
        let path = self.file("cert.pem");
        let Some((certified, names)) = tls::inspect_own(&data_dir::read(&path)?) else {
            return Err(RotateError::Foreign { path });
        };
        let key = data_dir::read_private(&self.file("key.pem"))?;
        let current = tls::pin_of_key(&key)?;
        let next = self.file("next.pem");
        // First: once a certificate completes the rotation, there is always a next key.
        let prepared = !next.exists();
        if prepared {
            data_dir::write_atomically(&next, tls::generate_key()?.as_bytes(), 0o600)?;
        }
        let next = tls::pin_of_key(&data_dir::read_private(&next)?)?;
        let completed = certified != current;
        if completed {
            let now = SystemClock.now();
            let created = tls::certify(&key, &names, now)?;
            let (now, ca, chain) = (now.to_string(), created.ca, created.chain);
            for (name, content) in [("rotated", now), ("ca.pem", ca), ("cert.pem", chain)] {
                data_dir::write_atomically(&self.file(name), content.as_bytes(), 0o600)?;
            }
        }
        Ok(TlsKeyState { pins: PinPair::new(current, next), prepared, completed })
    }

    fn rotated_at(&self) -> Result<Option<Timestamp>, DataDirError> {
        let path = self.file("rotated");
        // A damaged time only costs its mention and the question.
        if path.exists() { Ok(data_dir::read(&path)?.trim().parse().ok()) } else { Ok(None) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at files")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::config::ServeFlags;
    use super::*;
    use crate::settings::Environment;

    /// A folder as `init` leaves it. With a next key unless it is older.
    fn created(older: bool) -> (tempfile::TempDir, ServeConfig) {
        let root = tempfile::tempdir().unwrap();
        let tls = root.path().join("tls");
        fs::create_dir(&tls).unwrap();
        let (key, next) = (tls::generate_key().unwrap(), tls::generate_key().unwrap());
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = tls::certify(&key, &names, SystemClock.now()).unwrap();
        for (name, text) in
            [("cert.pem", &made.chain), ("ca.pem", &made.ca), ("key.pem", &key), ("next.pem", &next)]
        {
            if !older || name != "next.pem" {
                data_dir::write_atomically(&tls.join(name), text.as_bytes(), 0o600).unwrap();
            }
        }
        let config = ServeConfig::read(root.path(), &ServeFlags::default(), &Environment::default(), "");
        (root, config.unwrap())
    }

    fn pins(root: &Path) -> [crate::domain::pin::Pin; 2] {
        ["key.pem", "next.pem"]
            .map(|name| tls::pin_of_key(&fs::read_to_string(root.join("tls").join(name)).unwrap()).unwrap())
    }

    /// What a server presents.
    fn presented(root: &Path) -> crate::domain::pin::Pin {
        let file = |name: &str| fs::read_to_string(root.join("tls").join(name)).unwrap();
        let (chain, key) = (file("cert.pem"), file("key.pem"));
        assert!(chain.ends_with(&file("ca.pem")));
        assert_eq!(tls::inspect_own(&chain).unwrap().1, ["localhost", "127.0.0.1"]);
        tls::load(&chain, &key).unwrap().pin
    }

    #[test]
    fn the_next_key_becomes_the_current_one_and_gets_a_successor() {
        let (root, config) = created(false);
        let [old, next] = pins(root.path());
        let rotation = rotate(&config, false).unwrap();
        assert_eq!(rotation.outcome, RotationOutcome::Rotated(None));
        assert_eq!(rotation.server, None);
        let [current, after] = pins(root.path());
        assert_eq!((current, presented(root.path())), (next, next));
        assert_eq!(rotation.pins, PinPair::new(next, after));
        assert!(after != next && after != old);

        // A repetition is not another rotation, which would make tickets useless.
        assert!(matches!(rotate(&config, false), Err(RotateError::Recent { .. })));
        assert_eq!(pins(root.path()), [current, after]);
        let again = rotate(&config, true).unwrap();
        assert!(matches!(again.outcome, RotationOutcome::Rotated(Some(_))));
        assert_eq!(presented(root.path()), after);
    }

    #[test]
    fn a_rotation_that_was_interrupted_anywhere_is_completed_and_not_repeated() {
        for step in 1..=4 {
            let (root, config) = created(false);
            let tls = root.path().join("tls");
            let before: Vec<_> = ["cert.pem", "ca.pem"].map(|name| fs::read(tls.join(name)).unwrap()).into();
            let [_, next] = pins(root.path());
            rotate(&config, false).unwrap();
            // Backwards, to where a process that was killed would have left it.
            fs::write(tls.join("cert.pem"), &before[0]).unwrap();
            if step < 4 {
                fs::write(tls.join("ca.pem"), &before[1]).unwrap();
            }
            if step < 3 {
                fs::remove_file(tls.join("rotated")).unwrap();
            }
            if step < 2 {
                fs::remove_file(tls.join("next.pem")).unwrap();
            }
            fs::write(tls.join("cert.new"), "a part").unwrap();
            // By the command, or by a server that starts.
            if step % 2 == 0 {
                assert_eq!(rotate(&config, false).unwrap().outcome, RotationOutcome::Completed);
            } else {
                TlsKeys::open(tls).unwrap();
            }
            assert_eq!(presented(root.path()), next, "step {step}");
            assert!(matches!(rotate(&config, false), Err(RotateError::Recent { .. })), "step {step}");
        }
    }

    #[test]
    fn a_folder_without_a_next_key_gets_one_before_anything_is_rotated() {
        let (root, config) = created(true);
        let old = presented(root.path());
        assert_eq!(rotate(&config, false).unwrap().outcome, RotationOutcome::Prepared);
        assert_eq!(presented(root.path()), old);
        let [_, next] = pins(root.path());
        assert_eq!(rotate(&config, false).unwrap().outcome, RotationOutcome::Rotated(None));
        assert_eq!(presented(root.path()), next);
    }

    #[test]
    fn keys_of_the_operator_are_left_alone() {
        let (root, config) = created(false);
        let elsewhere = ServeConfig { cert: root.path().join("own.pem"), ..config.clone() };
        assert!(matches!(rotate(&elsewhere, false), Err(RotateError::Foreign { .. })));
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(root.path().join("tls/cert.pem"), own.pem()).unwrap();
        let before = pins(root.path());
        assert!(matches!(rotate(&config, false), Err(RotateError::Foreign { .. })));
        assert_eq!(pins(root.path()), before);
        fs::write(root.path().join("tls/next.pem"), "canary").unwrap();
        assert!(TlsKeys::open(root.path().join("tls")).is_err());
    }
}
