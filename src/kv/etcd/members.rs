//! etcd's members. A request goes to one member at a time, and to the next one when there is no answer, until the timeout.
//!
//! Every member answers reads linearizably, so that it does not matter which one answers.

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

/// How long requests may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EtcdTimeouts {
    /// One answer of one member: more than a slow disk takes, less than an election.
    pub(crate) answer: Duration,
    /// Any answer, elections included: by default, a leader that is gone is replaced within 2 s.
    pub(crate) whole: Duration,
    /// Connecting to one member.
    pub(crate) connection: Duration,
    /// The pause before all members are tried again. It doubles each time.
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
/// How often an idle connection is probed, and for how long an answer is awaited. etcd closes connections that probe more
/// often than every 5 s.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// The members of an etcd.
pub(crate) struct Members {
    urls: Vec<String>,
    options: ConnectOptions,
    /// By member; `None` before its first request.
    clients: Mutex<Vec<Option<Client>>>,
    /// The member that is tried first.
    current: AtomicUsize,
    timeouts: EtcdTimeouts,
}

impl Members {
    /// Reads the files that the address names. Connects to nothing.
    pub(crate) fn new(address: &Address, timeouts: EtcdTimeouts) -> Result<Members, EtcdOpenError> {
        let EtcdAccess { ca, identity, user } = &address.access;
        // A member serves either TLS or plain HTTP on a port, and there is no upgrade from one to the other.
        let scheme = if ca.is_some() { "https" } else { "http" };
        let mut options = ConnectOptions::new()
            // A member that is cut off from the others then fails at once instead of waiting for them.
            .with_require_leader(true)
            .with_connect_timeout(timeouts.connection)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            .with_auto_token_refresh(true);
        if let Some(ca) = ca {
            let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read_file(ca)?));
            if let Some((cert, key)) = identity {
                tls = tls.identity(Identity::from_pem(read_file(cert)?, read_file(key)?));
            }
            options = options.with_tls(tls);
        }
        if let Some((user, file)) = user {
            let text = String::from_utf8(read_file(file)?)
                .map_err(|_| EtcdOpenError::NotText { path: file.clone() })?;
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

    /// Sends a request until a member answers, for at most `timeouts.whole`. The second argument of `call` says whether an
    /// earlier try may have succeeded although its answer was lost.
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
        for attempt in 1.. {
            let member = self.current.load(Ordering::Relaxed);
            let answer = async { call(self.client(member).await?, unheard).await };
            let until = deadline.min(Instant::now() + self.timeouts.answer);
            let fault = match tokio::time::timeout_at(until, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => EtcdFault::from_error(&error),
                Err(_) => EtcdFault::Unreachable,
            };
            // Another member would refuse for the same reason: they share users, data and configuration.
            if !fault.is_transient() {
                return Err(fault);
            }
            unheard = true;
            self.skip_member(member);
            // A pause only after all members failed: one that is down must not delay the request to the next.
            if attempt % self.urls.len() == 0 {
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

    /// Makes the next member the first one to be tried.
    fn skip_member(&self, member: usize) {
        let next = (member + 1) % self.urls.len();
        // Of several requests that failed on the same member, only one moves on: the others would skip a good member.
        let skipped = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
        if skipped.is_ok() && next != member {
            tracing::info!(member = self.urls[next], "asking another member of etcd");
        }
    }

    /// The client of a member. It connects at its first request, and again when its connection breaks.
    async fn client(&self, member: usize) -> Result<Client, Error> {
        if let Some(client) = &self.lock()[member] {
            return Ok(client.clone());
        }
        // Outside the lock: with a user and a password, connecting already asks the member for a token.
        let client = Client::connect([&self.urls[member]], Some(self.options.clone())).await?;
        Ok(self.lock()[member].get_or_insert(client).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, EtcdOpenError> {
    std::fs::read(path).map_err(|error| EtcdOpenError::File { path: path.to_owned(), kind: error.kind() })
}
