//! The last release, encrypted on disk for an outage of the store, if the configuration asks for that.
//!
//! The key is derived from the ticket, so that the disk alone reveals nothing. The ciphertext is bound to the ticket and to the
//! request. Nothing is ever written in the clear, even if the machine stops in the middle.
#![expect(clippy::disallowed_methods, reason = "reads and removes the cache's files")]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use data_encoding::HEXLOWER;
use nix::libc;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::folder::{FileAccess, Folder};
use crate::crypto::cache;
use crate::crypto::memory::{Key32, WipedBuffer};
use crate::crypto::random::Random;
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::wire::{BootRequest, BootResponse, Unparsed};

/// Twice the largest release that the client accepts.
const MAX_BYTES: u64 = 128 << 20;
/// How far this machine's clock may have gone back since. If it is further, nobody knows how old the release is.
const CLOCK_DRIFT: Duration = Duration::from_secs(5 * 60);

/// The place of the last release for one ticket and one request.
pub(crate) struct ReleaseCache {
    folder: PathBuf,
    ticket: String,
    key: Key32,
    request_hash: [u8; 32],
}

/// Why the cache has no release that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("the cache has no release for this ticket and configuration")]
    Empty,
    #[error("the cached release of {at} is older than {}", format_age(*.max_age))]
    TooOld { at: Timestamp, max_age: Duration },
    #[error("the cached release is dated {at}, which is in the future by this machine's clock")]
    Future { at: Timestamp },
    #[error("the cached release cannot be decrypted: it is damaged or belongs to another ticket")]
    Damaged,
    #[error("the cache in {}: {kind}", folder.display())]
    Io { folder: PathBuf, kind: io::ErrorKind },
}

#[derive(Serialize)]
struct CacheEntry<'a> {
    at: Timestamp,
    response: &'a BootResponse,
}

#[derive(Deserialize)]
pub(crate) struct CachedRelease {
    /// The time at which it was saved.
    pub(crate) at: Timestamp,
    /// The store's answer, which is verified again when it is used.
    pub(crate) response: BootResponse,
}

impl ReleaseCache {
    /// The cache in `folder` for `request`, made with `ticket`.
    pub(crate) fn new(folder: &Path, ticket: &BootTicket, request: &BootRequest) -> Self {
        let credential = ticket.credential();
        // A plain hash is enough, since the credential has 32 random bytes: nobody can guess it as one guesses a password.
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
            request_hash: hash_request(request),
        }
    }

    /// Replaces the cached release by `response`, atomically.
    pub(crate) fn save(
        &self,
        response: &BootResponse,
        now: Timestamp,
        rng: &mut dyn Random,
    ) -> Result<(), CacheError> {
        let entry = CacheEntry { at: now, response };
        let mut text = WipedBuffer::with_capacity(64 << 10);
        serde_json::to_writer(&mut text, &entry).map_err(|_| self.io(&io::ErrorKind::InvalidData.into()))?;
        let sealed = cache::seal(&self.key, &self.associated_data(), &text.into_inner(), rng);
        self.write(&sealed).map_err(|error| self.io(&error))
    }

    /// The cached release, if it is not older than `max_age`.
    pub(crate) fn load(&self, now: Timestamp, max_age: Duration) -> Result<CachedRelease, CacheError> {
        let saved = self.open()?;
        // A clock that was set back would let a cached release live forever. A few minutes are what NTP corrects.
        if now.plus(CLOCK_DRIFT) < saved.at {
            return Err(CacheError::Future { at: saved.at });
        }
        if now.since(saved.at) > max_age {
            return Err(CacheError::TooOld { at: saved.at, max_age });
        }
        Ok(saved)
    }

    /// The cached release, however old.
    pub(crate) fn open(&self) -> Result<CachedRelease, CacheError> {
        let mut sealed = Vec::new();
        // Without waiting for the other end, in case it is a pipe that somebody put there.
        match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(self.path()) {
            // A user who can write to the folder must not be able to exhaust this process's memory.
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut sealed).map_err(|error| self.io(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CacheError::Empty),
            Err(error) => return Err(self.io(&error)),
        };
        let text =
            cache::open(&self.key, &self.associated_data(), &sealed).map_err(|_| CacheError::Damaged)?;
        serde_json::from_slice(&text).map_err(|_| CacheError::Damaged)
    }

    /// Removes everything that was cached for this ticket, for any request. It removes as much as it can before it fails.
    pub(crate) fn destroy(&self) -> Result<(), CacheError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(&error)),
        };
        let mut failed = Ok(());
        for entry in entries.flatten() {
            // Files that another process left half-written have a prefix.
            let ours = entry.file_name().to_str().is_some_and(|name| name.contains(&self.ticket));
            if ours && let Err(error) = fs::remove_file(entry.path()) {
                failed = Err(self.io(&error));
            }
        }
        failed
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.file_name())
    }

    fn file_name(&self) -> String {
        format!("{}-{}.release", self.ticket, HEXLOWER.encode(&self.request_hash[..8]))
    }

    fn associated_data(&self) -> [&[u8]; 2] {
        [self.ticket.as_bytes(), &self.request_hash]
    }

    fn write(&self, sealed: &[u8]) -> io::Result<()> {
        let folder = Folder::create(&self.folder, 0o700)?;
        folder.replace(self.file_name().as_ref(), sealed, FileAccess::OWNER, true)
    }

    fn io(&self, error: &io::Error) -> CacheError {
        CacheError::Io { folder: self.folder.clone(), kind: error.kind() }
    }
}

/// A hash of the fields of a request that decide what is released.
fn hash_request(request: &BootRequest) -> [u8; 32] {
    // Not the machine's facts: another kernel boot is no reason to start without secrets.
    let mut hash = Sha256::new();
    let plugins = request.plugins.as_deref();
    let [include, exclude, references] =
        [&request.include, &request.exclude, &request.references].map(|names| texts(names));
    for list in [include, exclude, references, texts(plugins.unwrap_or_default())] {
        // Lengths in front, so that no two requests are hashed as the same bytes.
        hash.update((list.len() as u64).to_be_bytes());
        for name in list {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
    }
    hash.update([u8::from(plugins.is_some())]);
    // Nothing without such names, so that the caches of machines that list none stay valid. `=` is in no name.
    let renamed =
        request.referenced_as.iter().map(|(variable, secret)| format!("{}={}", &**variable, &**secret));
    let renamed: Vec<String> = renamed.collect();
    for name in texts(&request.allow_names).into_iter().chain(renamed.iter().map(String::as_str)) {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.finalize().into()
}

fn texts<T>(list: &[Unparsed<T>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}

fn format_age(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::verified_release::tests::response;
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
        BootRequest { include: include.iter().map(|name| (*name).into()).collect(), ..BootRequest::default() }
    }

    fn cached() -> (tempfile::TempDir, ReleaseCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = ReleaseCache::new(&folder.path().join("a/b"), &ticket(1, 1), &request(&["x"]));
        cache.save(&response(&[("token", "canary-value")]), at(1_000_000), &mut Kernel).unwrap();
        (folder, cache)
    }

    #[test]
    fn a_cached_release_comes_back_and_is_not_in_the_clear() {
        let (_folder, cache) = cached();
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
        let (_folder, cache) = cached();
        assert!(cache.load(at(1_000_000 + 86_400), DAY).is_ok());
        let error = cache.load(at(1_000_000 + 86_401), DAY).err().unwrap();
        assert_eq!(error.to_string(), "the cached release of 1970-01-12T13:46:40Z is older than 24 h");
        assert!(cache.load(at(1_000_000 - 200), DAY).is_ok());
        assert_eq!(cache.load(at(0), DAY).err(), Some(CacheError::Future { at: at(1_000_000) }));
    }

    #[test]
    fn it_opens_for_the_same_ticket_and_request_only() {
        let (_folder, cache) = cached();
        let other = |ticket: BootTicket, request: BootRequest| {
            ReleaseCache::new(&cache.folder, &ticket, &request).open().err()
        };
        assert_eq!(other(ticket(1, 1), request(&["y"])), Some(CacheError::Empty));
        assert_eq!(other(ticket(2, 1), request(&["x"])), Some(CacheError::Empty));
        assert_eq!(other(ticket(1, 2), request(&["x"])), Some(CacheError::Damaged));
        let mut elsewhere = request(&["x"]);
        elsewhere.host = Some("web-2".into());
        assert_eq!(other(ticket(1, 1), elsewhere), None);
        let no_plugins = BootRequest { plugins: Some(vec![]), ..request(&["x"]) };
        // What a machine allows decides what is released to it.
        let allows = BootRequest { allow_names: vec!["OPENAI_BASE_URL".into()], ..request(&["x"]) };
        assert_ne!(hash_request(&allows), hash_request(&request(&["x"])));
        let renames = [("OPENAI_API_KEY".into(), "x".into())].into();
        let renames = BootRequest { referenced_as: renames, ..request(&["x"]) };
        assert_ne!(hash_request(&renames), hash_request(&request(&["x"])));
        assert_eq!(other(ticket(1, 1), no_plugins), Some(CacheError::Empty));
    }

    #[test]
    fn a_changed_or_cut_file_does_not_open() {
        let (_folder, cache) = cached();
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
    fn a_denial_destroys_the_cache_of_one_ticket() {
        let (_folder, cache) = cached();
        let second = ReleaseCache::new(&cache.folder, &ticket(1, 1), &request(&[]));
        let other = ReleaseCache::new(&cache.folder, &ticket(2, 2), &request(&[]));
        for cache in [&second, &other] {
            cache.save(&response(&[]), at(0), &mut Kernel).unwrap();
        }
        cache.destroy().unwrap();
        assert_eq!(cache.open().err(), Some(CacheError::Empty));
        assert_eq!(second.open().err(), Some(CacheError::Empty));
        assert!(other.open().is_ok());
        let nowhere = ReleaseCache::new(Path::new("/nowhere/at/all"), &ticket(1, 1), &request(&[]));
        assert_eq!(nowhere.destroy(), Ok(()));
    }
}
