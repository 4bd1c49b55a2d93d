//! The life of a server: data folder, byte store, store, perhaps the release key, listeners. To stop, it finishes the requests and
//! closes everything in the opposite order.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::active_listeners::ActiveListeners;
use super::config::{ServeConfig, ServerRole};
use super::data_dir::{DataDir, DataDirError, FolderUse};
use super::listener::{ListenError, Listener};
use super::log_heads::LogHeads;
use super::proxy_protocol::ProxySources;
use super::tls::{ServerTls, TlsError};
use super::tls_keys::TlsKeys;
use super::{data_dir, listener, providers, tls, unlock};
use crate::api::Api;
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::record::RecordKey;
use crate::domain::epoch::RestoreEpoch;
use crate::domain::pin::PinPair;
use crate::oidc::{EgressPolicy, IssuerKeys};
use crate::process::SdNotify;
use crate::signin::{ProviderSetupError, Providers};
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
    /// The audit log does not continue what this server has seen.
    #[error(
        "the audit log is shorter than this server has seen it, or differs: the byte store was rolled back"
    )]
    RolledBack,
    /// The store was restored from a backup since this server has seen it.
    #[error("the store was restored from a backup (epoch {epoch}), which this server has not accepted")]
    Restored {
        /// The epoch of the restore.
        epoch: RestoreEpoch,
    },
    /// The configured passphrase or key file does not unlock the store.
    #[error("unlocking at startup")]
    Unlock(#[source] store::UnlockError),
    /// A sign-in provider cannot be used as it is configured.
    #[error(transparent)]
    SignIn(#[from] ProviderSetupError),
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
            Self::RolledBack => Some(
                "find out who replaced the byte store; to go back to an earlier state, restore a backup: dropsafe restore"
                    .to_owned(),
            ),
            Self::Restored { epoch } => Some(format!(
                "compare {epoch} with the epoch that `dropsafe restore` printed; if they are equal, start this server once with --accept-restore EPOCH; if nobody restored the store, find out who replaced the byte store"
            )),
            Self::Unlock(error) => error.hint(),
            Self::SignIn(error) => Some(error.hint().to_owned()),
            Self::Kv(_) | Self::Listen(_) => None,
        }
    }
}

/// The state of a server that has started to accept requests.
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
    let hangup = prepare_process();
    let data = DataDir::open(&config.data, FolderUse::Serve)?;
    let notify = SdNotify::new(config.notify.as_deref());

    // Everything that can be wrong is read before anything listens.
    let record_key = RecordKey::from_text(&data_dir::read_private(&data.file(data_dir::RECORD_KEY))?)
        .map_err(RunError::RecordKey)?;
    let (tls, pins) = load_tls(&config)?;
    let providers = providers::load(&config, host_name().as_deref())?;
    let secret = match config.role {
        // This role never holds the release key, whatever credentials the unit passes to it.
        ServerRole::Deposit => None,
        ServerRole::All | ServerRole::Release => {
            unlock::read_unlock_secret(config.unlock.as_ref(), config.credentials.as_deref())?
        }
    };
    // Bound before the store is opened, which can take long: an address in use is found at once, and connections wait.
    let (tls_config, current_config) = watch::channel(tls.config);
    let listeners = bind(&config, &current_config)?;
    let store = open(&config, record_key).await?;
    // Before it is unlocked: a store that was rolled back must not release anything.
    let mut log_heads = match check_and_unlock(&data, &store, config.accept_restore, secret).await {
        Ok(log_heads) => log_heads,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let api = create_api(&config, &store, pins, providers);
    let serving = {
        let proxies = ProxySources::new(config.proxies.clone());
        ActiveListeners::start(listeners, &api, config.connections, proxies, config.timeouts)
    };
    let info = StartupInfo { addresses: serving.addresses.clone(), pin: tls.pin, locked: store.is_locked() };
    let state = if info.locked { "locked: accepts deposits, refuses boots" } else { "unlocked" };
    tracing::info!(addresses = ?info.addresses, pin = %info.pin, role = %config.role, state, "serving");
    notify.ready(state);
    started(&info);

    tokio::select! {
        () = stop => {}
        () = log_heads.watch() => {}
        () = reload_tls(hangup, &config, &tls_config, &api) => {}
    }
    tracing::info!("finishing requests");
    notify.stopping("finishing requests");
    serving.finish(config.drain).await;
    // Without the entries of the shutdown, which the next start finds behind these.
    let _ = log_heads.follow().await;
    store.close().await;
    tracing::info!("stopped");
    // Last: the lock on the folder keeps the next server away until everything is closed.
    drop(data);
    Ok(())
}

/// Returns the signal to read the certificate again.
fn prepare_process() -> Option<Signal> {
    data_dir::restrict_new_files();
    listener::raise_descriptor_limit();
    // A warning only: some container runtimes forbid it, and the store must run there too.
    if crate::crypto::memory::harden_process().is_err() {
        tracing::warn!("core dumps could not be disabled");
    }
    // From here on, SIGHUP does not end the process. Without a handler, the certificate is only read at the start.
    signal(SignalKind::hangup()).ok()
}

/// The certificate and its key, and the pins that go into tickets.
fn load_tls(config: &ServeConfig) -> Result<(ServerTls, PinPair), RunError> {
    // Held until the files are read, so that no rotation replaces them in between.
    let own = config.own_tls().map(TlsKeys::open).transpose();
    let tls = tls::load(&data_dir::read(&config.cert)?, &data_dir::read_private(&config.key)?)?;
    let pins = match &own {
        Ok(Some((_, state))) => state.pins,
        Ok(None) => tls.pin.into(),
        Err(error) => {
            // Not fatal: the folder may be read-only, or hold the operator's own certificate.
            tracing::warn!("there is no next TLS key, so new tickets carry one pin: {error}");
            tls.pin.into()
        }
    };
    Ok((tls, pins))
}

/// Reads the certificate again after each SIGHUP, until the future is dropped.
async fn reload_tls(
    hangup: Option<Signal>,
    config: &ServeConfig,
    current: &watch::Sender<Arc<ServerConfig>>,
    api: &Api,
) {
    if let Some(mut hangup) = hangup {
        while hangup.recv().await.is_some() {
            match load_tls(config) {
                Ok((tls, pins)) => {
                    // Connections that are open stay so. New ones resume no session of the old key.
                    current.send_replace(tls.config);
                    api.set_pins(pins);
                    tracing::info!(%pins, "the certificate was read again");
                }
                Err(error) => tracing::error!("the certificate was not read again: {error}"),
            }
        }
    }
    std::future::pending().await
}

fn bind(
    config: &ServeConfig,
    tls: &watch::Receiver<Arc<ServerConfig>>,
) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(Listener::tls(*address, tls.clone())?);
    }
    for address in &config.plain {
        listeners.push(Listener::plain(*address)?);
    }
    for terminated in &config.terminated {
        listeners.push(Listener::terminated(terminated.address, terminated.terminated)?);
    }
    if let Some(path) = &config.socket {
        listeners.push(Listener::unix(path, config.socket_mode)?);
    }
    Ok(listeners)
}

/// Opens the store, locked.
async fn open(config: &ServeConfig, record_key: RecordKey) -> Result<Store, RunError> {
    let kv = kv::open(&config.store).map_err(RunError::Kv)?;
    let (own, clock, random) = (Arc::clone(&kv), Arc::new(SystemClock), Arc::new(KernelEntropy));
    let opened = match config.role {
        ServerRole::Deposit => Store::open_for_deposits(own, record_key, clock, random).await,
        ServerRole::All | ServerRole::Release => Store::open(own, record_key, clock, random).await,
    };
    match opened {
        Ok(store) => Ok(store.with_presets(config.presets.clone()).with_lock_on_fault(config.lock_on_fault)),
        Err(error) => {
            kv.close().await;
            Err(error.into())
        }
    }
}

/// Compares the audit log with what this server has seen and, with a secret, unlocks the store.
async fn check_and_unlock<'a>(
    data: &'a DataDir,
    store: &'a Store,
    accept: Option<RestoreEpoch>,
    secret: Option<UnlockSecret>,
) -> Result<LogHeads<'a>, RunError> {
    let log_heads = LogHeads::open(data, store, accept).await?;
    // A wrong secret ends the server instead of leaving it locked: nobody would notice before a machine cannot boot.
    if let Some(secret) = secret {
        store.unlock(&Caller::this_process(), secret).await.map_err(RunError::Unlock)?;
    }
    Ok(log_heads)
}

fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
}

fn create_api(config: &ServeConfig, store: &Store, pins: PinPair, providers: Providers) -> Api {
    let api = Api::new(api::ApiConfig {
        store: store.clone(),
        random: Arc::new(KernelEntropy),
        urls: config.ticket_urls(host_name().as_deref()),
        providers,
        pins: Some(pins),
        limits: config.limits.clone(),
        issuers: IssuerKeys::new(EgressPolicy { allowed: config.issuer_networks.clone() }),
    });
    api.start_refreshing_issuers();
    api.advertise_terminated(config.terminated_urls());
    // Before a router is built, which reads this once.
    if config.role == ServerRole::Release {
        api.serve_boots_only();
    }
    api
}
