//! etcd's members: asked one at a time, the next when one does not answer, until one does or timeouts ends.
//!
//! Reads are linearizable on whichever member answers them, so that it does not matter which it is.

#![expect(clippy::disallowed_methods, reason = "certificates and the password are read here")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use tokio::time::Instant;

use super::EtcdOpenError;
use super::address::{Address, EtcdAccess};
use super::fault::EtcdFault;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EtcdTimeouts {
    /// For one answer of one member. More than a slow disk takes, less than an election.
    pub(crate) answer: Duration,
    /// For any answer, elections included: a leader that is gone is replaced in 2 s by default.
    pub(crate) whole: Duration,
    /// For a connection.
    pub(crate) connection: Duration,
    /// Before the members are gone through again; doubled each time.
    pub(crate) pause: Duration,
}

impl Default for EtcdTimeouts {
    fn default() -> EtcdTimeouts {
        EtcdTimeouts {
            answer: Duration::from_millis(2500),
            whole: Duration::from_secs(10),
            connection: Duration::from_millis(1500),
            pause: Duration::from_millis(50),
        }
    }
}

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(800);
/// How often an idle connection is tried, which etcd allows no oftener than every 5 s, and for how long.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// The members of an etcd.
pub(crate) struct Members {
    urls: Vec<String>,
    options: ConnectOptions,
    /// One for each member that was asked.
    clients: Mutex<Vec<Option<Client>>>,
    /// The one that is asked first.
    current: AtomicUsize,
    timeouts: EtcdTimeouts,
}

// === impl Members ===

impl Members {
    /// Reads the files that the address names. Connects to nothing.
    pub(crate) fn new(address: &Address, timeouts: EtcdTimeouts) -> Result<Members, EtcdOpenError> {
        let EtcdAccess { ca, identity, user } = &address.access;
        let scheme = if ca.is_some() { "https" } else { "http" };
        let mut options = ConnectOptions::new()
            // A member that is cut off from the others says so instead of waiting for them.
            .with_require_leader(true)
            .with_connect_timeout(timeouts.connection)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            .with_auto_token_refresh(true);
        if let Some(ca) = ca {
            let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
            if let Some((cert, key)) = identity {
                tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
            }
            options = options.with_tls(tls);
        }
        if let Some((user, file)) = user {
            let text =
                String::from_utf8(read(file)?).map_err(|_| EtcdOpenError::NotText { path: file.clone() })?;
            options = options.with_user(user, text.trim_end_matches(['\r', '\n']));
        }
        Ok(Members {
            urls: address.members.iter().map(|member| format!("{scheme}://{member}")).collect(),
            options,
            clients: Mutex::new(vec![None; address.members.len()]),
            current: AtomicUsize::new(0),
            timeouts,
        })
    }

    /// Asks until a member answers, for at most `timeouts.whole`. `call` is told whether an earlier try may have been
    /// answered without anybody hearing it.
    pub(crate) async fn ask<T, F>(&self, call: impl FnMut(Client, bool) -> F + Send) -> Result<T, EtcdFault>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.ask_until(Instant::now() + self.timeouts.whole, call).await
    }

    pub(crate) async fn ask_until<T, F>(
        &self,
        deadline: Instant,
        mut call: impl FnMut(Client, bool) -> F + Send,
    ) -> Result<T, EtcdFault>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut pause = self.timeouts.pause;
        let mut unheard = false;
        for tries in 1.. {
            let member = self.current.load(Ordering::Relaxed);
            let asked = async { call(self.client(member).await?, unheard).await };
            let until = deadline.min(Instant::now() + self.timeouts.answer);
            let fault = match tokio::time::timeout_at(until, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => EtcdFault::from_error(&error),
                Err(_) => EtcdFault::Unreachable,
            };
            if !fault.is_transient() {
                return Err(fault);
            }
            unheard = true;
            self.skip_member(member);
            if tries % self.urls.len() == 0 {
                let now = Instant::now();
                if now + pause >= deadline {
                    return Err(fault);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        Err(EtcdFault::Unreachable)
    }

    /// Lets the next be asked first, unless that happened already.
    fn skip_member(&self, member: usize) {
        let next = (member + 1) % self.urls.len();
        let passed = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
        if passed.is_ok() && next != member {
            tracing::info!(member = self.urls[next], "asking another member of etcd");
        }
    }

    /// The client of a member. It connects when it is used first, and again when its connection breaks.
    async fn client(&self, member: usize) -> Result<Client, Error> {
        if let Some(client) = &self.lock()[member] {
            return Ok(client.clone());
        }
        // With a user this asks the member for a token already.
        let client = Client::connect([&self.urls[member]], Some(self.options.clone())).await?;
        Ok(self.lock()[member].get_or_insert(client).clone())
    }

    /// Nothing that runs under the lock can leave it half changed, so a poisoned one is as good.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EtcdOpenError> {
    std::fs::read(path).map_err(|error| EtcdOpenError::File { path: path.to_owned(), kind: error.kind() })
}
