//! The listeners of a running server: starts accepting on all of them, and drains them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::connection::{ConnectionConfig, ConnectionTimeouts};
use super::connection_table::ConnectionTable;
use super::listener::{Listener, accept, descriptor_limit};
use super::proxy_protocol::ProxySources;
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
    /// Starts to serve at most `connections` connections at a time, on all listeners together.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        api: &Api,
        connections: usize,
        proxies: ProxySources,
        timeouts: ConnectionTimeouts,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let table = ConnectionTable::new(connections, descriptor_limit());
        let proxies = Arc::new(proxies);
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let (proxies, stop) = (Arc::clone(&proxies), stopped.clone());
            let config = ConnectionConfig { router: api.router(), timeouts, proxies, stop };
            accepting.spawn(accept(listener, table.clone(), config));
        }
        let counted = api.clone();
        let counting = tokio::spawn(async move {
            loop {
                // Sampled: the table counts already, and a second counter could drift from it.
                counted.set_connections(table.open_connections() as u64);
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
