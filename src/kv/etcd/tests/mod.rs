//! What etcd alone must do, and the suite of all backends, on real etcd servers.
#![expect(clippy::disallowed_methods, reason = "tests start servers")]

mod faults;
mod proxy;
mod secured;
pub(crate) mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::server::Cluster;
use super::{Address, Etcd};
use crate::kv::conformance::{Place, suite};
use crate::kv::{BoxFuture, Kv};

/// A prefix on an etcd that only one test uses, since commits of others would consume revisions.
pub(crate) struct Alone {
    etcd: Option<Cluster>,
    prefix: String,
}

/// Those that no place uses. They end with this process, as their keepers see.
static IDLE: Mutex<Vec<Cluster>> = Mutex::new(Vec::new());
static PLACES: AtomicUsize = AtomicUsize::new(0);

/// So that a single member elects itself in no time.
const QUICK: [&str; 4] = ["--heartbeat-interval", "10", "--election-timeout", "100"];

impl Default for Alone {
    fn default() -> Alone {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let etcd = Some(idle.unwrap_or_else(|| Cluster::start(1, &QUICK)));
        Alone { etcd, prefix: format!("place-{}", PLACES.fetch_add(1, Ordering::Relaxed)) }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.etcd.take());
    }
}

impl Alone {
    pub(crate) fn address(&self) -> Address {
        let members = self.etcd.as_ref().unwrap().addresses();
        format!("{members}/{}", self.prefix).parse().unwrap()
    }
}

impl Place for Alone {
    const KEEPS: bool = true;

    fn lacks() -> Option<&'static str> {
        (!server::is_installed()).then_some("the byte store on etcd (package etcd-server)")
    }

    fn open(&self) -> BoxFuture<'_, Arc<dyn Kv>> {
        Box::pin(async { Arc::new(Etcd::open(&self.address()).unwrap()) as Arc<dyn Kv> })
    }
}

mod conformance {
    super::suite!(crate::kv::etcd::tests::Alone);
}
