//! The server's life: the folder, the byte store, the store, perhaps its release key, the listeners; then, when it shall
//! stop, their requests to an end and everything closed in the opposite order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::config::{ServeConfig, ServerRole};
use super::connection::ConnectionTimeouts;
use super::data_dir::{DataDir, DataDirError};
use super::listener::{ListenError, Listener, accept};
use super::tls::TlsError;
use super::{data_dir, listener, tls, unlock};
use crate::api::Api;
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::record::RecordKey;
use crate::process::SdNotify;
use crate::store::{Caller, Coded as _, KernelEntropy, Store, SystemClock};
use crate::{api, kv, store};

/// How often the number of connections is looked at.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The record key's file.
    #[error("the record key cannot be used")]
    RecordKey(#[source] KeyFileError),
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The byte store.
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    /// The store in it.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// It could not be unlocked.
    #[error("unlocking at the start")]
    Unlock(#[source] store::UnlockError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl RunError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) | Self::Listen(ListenError::File(error)) => error.hint(),
            Self::RecordKey(_) => Some("put back the record.key that the store was made with".to_owned()),
            Self::Tls(_) => Some("check `tls.cert` and `tls.key` in server.yaml, both PEM".to_owned()),
            Self::Open(error) => error.hint(),
            Self::Unlock(error) => error.hint(),
            Self::Kv(_) | Self::Listen(_) => None,
        }
    }
}

/// Serves until `stop` is ready, and then finishes. `started` is told the addresses that are listened on.
pub async fn run(
    config: ServeConfig,
    stop: impl Future<Output = ()>,
    started: impl FnOnce(&StartupInfo),
) -> Result<(), RunError> {
    data_dir::restrict_new_files();
    listener::allow_descriptors();
    if crate::crypto::memory::harden_process().is_err() {
        tracing::warn!("core dumps could not be turned off");
    }
    let data = DataDir::open(&config.data)?;
    let notify = SdNotify::new(config.notify.as_deref());

    // Everything that can be wrong is read before anything listens.
    let record_key = RecordKey::from_text(&data_dir::read_private(&data.file(data_dir::RECORD_KEY))?)
        .map_err(RunError::RecordKey)?;
    let served = tls::served(&data_dir::read(&config.cert)?, &data_dir::read_private(&config.key)?)?;
    let secret = match config.role {
        ServerRole::Deposit => None,
        ServerRole::All | ServerRole::Release => {
            unlock::secret(config.unlock.as_ref(), config.credentials.as_deref())?
        }
    };
    let listeners = bind(&config, &served)?;

    let store = open(&config.store, record_key, config.role).await?.with_presets(config.presets.clone());
    if let Some(secret) = secret
        && let Err(error) = store.unlock(&Caller::this_process(), secret).await
    {
        store.close().await;
        return Err(RunError::Unlock(error));
    }
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let api = Api::new(api::ApiConfig {
        store: store.clone(),
        random: Arc::new(KernelEntropy),
        urls: config.urls(host.as_deref()),
        pin: Some(served.pin),
        limits: api::limits::LimitSettings {
            in_flight: config.requests,
            boots_waiting: config.boots,
            boot_wait: config.boot_wait,
            guesses: config.guesses,
            ..Default::default()
        },
    });
    if config.role == ServerRole::Release {
        api.serve_boots_only();
    }
    let serving = ActiveListeners::start(listeners, &api, config.connections, config.patience);
    let told =
        StartupInfo { addresses: serving.addresses.clone(), pin: served.pin, locked: store.is_locked() };
    let state = if told.locked { "locked: takes deposits, refuses boots" } else { "unlocked" };
    tracing::info!(addresses = ?told.addresses, pin = %told.pin, role = %config.role, state, "serving");
    notify.ready(state);
    started(&told);

    stop.await;
    tracing::info!("finishing requests");
    notify.stopping("finishing requests");
    serving.finish(config.drain).await;
    store.close().await;
    tracing::info!("stopped");
    drop(data);
    Ok(())
}

/// What is known once the server answers.
#[derive(Clone, Debug)]
pub struct StartupInfo {
    /// TCP addresses that are listened on.
    pub addresses: Vec<std::net::SocketAddr>,
    /// The pin of the TLS key.
    pub pin: crate::domain::pin::Pin,
    /// Whether boots are refused.
    pub locked: bool,
}

async fn open(url: &kv::Url, record_key: RecordKey, role: ServerRole) -> Result<Store, RunError> {
    let kv = kv::open(url).map_err(RunError::Kv)?;
    let (own, clock, random) = (Arc::clone(&kv), Arc::new(SystemClock), Arc::new(KernelEntropy));
    let opened = match role {
        ServerRole::Deposit => Store::open_for_deposits(own, record_key, clock, random).await,
        ServerRole::All | ServerRole::Release => Store::open(own, record_key, clock, random).await,
    };
    match opened {
        Ok(store) => Ok(store),
        Err(error) => {
            kv.close().await;
            Err(error.into())
        }
    }
}

fn bind(config: &ServeConfig, served: &tls::ServerTls) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(Listener::tls(*address, Arc::clone(&served.config))?);
    }
    for address in &config.plain {
        listeners.push(Listener::plain(*address)?);
    }
    if let Some(path) = &config.socket {
        listeners.push(Listener::unix(path, config.socket_mode)?);
    }
    Ok(listeners)
}

/// Listeners at work.
pub(crate) struct ActiveListeners {
    api: Api,
    stop: watch::Sender<bool>,
    accepting: JoinSet<()>,
    counting: tokio::task::JoinHandle<()>,
    /// TCP addresses that are listened on.
    pub(crate) addresses: Vec<std::net::SocketAddr>,
}

impl ActiveListeners {
    /// Accepts from all of `listeners`, at most `connections` connections at once.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        api: &Api,
        connections: usize,
        patience: ConnectionTimeouts,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(connections));
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, api.clone(), Arc::clone(&room), patience, stopped.clone()));
        }
        let counted = api.clone();
        let counting = tokio::spawn(async move {
            loop {
                counted.set_connections(connections.saturating_sub(room.available_permits()) as u64);
                tokio::time::sleep(COUNT_EVERY).await;
            }
        });
        Self { api: api.clone(), stop, accepting, counting, addresses }
    }

    /// Accepts no more, and lets what was begun end within `limit`.
    pub(crate) async fn finish(mut self, limit: Duration) {
        self.api.drain();
        self.stop.send_replace(true);
        self.counting.abort();
        let all = async { while self.accepting.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("some requests did not end in time and are broken off");
            self.accepting.shutdown().await;
        }
    }
}
