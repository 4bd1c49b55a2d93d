//! A throwaway store in memory, unlocked, on loopback: what `dropsafe dev` runs. It speaks TLS with a pin like any other,
//! so that the agent's own path is what is tried.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connection::ConnectionTimeouts;
use super::listener::{ListenError, Listener};
use super::run::ActiveListeners;
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

/// Connections at once: one machine's.
const CONNECTIONS: usize = 1024;
/// How long requests may take to finish when it shall stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Why there is no throwaway store.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name of its own is wrong: a defect.
    #[error(transparent)]
    Name(#[from] crate::domain::name::NameError),
    /// The store.
    #[error(transparent)]
    Init(#[from] store::InitError),
    /// Its first member.
    #[error(transparent)]
    Member(#[from] store::AuthError),
    /// Its ticket.
    #[error(transparent)]
    Ticket(#[from] store::Error),
    /// Its ticket's text.
    #[error(transparent)]
    Parts(#[from] TicketPartsError),
    /// No listener has an address: a defect.
    #[error("the listener has no address")]
    NoAddress,
}

/// A running throwaway store.
pub struct DevServer {
    /// `https://ADDRESS:PORT#sha256/…`
    pub url: String,
    /// Of the member `dev`, an admin of `default`.
    pub token: Zeroizing<String>,
    /// Of many uses, for the same member.
    pub ticket: Zeroizing<String>,
    serving: ActiveListeners,
    store: Store,
}

impl DevServer {
    /// Starts one on `listen`, an address of loopback; port 0: a free one.
    pub async fn start(
        listen: SocketAddr,
        limits: api::limits::LimitSettings,
        patience: ConnectionTimeouts,
    ) -> Result<Self, DevError> {
        let (record_key, _) = RecordKey::generate(&mut Kernel);
        // A key file instead of a passphrase: nothing to derive, and nobody will ever need it again.
        let secret = UnlockSecret::KeyFile(UnlockKey::generate(&mut Kernel).to_text());
        let slot = NewKeyslot { credential: false, secret, label: None, argon2: None };
        let init = Init { slots: vec![slot], org: "default".parse()?, admin: "dev".parse()? };
        let kv = Arc::new(Memory::new());
        let made = Store::init(kv, record_key, init, Arc::new(SystemClock), Arc::new(KernelEntropy)).await?;
        let store = made.store;
        let caller = store.authenticate(&made.admin_token, Some(listen.ip())).await?;
        let issued = store.create_ticket(&caller, NewTicket::default(), None).await?;

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let certificate = tls::make(&names, SystemClock.now())?;
        let served = tls::served(&certificate.chain, &certificate.key)?;
        let listener = Listener::tls(listen, served.config)?;
        let url = format!("https://{}", listener.address().ok_or(DevError::NoAddress)?);
        let api = Api::new(api::ApiConfig {
            store: store.clone(),
            random: Arc::new(KernelEntropy),
            urls: vec![url.clone()],
            pin: Some(served.pin),
            limits,
        });
        let serving = ActiveListeners::start(vec![listener], &api, CONNECTIONS, patience);
        let ticket = BootTicket::new(vec![url.clone()], Some(served.pin), issued.credential)?;
        Ok(Self {
            url: format!("{url}#{}", served.pin),
            token: made.admin_token.to_text(),
            ticket: ticket.to_text(),
            serving,
            store,
        })
    }

    /// Stops it. Everything in it is gone.
    pub async fn stop(self) {
        self.serving.finish(DRAIN).await;
        self.store.close().await;
    }
}
