//! The life of a server: data folder, byte store, store, perhaps the release key, listeners. To stop, it finishes the requests and
//! closes everything in the opposite order.

use std::sync::Arc;

use super::active_listeners::ActiveListeners;
use super::config::{ServeConfig, ServerRole};
use super::data_dir::{DataDir, DataDirError};
use super::listener::{ListenError, Listener};
use super::tls::{ServerTls, TlsError};
use super::{data_dir, listener, tls, unlock};
use crate::api::Api;
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::record::RecordKey;
use crate::process::SdNotify;
use crate::store::{Caller, Coded as _, KernelEntropy, Store, SystemClock, UnlockSecret};
use crate::{api, kv, store};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder or a file in it cannot be used.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// `record.key` is damaged.
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The byte store cannot be opened.
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    /// The byte store contains no store that this program and this record key can open.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// The configured passphrase or key file does not unlock the store.
    #[error("unlocking at startup")]
    Unlock(#[source] store::UnlockError),
    /// An address or the Unix socket cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl RunError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) | Self::Listen(ListenError::File(error)) => error.hint(),
            Self::RecordKey(_) => Some("restore the record.key that was created with the store".to_owned()),
            Self::Tls(_) => {
                Some("check `tls.cert` and `tls.key` in server.yaml; both must be PEM".to_owned())
            }
            Self::Open(error) => error.hint(),
            Self::Unlock(error) => error.hint(),
            Self::Kv(_) | Self::Listen(_) => None,
        }
    }
}

/// What is known once the server accepts requests.
#[derive(Clone, Debug)]
pub struct StartupInfo {
    /// The addresses of the TCP listeners.
    pub addresses: Vec<std::net::SocketAddr>,
    /// The pin of the TLS key.
    pub pin: crate::domain::pin::Pin,
    /// Whether the store is locked.
    pub locked: bool,
}

/// Serves until `stop` completes, and then finishes the requests. Calls `started` once it accepts requests.
pub async fn run(
    config: ServeConfig,
    stop: impl Future<Output = ()>,
    started: impl FnOnce(&StartupInfo),
) -> Result<(), RunError> {
    data_dir::restrict_new_files();
    listener::raise_descriptor_limit();
    // A warning only: some container runtimes forbid it, and the store must run there too.
    if crate::crypto::memory::harden_process().is_err() {
        tracing::warn!("core dumps could not be disabled");
    }
    let data = DataDir::open(&config.data)?;
    let notify = SdNotify::new(config.notify.as_deref());

    // Everything that can be wrong is read before anything listens.
    let record_key = RecordKey::from_text(&data_dir::read_private(&data.file(data_dir::RECORD_KEY))?)
        .map_err(RunError::RecordKey)?;
    let tls = tls::load(&data_dir::read(&config.cert)?, &data_dir::read_private(&config.key)?)?;
    let secret = match config.role {
        // This role never holds the release key, whatever credentials the unit passes to it.
        ServerRole::Deposit => None,
        ServerRole::All | ServerRole::Release => {
            unlock::read_unlock_secret(config.unlock.as_ref(), config.credentials.as_deref())?
        }
    };
    // Bound before the store is opened, which can take long: an address in use is found at once, and connections wait.
    let listeners = bind(&config, &tls)?;
    let store = open(&config, record_key, secret).await?;
    let api = create_api(&config, &store, &tls);
    let serving = ActiveListeners::start(listeners, &api, config.connections, config.timeouts);
    let info = StartupInfo { addresses: serving.addresses.clone(), pin: tls.pin, locked: store.is_locked() };
    let state = if info.locked { "locked: accepts deposits, refuses boots" } else { "unlocked" };
    tracing::info!(addresses = ?info.addresses, pin = %info.pin, role = %config.role, state, "serving");
    notify.ready(state);
    started(&info);

    stop.await;
    tracing::info!("finishing requests");
    notify.stopping("finishing requests");
    serving.finish(config.drain).await;
    store.close().await;
    tracing::info!("stopped");
    // Last: the lock on the folder keeps the next server away until everything is closed.
    drop(data);
    Ok(())
}

fn bind(config: &ServeConfig, tls: &ServerTls) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(Listener::tls(*address, Arc::clone(&tls.config))?);
    }
    for address in &config.plain {
        listeners.push(Listener::plain(*address)?);
    }
    if let Some(path) = &config.socket {
        listeners.push(Listener::unix(path, config.socket_mode)?);
    }
    Ok(listeners)
}

/// Opens the store and, with a secret, unlocks it.
async fn open(
    config: &ServeConfig,
    record_key: RecordKey,
    secret: Option<UnlockSecret>,
) -> Result<Store, RunError> {
    let kv = kv::open(&config.store).map_err(RunError::Kv)?;
    let (own, clock, random) = (Arc::clone(&kv), Arc::new(SystemClock), Arc::new(KernelEntropy));
    let opened = match config.role {
        ServerRole::Deposit => Store::open_for_deposits(own, record_key, clock, random).await,
        ServerRole::All | ServerRole::Release => Store::open(own, record_key, clock, random).await,
    };
    let store = match opened {
        Ok(store) => store.with_presets(config.presets.clone()),
        Err(error) => {
            kv.close().await;
            return Err(error.into());
        }
    };
    // A wrong secret ends the server instead of leaving it locked: nobody would notice before a machine cannot boot.
    if let Some(secret) = secret
        && let Err(error) = store.unlock(&Caller::this_process(), secret).await
    {
        store.close().await;
        return Err(RunError::Unlock(error));
    }
    Ok(store)
}

fn create_api(config: &ServeConfig, store: &Store, tls: &ServerTls) -> Api {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let api = Api::new(api::ApiConfig {
        store: store.clone(),
        random: Arc::new(KernelEntropy),
        urls: config.ticket_urls(host.as_deref()),
        pin: Some(tls.pin),
        limits: config.limits.clone(),
    });
    // Before a router is built, which reads this once.
    if config.role == ServerRole::Release {
        api.serve_boots_only();
    }
    api
}
