//! From a name to addresses, once for each connection: what was checked is what is connected to.

use std::net::SocketAddr;
use std::pin::Pin;

use crate::client::{Host, resolve};

/// A future that gives the addresses of a name.
pub(super) type AddressesFuture<'a> = Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>>;

/// Finds the addresses of a host.
pub(super) trait NameResolver: Send + Sync {
    /// Returns the addresses in the order in which to try them; none if there are none or the lookup failed.
    fn resolve<'a>(&'a self, host: &'a Host, port: u16) -> AddressesFuture<'a>;
}

/// The resolver of this system.
pub(super) struct SystemResolver;

impl NameResolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a Host, port: u16) -> AddressesFuture<'a> {
        // Its only error is that this process has no descriptor left, which passes, as does a name server that is down.
        Box::pin(async move { resolve(host, port).await.unwrap_or_default() })
    }
}
