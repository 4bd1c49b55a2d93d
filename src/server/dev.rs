//! A throwaway store in memory, unlocked, on loopback: what `dropsafe dev` runs. It uses TLS with a pin like any other store, so
//! that it exercises the same code of the agent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::active_listeners::ActiveListeners;
use super::connection::ConnectionTimeouts;
use super::listener::{ListenError, Listener};
use super::proxy_protocol::ProxySources;
use super::tls;
use super::tls::TlsError;
use crate::api::Api;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::domain::ticket::{BootTicket, TicketPartsError};
use crate::kv::memory::Memory;
use crate::store::{
    Clock as _, Init, KernelEntropy, NewKeyslot, NewTicket, Store, SystemClock, UnlockSecret,
};
use crate::{api, store};

/// The most connections: all come from one machine.
const CONNECTIONS: usize = 1024;
/// How long requests may take to finish when the store stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the store did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A bug: the names are constants.
    #[error(transparent)]
    Name(#[from] crate::domain::name::NameError),
    #[error(transparent)]
    Init(#[from] store::InitError),
    #[error(transparent)]
    Member(#[from] store::AuthError),
    #[error(transparent)]
    Ticket(#[from] store::Error),
    #[error(transparent)]
    Parts(#[from] TicketPartsError),
    /// A bug: a TCP listener has an address.
    #[error("the listener has no address")]
    NoAddress,
}

/// A running throwaway store.
pub struct DevServer {
    /// `https://ADDRESS:PORT#sha256/…`
    pub url: String,
    /// Of the member `dev`, an administrator of `default`.
    pub token: Zeroizing<String>,
    /// Of the same member, with an unlimited number of uses.
    pub ticket: Zeroizing<String>,
    serving: ActiveListeners,
    store: Store,
}

impl DevServer {
    /// Starts a store on `listen`, an address of loopback; port 0 is any free port.
    pub async fn start(
        listen: SocketAddr,
        limits: api::limits::LimitSettings,
        timeouts: ConnectionTimeouts,
    ) -> Result<Self, DevError> {
        let (record_key, _) = RecordKey::generate(&mut Kernel);
        // A key file instead of a passphrase: nothing has to be derived, and nobody will ever need it again.
        let secret = UnlockSecret::KeyFile(UnlockKey::generate(&mut Kernel).to_text());
        let slot = NewKeyslot { credential: false, secret, allow_weak: true, label: None, argon2: None };
        let init = Init { slots: vec![slot], org: "default".parse()?, admin: "dev".parse()? };
        let kv = Arc::new(Memory::new());
        let created =
            Store::init(kv, record_key, init, Arc::new(SystemClock), Arc::new(KernelEntropy)).await?;
        let store = created.store;
        // As the member would, so that the audit log and the rules are those of any other ticket.
        let caller = store.authenticate(&created.admin_token, Some(listen.ip())).await?;
        let issued = store.create_ticket(&caller, NewTicket::default(), None).await?;

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let key = tls::generate_key()?;
        let tls = tls::load(&tls::certify(&key, &names, SystemClock.now())?.chain, &key)?;
        // Bound before anything names the address: with port 0 only the listener knows it.
        let listener = Listener::tls(listen, watch::channel(tls.config).1)?;
        let url = format!("https://{}", listener.address().ok_or(DevError::NoAddress)?);
        let api = Api::new(api::ApiConfig {
            store: store.clone(),
            random: Arc::new(KernelEntropy),
            urls: vec![url.clone()],
            // One pin: the keys of this store are never rotated.
            pins: Some(tls.pin.into()),
            limits,
        });
        let serving =
            ActiveListeners::start(vec![listener], &api, CONNECTIONS, ProxySources::default(), timeouts);
        let ticket = BootTicket::new(vec![url.clone()], Some(tls.pin.into()), issued.credential)?
            .with_answer_key(store.answer_key().await.map_err(store::Error::from)?);
        Ok(Self {
            url: format!("{url}#{}", tls.pin),
            token: created.admin_token.to_text(),
            ticket: ticket.to_text(),
            serving,
            store,
        })
    }

    /// Stops the store. Everything in it is lost.
    pub async fn stop(self) {
        self.serving.finish(DRAIN).await;
        self.store.close().await;
    }
}
