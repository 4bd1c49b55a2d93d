//! The listeners of a running server: starts accepting on all of them, and drains them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::connection::{ConnectionConfig, ConnectionTimeouts};
use super::listener::{Listener, accept};
use crate::api::Api;

/// How often the metric of open connections is updated.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct ActiveListeners {
    api: Api,
    stop: watch::Sender<bool>,
    accepting: JoinSet<()>,
    counting: JoinHandle<()>,
    /// The addresses of the TCP listeners.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl ActiveListeners {
    /// Starts to accept at most `connections` connections at a time, on all listeners together.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        api: &Api,
        connections: usize,
        timeouts: ConnectionTimeouts,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(connections));
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let config = ConnectionConfig { router: api.router(), timeouts, stop: stopped.clone() };
            accepting.spawn(accept(listener, Arc::clone(&slots), config));
        }
        let counted = api.clone();
        let counting = tokio::spawn(async move {
            loop {
                // Sampled: the semaphore counts already, and a second counter could drift from it.
                counted.set_connections(connections.saturating_sub(slots.available_permits()) as u64);
                tokio::time::sleep(COUNT_INTERVAL).await;
            }
        });
        Self { api: api.clone(), stop, accepting, counting, addresses }
    }

    /// Accepts no more connections, and waits until those that are open have ended, at most for `limit`.
    pub(crate) async fn finish(mut self, limit: Duration) {
        // First: what watches this server's readiness now sends new work elsewhere.
        self.api.drain();
        self.stop.send_replace(true);
        self.counting.abort();
        let all = async { while self.accepting.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("some requests did not finish in time and are aborted");
            self.accepting.shutdown().await;
        }
    }
}
