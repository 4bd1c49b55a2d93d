//! HTTP in front of the store, one file per resource. A request is judged in this order: admission, credential, size,
//! parse. Decides nothing itself: who may do what is the store's. Never logs or repeats what a request holds.

mod admission;
mod audit;
mod auth;
mod auth_throttle;
mod backup;
mod boot;
mod boots;
mod categories;
mod compat;
mod console;
mod extract;
mod health;
mod import;
mod keys;
pub mod limits;
mod members;
mod metrics;
mod middleware;
mod openapi;
mod orgs;
mod page;
mod plugins;
mod problem;
mod query;
mod secrets;
mod status;
mod stream;
mod tickets;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use admission::Admission;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use http::Method;
use limits::RequestLimits;
use metrics::Metrics;
pub use middleware::{OverTls, Peer};
use problem::ApiError;
use utoipa_axum::router::OpenApiRouter;

use crate::domain::pin::Pin;
use crate::store::{Entropy, Store};
use crate::wire::Code;

/// What the API is told at its start.
pub struct ApiConfig {
    /// The store.
    pub store: Store,
    /// Where its random request ids come from.
    pub random: Arc<dyn Entropy>,
    /// Addresses that go into tickets.
    pub urls: Vec<String>,
    /// The pin that goes with them.
    pub pin: Option<Pin>,
    /// The limits' sizes.
    pub limits: limits::LimitSettings,
}

/// The API of one process. Clones share everything.
#[derive(Clone)]
pub struct Api(Arc<ApiInner>);

struct ApiInner {
    setup: ApiConfig,
    limits: RequestLimits,
    admission: Admission,
    metrics: Metrics,
    document: Bytes,
    draining: AtomicBool,
    boots_only: AtomicBool,
    connections: AtomicU64,
}

impl Api {
    /// The API over `setup`'s store.
    pub fn new(setup: ApiConfig) -> Self {
        let (_, document) = parts();
        Self(Arc::new(ApiInner {
            limits: RequestLimits::new(setup.limits.clone()),
            admission: Admission::new(setup.limits.boots_waiting, setup.limits.boot_wait),
            metrics: Metrics::new(&openapi::operations(&document)),
            document: openapi::finished(&document),
            draining: AtomicBool::new(false),
            boots_only: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            setup,
        }))
    }

    /// Leaves out of the routes, from the next [`router`](Self::router) on, all but those of boots and of unlocking.
    pub fn serve_boots_only(&self) {
        self.0.boots_only.store(true, Relaxed);
    }

    /// The service that answers requests. The server puts a [`Peer`] into each request's extensions.
    pub fn router(&self) -> Router {
        let router = match self.0.boots_only.load(Relaxed) {
            true => boot_parts().0,
            false => parts().0.merge(console::routes()),
        };
        router
            .method_not_allowed_fallback(wrong_method)
            .fallback(no_such_route)
            .layer(from_fn_with_state(self.clone(), middleware::handle))
            .with_state(self.clone())
    }

    /// From now on the server is not ready: what watches it sends new work elsewhere.
    pub fn drain(&self) {
        self.0.draining.store(true, Relaxed);
    }

    /// Says how many connections are open, for the metrics.
    pub fn set_connections(&self, open: u64) {
        self.0.connections.store(open, Relaxed);
    }

    fn store(&self) -> &Store {
        &self.0.setup.store
    }

    fn limits(&self) -> &RequestLimits {
        &self.0.limits
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn document(&self) -> Bytes {
        self.0.document.clone()
    }

    fn addresses(&self) -> (Vec<String>, Option<Pin>) {
        (self.0.setup.urls.clone(), self.0.setup.pin)
    }

    fn connections(&self) -> u64 {
        self.0.connections.load(Relaxed)
    }

    fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.setup.random.fill(bytes);
    }
}

/// Every route, as method and path with its parameter in braces: what a test of permissions has to cover.
pub fn routes() -> Vec<(Method, String)> {
    openapi::operations(&parts().1)
}

/// The API's description, as it is served.
pub fn document() -> Bytes {
    openapi::finished(&parts().1)
}

fn parts() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .merge(openapi::routes())
        .merge(secrets::routes())
        .merge(boot::routes())
        .merge(boots::routes())
        .merge(members::routes())
        .merge(tokens::routes())
        .merge(tickets::routes())
        .merge(orgs::routes())
        .merge(plugins::routes())
        .merge(categories::routes())
        .merge(import::routes())
        .merge(compat::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(status::routes())
        .merge(backup::routes())
        .merge(health::routes())
        .split_for_parts()
}

/// What a server serves that is there for boots alone.
fn boot_parts() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .merge(openapi::routes())
        .merge(boot::routes())
        .merge(boots::reports())
        .merge(keys::routes())
        .merge(status::routes())
        .merge(health::routes())
        .split_for_parts()
}

async fn no_such_route(State(api): State<Api>) -> ApiError {
    if api.0.boots_only.load(Relaxed) {
        return ApiError::new(Code::NotFound, "this server answers boots only")
            .hint("ask one whose role is `all` or `deposit`");
    }
    ApiError::new(Code::NotFound, "the API has no such path").hint("GET /v1/openapi.json lists the paths")
}

async fn wrong_method() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the path has no such method")
        .hint("the header Allow lists its methods")
}
