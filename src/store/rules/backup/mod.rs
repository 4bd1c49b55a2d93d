//! Backup and restore: the byte store's records as they are, encrypted. Neither opens a value.
//!
//! A backup is a scan of all keys, page by page, and every change made since the scan began: put in order, they are the
//! store as of the last of them. A restored store counts as empty until all of the backup is verified and written.

mod format;
mod restore;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub use restore::{RestoreError, Restored, restore};
use sha2::{Digest, Sha256};

use self::format::{Frame, Preamble};
use crate::domain::audit::AuditAction;
use crate::domain::role::{Action, Denied};
use crate::kv::{Event, Kv, Revision, Watch, WatchError, Write};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::keyspace;

/// Written and removed when a backup has scanned all: a backend may give revisions to others than this store, and only a
/// change of the store's own is sure to be told.
const FULL_STOP: &[u8] = b"\0backup";
/// Records of one page.
const PAGE: usize = 500;
/// Starts over, when changes came faster than they could be followed.
const RESTARTS: u32 = 10;

/// A backup being read: pieces of its file, in order. Consistent as of the moment that its last piece was made.
pub struct Backup {
    store: Store,
    hash: Sha256,
    records: u64,
    restarts: u32,
    phase: Phase,
}

enum Phase {
    Preamble,
    /// The scan is to begin.
    Begin,
    Scan {
        after: Option<Vec<u8>>,
        watch: Watch,
        /// Up to here the changes have been written.
        seen: Revision,
    },
    /// The scan is over; the changes up to `until` are left.
    Changes {
        watch: Watch,
        seen: Revision,
        until: Revision,
    },
    Trailer(Revision),
    Over,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The caller may not.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// The store could not.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Starts a backup (the operator). Writing goes on meanwhile.
    pub async fn backup(&self, caller: &Caller) -> Result<Backup, BackupError> {
        let told = AuditAction::StoreBackup;
        let permitted = self.permit(caller, Action::Backup, told, Some(target::store())).await;
        permitted.map_err(|error| match error {
            Error::Forbidden(denied) => denied.into(),
            _ => BackupError::Failure(Failure::Internal),
        })?;
        self.journal().record(vec![caller.event(told).about(target::store())]).await?;
        Ok(Backup {
            store: self.clone(),
            hash: Sha256::new(),
            records: 0,
            restarts: 0,
            phase: Phase::Preamble,
        })
    }
}

impl Backup {
    /// The next piece, some 64 KiB to 2 MiB; none after the trailer. A stream that stops without it is no backup.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, BackupError>> {
        loop {
            let piece = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Preamble => {
                    self.phase = Phase::Begin;
                    Ok(Preamble::of(&self.store).encode())
                }
                Phase::Trailer(revision) => Ok(self.trailer(revision)),
                phase => self.go_on(phase).await,
            };
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => {
                    self.hash.update(&piece);
                    return Some(Ok(piece));
                }
                Err(failure) => return Some(Err(failure.into())),
            }
        }
    }

    /// Records so far, for a progress bar. How many there will be is not known beforehand.
    pub fn records(&self) -> u64 {
        self.records
    }

    async fn go_on(&mut self, phase: Phase) -> Result<Vec<u8>, Failure> {
        let mut piece = Vec::new();
        match phase {
            Phase::Begin => {
                let kv = &self.store.records().kv;
                let (_, seen) = kv.get(&[keyspace::HEADER.to_vec()]).await?;
                let watch = kv.watch(Vec::new(), seen).await?;
                self.phase = Phase::Scan { after: None, watch, seen };
            }
            Phase::Scan { after, mut watch, mut seen } => {
                let page = self.store.records().kv.scan(&[], after.as_deref(), PAGE).await?;
                let next = page.entries.last().map(|entry| entry.key.clone());
                for entry in page.entries {
                    self.frame(&mut piece, &entry.key, Some(&entry.value));
                }
                // Followed as it goes: a backend keeps only so many changes for those that fall behind.
                while let Some(event) = waiting(&mut watch) {
                    match event {
                        Ok(event) => seen = self.change(&mut piece, event),
                        Err(error) => return self.restart(error),
                    }
                }
                if !page.more && seen < page.revision {
                    full_stop(Arc::clone(&self.store.records().kv)).await?;
                }
                self.phase = if page.more {
                    Phase::Scan { after: next, watch, seen }
                } else {
                    Phase::Changes { watch, seen, until: page.revision }
                };
            }
            Phase::Changes { mut watch, mut seen, until } => {
                if seen < until {
                    match watch.next().await {
                        Ok(event) => seen = self.change(&mut piece, event),
                        Err(error) => return self.restart(error),
                    }
                }
                self.phase = match seen < until {
                    true => Phase::Changes { watch, seen, until },
                    false => Phase::Trailer(seen),
                };
            }
            Phase::Preamble | Phase::Trailer(_) | Phase::Over => {}
        }
        Ok(piece)
    }

    fn change(&mut self, piece: &mut Vec<u8>, event: Event) -> Revision {
        for entry in &event.puts {
            self.frame(piece, &entry.key, Some(&entry.value));
        }
        for key in &event.deletes {
            self.frame(piece, key, None);
        }
        event.revision
    }

    /// Whatever was written so far is to be forgotten by who reads it.
    fn restart(&mut self, error: WatchError) -> Result<Vec<u8>, Failure> {
        match error {
            WatchError::Lagged if self.restarts < RESTARTS => {
                self.restarts += 1;
                self.phase = Phase::Begin;
                let mut piece = Vec::new();
                Frame::Forget.write(&mut piece);
                Ok(piece)
            }
            WatchError::Lagged => Err(Failure::Overloaded),
            WatchError::Unavailable(_) => Err(Failure::Unavailable),
        }
    }

    fn frame(&mut self, piece: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
        // The header is the preamble's content, and what else is not sealed is the place's own.
        if !key.starts_with(b"\0") {
            self.records += 1;
            match value {
                Some(value) => Frame::Put(key, value).write(piece),
                None => Frame::Delete(key).write(piece),
            }
        }
    }

    fn trailer(&mut self, revision: Revision) -> Vec<u8> {
        let mut piece = Vec::new();
        Frame::End { frames: self.records, revision: self.store.revision(revision) }.write(&mut piece);
        self.hash.update(&piece);
        let digest: [u8; 32] = self.hash.finalize_reset().into();
        piece.extend_from_slice(&format::sealed_digest(&self.store.records().key, &digest));
        piece
    }
}

async fn full_stop(kv: Arc<dyn Kv>) -> Result<(), Failure> {
    for write in [Write::Put(FULL_STOP.to_vec(), Vec::new()), Write::Delete(FULL_STOP.to_vec())] {
        kv.commit(Vec::new(), vec![write]).await?;
    }
    Ok(())
}

/// The next change, if it is there already.
fn waiting(watch: &mut Watch) -> Option<Result<Event, WatchError>> {
    // Dropping the future loses nothing, as its trait promises.
    let next = pin!(watch.next());
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

impl Coded for BackupError {
    fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden",
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Forbidden(denied) => denied.hint().map(str::to_owned),
            Self::Failure(failure) => failure.hint(),
        }
    }
}
