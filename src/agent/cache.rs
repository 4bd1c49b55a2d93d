//! The last release, sealed on disk for the day when the store cannot be reached; only where the configuration asks for it. The
//! key comes from the ticket, so that whoever holds the disk alone holds nothing, and what is sealed is bound to the ticket and
//! to what was asked for. Nothing is written in the clear, in whatever moment the machine stops.
#![expect(clippy::disallowed_methods, reason = "writes, renames and removes the cache's files")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::cache;
use crate::crypto::memory::{Key32, WipedBuffer};
use crate::crypto::random::Random;
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::wire::{BootRequest, BootResponse};

/// As much as is taken from a store.
const MAX_BYTES: u64 = 128 << 20;
/// How far this machine's clock may have gone back since; more, and nobody can say how old the release is.
const CLOCK_DRIFT: Duration = Duration::from_secs(5 * 60);

/// Where the last release for one ticket and one request is.
pub(crate) struct Cache {
    folder: PathBuf,
    ticket: String,
    key: Key32,
    asked: [u8; 32],
}

/// Why there is no release in the cache, or none that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CacheError {
    /// Nothing was kept for this ticket and request.
    #[error("the cache has no release for this ticket and configuration")]
    Empty,
    /// Kept too long ago.
    #[error("the cached release of {at} is older than {}", hours(*.max_age))]
    TooOld {
        /// When it was kept.
        at: Timestamp,
        /// How old it may be.
        max_age: Duration,
    },
    /// Kept, by this machine's clock, in the future.
    #[error("the cached release is of {at}, which by this machine's clock is yet to come")]
    Future {
        /// When it was kept.
        at: Timestamp,
    },
    /// Changed, or sealed for something else.
    #[error("the cached release does not open: it was damaged or is of another ticket")]
    Damaged,
    /// The system says no.
    #[error("the cache in {}: {kind}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
}

#[derive(Serialize)]
struct Kept<'a> {
    at: Timestamp,
    response: &'a BootResponse,
}

/// A release as it was kept.
#[derive(Deserialize)]
pub(crate) struct Saved {
    /// When.
    pub(crate) at: Timestamp,
    /// The store's answer.
    pub(crate) response: BootResponse,
}

impl Cache {
    /// The cache in `folder` of what `request` asks for with `ticket`.
    pub(crate) fn of(folder: &Path, ticket: &BootTicket, request: &BootRequest) -> Self {
        let credential = ticket.credential();
        let material: [u8; 32] = Sha256::new()
            .chain_update("dropsafe agent cache")
            .chain_update(credential.to_text().as_bytes())
            .finalize()
            .into();
        let material = Zeroizing::new(material);
        Self {
            folder: folder.to_owned(),
            ticket: credential.ticket_id().to_string(),
            key: cache::key(&material),
            asked: asked(request),
        }
    }

    /// Keeps `response`, whole or not at all, and forgets what was kept before.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn save(
        &self,
        response: &BootResponse,
        now: Timestamp,
        rng: &mut dyn Random,
    ) -> Result<(), CacheError> {
        let kept = Kept { at: now, response };
        let mut text = WipedBuffer::with_capacity(64 << 10);
        serde_json::to_writer(&mut text, &kept).map_err(|_| self.io(&io::ErrorKind::InvalidData.into()))?;
        let sealed = cache::seal(&self.key, &self.bound_to(), &text.into_inner(), rng);
        self.write(&sealed).map_err(|error| self.io(&error))
    }

    /// What was kept, if it is not older than `max_age`.
    ///
    /// # Errors
    /// There is none that may be used.
    pub(crate) fn load(&self, now: Timestamp, max_age: Duration) -> Result<Saved, CacheError> {
        let saved = self.open()?;
        if now.plus(CLOCK_DRIFT) < saved.at {
            return Err(CacheError::Future { at: saved.at });
        }
        if now.since(saved.at) > max_age {
            return Err(CacheError::TooOld { at: saved.at, max_age });
        }
        Ok(saved)
    }

    /// What was kept, however old.
    ///
    /// # Errors
    /// There is none that opens.
    pub(crate) fn open(&self) -> Result<Saved, CacheError> {
        let mut sealed = Vec::new();
        match File::open(self.path()) {
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut sealed).map_err(|error| self.io(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CacheError::Empty),
            Err(error) => return Err(self.io(&error)),
        };
        let text = cache::open(&self.key, &self.bound_to(), &sealed).map_err(|_| CacheError::Damaged)?;
        serde_json::from_slice(&text).map_err(|_| CacheError::Damaged)
    }

    /// Removes everything that was kept for this ticket, whatever was asked for with it.
    ///
    /// # Errors
    /// The system's; what could be removed is.
    pub(crate) fn destroy(&self) -> Result<(), CacheError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(&error)),
        };
        let mut failed = Ok(());
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&self.ticket));
            if ours && let Err(error) = fs::remove_file(entry.path()) {
                failed = Err(self.io(&error));
            }
        }
        failed
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}-{}.release", self.ticket, HEXLOWER.encode(&self.asked[..8])))
    }

    fn bound_to(&self) -> [&[u8]; 2] {
        [self.ticket.as_bytes(), &self.asked]
    }

    /// No reader sees half a file, and none is there in a moment with a wrong mode; after a power failure it is the old or the
    /// new one.
    fn write(&self, sealed: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.path();
        let fresh = path.with_extension(format!("new-{}", std::process::id()));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).and_then(
                |mut file| {
                    file.write_all(sealed)?;
                    file.sync_data()?;
                    fs::rename(&fresh, &path)
                },
            );
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written
    }

    fn io(&self, error: &io::Error) -> CacheError {
        CacheError::Io { folder: self.folder.clone(), kind: error.kind() }
    }
}

/// What decides about a release: not who asks, but for what.
fn asked(request: &BootRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    let none = Vec::new();
    let plugins = request.plugins.as_ref();
    for list in [&request.include, &request.exclude, &request.references, plugins.unwrap_or(&none)] {
        hash.update((list.len() as u64).to_be_bytes());
        for name in list {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
    }
    hash.update([u8::from(plugins.is_some())]);
    hash.finalize().into()
}

fn hours(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::release::tests::response;
    use super::*;
    use crate::crypto::random::Kernel;
    use crate::domain::credential::{Credential, CredentialKind};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn ticket(id: u8, secret: u8) -> BootTicket {
        let credential = Credential::new(CredentialKind::Ticket, [id; 16], Zeroizing::new([secret; 32]));
        BootTicket::new(vec!["https://store.example".into()], None, credential).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn request(include: &[&str]) -> BootRequest {
        BootRequest { include: include.iter().map(ToString::to_string).collect(), ..BootRequest::default() }
    }

    fn kept() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::of(&folder.path().join("a/b"), &ticket(1, 1), &request(&["x"]));
        cache.save(&response(&[("token", "canary-value")]), at(1_000_000), &mut Kernel).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_was_kept_comes_back_and_is_not_in_the_clear() {
        let (_folder, cache) = kept();
        let saved = cache.load(at(1_000_060), DAY).unwrap();
        assert_eq!(saved.at, at(1_000_000));
        assert_eq!(saved.response.values.len(), 1);
        let bytes = fs::read(cache.path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary" || window == b"TOKEN\""));
        assert_eq!(fs::metadata(cache.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&cache.folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
    }

    #[test]
    fn age_counts_and_a_clock_that_went_back_is_noticed() {
        let (_folder, cache) = kept();
        assert!(cache.load(at(1_000_000 + 86_400), DAY).is_ok());
        let error = cache.load(at(1_000_000 + 86_401), DAY).err().unwrap();
        assert_eq!(error.to_string(), "the cached release of 1970-01-12T13:46:40Z is older than 24 h");
        assert!(cache.load(at(1_000_000 - 200), DAY).is_ok());
        assert_eq!(cache.load(at(0), DAY).err(), Some(CacheError::Future { at: at(1_000_000) }));
    }

    #[test]
    fn it_opens_for_the_same_ticket_and_request_only() {
        let (_folder, cache) = kept();
        let other = |ticket: BootTicket, request: BootRequest| {
            Cache::of(&cache.folder, &ticket, &request).open().err()
        };
        assert_eq!(other(ticket(1, 1), request(&["y"])), Some(CacheError::Empty));
        assert_eq!(other(ticket(2, 1), request(&["x"])), Some(CacheError::Empty));
        assert_eq!(other(ticket(1, 2), request(&["x"])), Some(CacheError::Damaged));
        let mut elsewhere = request(&["x"]);
        elsewhere.host = Some("web-2".into());
        assert_eq!(other(ticket(1, 1), elsewhere), None);
        let no_plugins = BootRequest { plugins: Some(vec![]), ..request(&["x"]) };
        assert_eq!(other(ticket(1, 1), no_plugins), Some(CacheError::Empty));
    }

    #[test]
    fn a_changed_or_cut_file_does_not_open() {
        let (_folder, cache) = kept();
        let whole = fs::read(cache.path()).unwrap();
        for at in [0, 24, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(cache.path(), bytes).unwrap();
            assert_eq!(cache.open().err(), Some(CacheError::Damaged));
        }
        fs::write(cache.path(), &whole[..whole.len() / 2]).unwrap();
        assert_eq!(cache.open().err(), Some(CacheError::Damaged));
        fs::write(cache.path(), b"").unwrap();
        assert_eq!(cache.open().err(), Some(CacheError::Damaged));
    }

    #[test]
    fn a_denial_destroys_all_of_a_ticket_and_nothing_else() {
        let (_folder, cache) = kept();
        let second = Cache::of(&cache.folder, &ticket(1, 1), &request(&[]));
        let other = Cache::of(&cache.folder, &ticket(2, 2), &request(&[]));
        for cache in [&second, &other] {
            cache.save(&response(&[]), at(0), &mut Kernel).unwrap();
        }
        cache.destroy().unwrap();
        assert_eq!(cache.open().err(), Some(CacheError::Empty));
        assert_eq!(second.open().err(), Some(CacheError::Empty));
        assert!(other.open().is_ok());
        let nowhere = Cache::of(Path::new("/nowhere/at/all"), &ticket(1, 1), &request(&[]));
        assert_eq!(nowhere.destroy(), Ok(()));
    }
}
