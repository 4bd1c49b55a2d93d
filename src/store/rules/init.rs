//! Creating a store and opening one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::crypto::record::RecordKey;
use crate::domain::audit::AuditAction;
use crate::domain::code::Code;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::StoreId;
use crate::domain::name::{MemberName, OrgName};
use crate::kv::Kv;
use crate::store::engine::audit::baseline;
use crate::store::engine::clock::{Clock, Entropy};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::format::decode;
use crate::store::engine::header;
use crate::store::engine::header::Header;
use crate::store::engine::journal::Stop;
use crate::store::engine::records::Records;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::backup::EndedByRestore;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::{NewKeyslot, first_keys};
use crate::store::rules::orgs::{FirstCredential, OrgCreation};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::NewCredential;
use crate::store::tables::holders::{self, IndexingRecord};
use crate::store::tables::scope_stamps::ScopeStamps;
use crate::store::tables::store::{self, Identity};
use crate::store::tables::tokens::TokenRecord;

/// The parameters of [`Store::init`].
pub struct Init {
    /// The first key slots, at least one.
    pub slots: Vec<NewKeyslot>,
    /// Name of the first organization, usually `default`.
    pub org: OrgName,
    /// Name of its first admin, usually `admin`.
    pub admin: MemberName,
}

/// The result of [`Store::init`]. The credentials exist nowhere else: the store has only their hashes.
pub struct Initialized {
    /// The store, unlocked.
    pub store: Store,
    /// The operator's token (`dso_…`).
    pub operator_token: Credential,
    /// The first admin's token (`dsm_…`).
    pub admin_token: Credential,
}

/// Why a store was not created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The byte store already holds one.
    #[error("the byte store already holds a store")]
    AlreadyInitialised,
    /// The byte store holds something else.
    #[error("the byte store is not empty and holds no store of this program")]
    Foreign,
    /// No key slot was given.
    #[error("at least one key slot is needed")]
    NoKeyslot,
    /// A key slot's secret is empty or not a key file.
    #[error("the key slot could not be created")]
    Keyslot,
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The byte store is empty.
    #[error("the byte store holds no store yet")]
    NotInitialised,
    /// The record key is not the one of this store.
    #[error("the record key is not this store's")]
    WrongRecordKey,
    /// Written by a program from before the first release.
    #[error("the store has format {found}, and this program reads format {oldest} and newer")]
    OlderFormat {
        /// The store's format.
        found: u16,
        /// The oldest that this program reads.
        oldest: u16,
    },
    /// A later version wrote the store.
    #[error("the store has format {found}, and this program reads up to {known}")]
    NewerFormat {
        /// The store's.
        found: u16,
        /// The newest that this program reads.
        known: u16,
    },
    /// The store was moved to another byte store.
    #[error("the store was moved to another byte store")]
    Moved,
    /// The byte store holds something else, or is damaged.
    #[error("the byte store holds no store of this program")]
    Foreign,
    /// It holds a part of a backup.
    #[error("a backup is being restored into the byte store, or that was interrupted")]
    Restoring,
    /// The byte store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Store {
    /// Creates a store in an empty byte store, in one commit, and opens it unlocked.
    pub async fn init(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        init: Init,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
    ) -> Result<Initialized, InitError> {
        // A clear error for the common case. The transaction below decides for sure.
        let first = kv.scan(&[], None, 1).await.map_err(Failure::from)?;
        match first.entries.first() {
            None => {}
            // The header sorts before every other key, so that one entry decides.
            Some(entry) if entry.key == header::HEADER => return Err(InitError::AlreadyInitialised),
            Some(_) => return Err(InitError::Foreign),
        }
        let mut id = [0; 16];
        random.fill(&mut id);
        let id = StoreId::from_bytes(id);
        // Only a restored or moved store continues other revisions.
        let identity = Identity::new(id, clock.now());
        let header = header::header(&record_key);
        let records = Records::new(kv, record_key, random);
        // Before the store exists, because the journal makes its first commit.
        let store = Self::start(records, identity.clone(), clock, false);

        let (records, now) = (Arc::clone(&store.inner.records), store.now());
        let make = move || first_keys(&records, id, init.slots, now);
        // The derivations take seconds of a processor.
        let made = tokio::task::spawn_blocking(make).await.map_err(|_| Failure::Internal)?;
        let (keys, release) = made?;
        let first = FirstCredential::Token(NewCredential::new(&store, CredentialKind::Member));
        let creation = OrgCreation::new(&store, init.org, init.admin, first);
        let admin_token = creation.credential();
        let operator = NewCredential::new(&store, CredentialKind::Operator);
        let operator_token = operator.credential();
        let event = Caller::this_process().event(AuditAction::StoreInit).about(target::store());
        let org_event = Caller::this_process().event(AuditAction::OrgCreate);
        let made = store.journal().run(vec![header::HEADER.to_vec()], move |tx| {
            // Fails if another process has created a store here since the scan.
            tx.put_header(&header)?;
            tx.put(&store::identity(), &identity)?;
            tx.put(&store::keys(), &keys)?;
            // There is no older boot to index.
            tx.put(&holders::indexing(), &IndexingRecord { cursor: None, done: true })?;
            TokenRecord::new(&operator, None, None, tx.now()).put_new(tx)?;
            tx.audit(event.clone());
            creation.run(tx, org_event.clone()).map(drop)
        });
        made.await.map_err(|error| match error {
            // The only name that can be taken in an empty byte store is the header.
            Error::Taken { .. } => InitError::AlreadyInitialised,
            Error::Failure(failure) => failure.into(),
            _ => Failure::Internal.into(),
        })?;
        store.inner.indexed.store(true, Ordering::Relaxed);
        // Only now: a store that could not be committed must not look unlocked.
        store.set_release(Some(release));
        store.start_background();
        Ok(Initialized { store, operator_token, admin_token })
    }

    /// Opens a store, locked. The cost does not depend on its size.
    pub async fn open(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        Self::open_as(kv, record_key, clock, random, false).await
    }

    /// Opens a store in a process that takes deposits and can never be unlocked.
    pub async fn open_for_deposits(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        Self::open_as(kv, record_key, clock, random, true).await
    }

    async fn open_as(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
        deposits_only: bool,
    ) -> Result<Self, OpenError> {
        let (store, _) = Self::open_idle(kv, record_key, clock, random, deposits_only).await?;
        store.start_background();
        Ok(store)
    }

    /// Opens a store without its background tasks, and returns what was ended because it was restored.
    pub(crate) async fn open_idle(
        kv: Arc<dyn Kv>,
        record_key: RecordKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Entropy>,
        deposits_only: bool,
    ) -> Result<(Self, EndedByRestore), OpenError> {
        let identity_key = store::identity();
        // One read, so that the header and the identity are of the same revision.
        let keys = [header::HEADER.to_vec(), identity_key.to_vec()];
        let (found, _) = kv.get(&keys).await.map_err(Failure::from)?;
        let [header, identity] = found.try_into().map_err(|_| Failure::Internal)?;
        // Without a header, an empty byte store is a normal first start, and anything else is foreign.
        let Some(header) = header else {
            let first = kv.scan(&[], None, 1).await.map_err(Failure::from)?;
            // The marker of a restore sorts before everything else.
            return Err(match first.entries.first() {
                None => OpenError::NotInitialised,
                Some(entry) if entry.key == header::RESTORE_MARKER => OpenError::Restoring,
                Some(_) => OpenError::Foreign,
            });
        };
        match header::read_header(&header.value, &record_key) {
            Header::Ours(_) => {}
            Header::Moved(_) => return Err(OpenError::Moved),
            Header::OtherRecordKey => return Err(OpenError::WrongRecordKey),
            Header::Older(found) => {
                return Err(OpenError::OlderFormat { found, oldest: header::OLDEST_FORMAT });
            }
            Header::Newer(found) => return Err(OpenError::NewerFormat { found, known: header::FORMAT }),
            Header::Foreign => return Err(OpenError::Foreign),
        }
        let sealed = identity.ok_or(Failure::Corrupt)?.value;
        let plain = record_key.open_record(identity_key.bytes(), &sealed).map_err(|_| Failure::Corrupt)?;
        let identity = decode(&plain)?;
        let records = Records::new(kv, record_key, random);
        // After the identity opened: a store that cannot be served must not be closed to older programs.
        baseline::upgrade(&records, header, &ScopeStamps::default(), &*clock).await?;
        let store = Self::start(records, identity, clock, deposits_only);
        store.refuse_known_faults().await?;
        store.ensure_answer_key().await;
        // Before anybody can use them.
        let ended = match store.inner.identity.is_restoring {
            true => store.end_restored_credentials().await?,
            false => EndedByRestore::default(),
        };
        Ok((store, ended))
    }
}

impl crate::store::engine::journal::Tx<'_> {
    /// Stores the header. Fails if there is one.
    fn put_header(&mut self, header: &[u8]) -> Result<(), Stop<Error>> {
        if !self.is_absent(header::HEADER)? {
            return Err(Error::Taken { what: "store" }.into());
        }
        self.put_unsealed(header::HEADER, header);
        Ok(())
    }
}

impl Coded for InitError {
    fn code(&self) -> Code {
        match self {
            Self::AlreadyInitialised | Self::Foreign => Code::AlreadyInitialised,
            Self::NoKeyslot | Self::Keyslot => Code::InvalidRequest,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::AlreadyInitialised | Self::Foreign => {
                Some("choose another place for the new store".to_owned())
            }
            Self::NoKeyslot | Self::Keyslot => Some("give a passphrase or a key file".to_owned()),
            Self::Failure(failure) => failure.hint(),
        }
    }
}

impl Coded for OpenError {
    fn code(&self) -> Code {
        match self {
            Self::NotInitialised => Code::NotFound,
            Self::WrongRecordKey => Code::Forbidden,
            Self::OlderFormat { .. }
            | Self::NewerFormat { .. }
            | Self::Foreign
            | Self::Restoring
            | Self::Moved => Code::Conflict,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotInitialised => {
                "make one with `dropsafe init`, or restore a backup with `dropsafe restore`"
            }
            Self::WrongRecordKey => "use the record key that `init` made for this store",
            Self::OlderFormat { .. } => {
                "no release wrote this format: make a new store with `dropsafe init` and deposit again"
            }
            Self::NewerFormat { .. } => "use the version of this program that wrote it, or a newer one",
            Self::Moved => "name the place that `dropsafe migrate` moved it to, as `store` in server.yaml",
            Self::Foreign => "choose another place, or restore a backup there",
            Self::Restoring => {
                "if nothing restores it now, run `dropsafe restore` again with the same --data"
            }
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }
}
