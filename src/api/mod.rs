//! HTTP in front of the store, one file per resource. A request is checked in this order: admission, credential, size,
//! syntax. The store's rules decide who may do what. Never logs or repeats the content of a request.

mod admission;
mod audit;
mod auth;
mod backup;
mod body;
mod body_budget;
mod boot;
mod boots;
mod categories;
mod compat;
mod console;
mod enrolments;
mod extract;
mod health;
mod holders;
mod identities;
mod import;
mod issuers;
mod keys;
mod launchers;
pub mod limits;
mod managers;
mod members;
mod metrics;
mod middleware;
mod openapi;
mod orgs;
mod page;
mod plugins;
mod problem;
mod process_key;
mod query;
mod rate_limiter;
mod request_body;
mod request_marks;
mod sealed;
mod secrets;
mod sign_in;
mod status;
mod stream;
mod tickets;
mod tls_terminated;
mod tokens;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use http::Method;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use self::admission::{Admission, QueueLimits};
use self::limits::{LimitSettings, RequestLimits};
use self::metrics::Metrics;

use self::problem::ApiError;
use self::process_key::ProcessKeyHolder;
pub(crate) use self::request_marks::{BodySecrecy, ConnectionProof};
pub use self::request_marks::{OverTls, Peer, TlsTerminated};
use crate::crypto::process_key::ProcessKey;
use crate::domain::location::{MAX_URLS, StoreLocation};
use crate::domain::pin::PinPair;
use crate::oidc::IssuerKeys;
use crate::signin::Providers;
use crate::store;
use crate::store::{Entropy, Store};
use crate::wire::Code;

/// The parts of the API.
pub struct ApiConfig {
    /// The store.
    pub store: Store,
    /// The source of request ids.
    pub random: Arc<dyn Entropy>,
    /// The store's addresses, as tickets name them.
    pub urls: Vec<String>,
    /// The pins that go into tickets with the addresses.
    pub pins: Option<PinPair>,
    /// The providers that people sign in with.
    pub providers: Providers,
    /// The values of the limits.
    pub limits: LimitSettings,
    /// The keys of issuers of tokens.
    pub issuers: IssuerKeys,
}

/// The API of one process. Clones share everything.
#[derive(Clone)]
pub struct Api(Arc<ApiInner>);

struct ApiInner {
    config: ApiConfig,
    limits: RequestLimits,
    admission: Admission,
    metrics: Metrics,
    document: Bytes,
    draining: AtomicBool,
    boots_only: AtomicBool,
    connections: AtomicU64,
    pins: watch::Sender<Option<PinPair>>,
    /// The addresses of load balancers that terminate TLS.
    terminated_urls: OnceLock<Vec<String>>,
    process_key: ProcessKeyHolder,
}

impl Api {
    /// Creates the API over the store of `config`.
    pub fn new(config: ApiConfig) -> Self {
        // Made from the routes themselves, so that the document cannot differ from the route table.
        let (_, document) = all_routes();
        // Only boots queue; all other requests are refused at once.
        let process_key = ProcessKey::generate(&mut |bytes: &mut [u8]| config.random.fill(bytes));
        let queue = QueueLimits { length: config.limits.boots_waiting, wait: config.limits.boot_wait };
        Self(Arc::new(ApiInner {
            limits: RequestLimits::new(config.limits.clone()),
            admission: Admission::new(queue),
            metrics: Metrics::new(&openapi::operations(&document)),
            document: openapi::render(&document),
            draining: AtomicBool::new(false),
            boots_only: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            pins: watch::Sender::new(config.pins),
            terminated_urls: OnceLock::new(),
            process_key: ProcessKeyHolder::new(process_key),
            config,
        }))
    }

    /// Limits the routers made from now on to the routes of boots and of unlocking.
    pub(crate) fn serve_boots_only(&self) {
        // Relaxed, here and below: no flag guards other memory.
        self.0.boots_only.store(true, Relaxed);
    }

    /// Names the addresses of load balancers that terminate TLS in the tickets that are created from now on.
    pub(crate) fn advertise_terminated(&self, urls: Vec<String>) {
        // Set once, at the start of the server.
        let _ = self.0.terminated_urls.set(urls);
    }

    /// Builds the service that answers requests. The server puts a [`Peer`] into each request's extensions.
    pub fn router(&self) -> Router {
        let router = match self.0.boots_only.load(Relaxed) {
            // Without the console: people use a server with the role `all` or `deposit`.
            true => boot_routes().0,
            false => all_routes().0.merge(console::routes()),
        };
        router
            .method_not_allowed_fallback(wrong_method)
            .fallback(no_such_route)
            // Inside the middleware, which has to count and log the response to a panic like any other.
            .layer(CatchPanicLayer::custom(middleware::respond_to_panic))
            .layer(from_fn_with_state(self.clone(), middleware::handle))
            .with_state(self.clone())
    }

    /// Makes the server not ready, so that load balancers send new work elsewhere.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Relaxed);
    }

    /// Sets the number of open connections, for the metrics.
    pub(crate) fn set_connections(&self, open: u64) {
        self.0.connections.store(open, Relaxed);
    }

    /// Sets the pins of the tickets that are created from now on.
    pub(crate) fn set_pins(&self, pins: PinPair) {
        self.0.pins.send_replace(Some(pins));
    }

    fn store(&self) -> &Store {
        &self.0.config.store
    }

    /// Keeps the keys of issuers new, for as long as the API is in use.
    pub fn start_refreshing_issuers(&self) {
        // Not through the store, which the task would keep open.
        self.issuers().start_refreshing(|| store::Clock::now(&store::SystemClock));
    }

    fn issuers(&self) -> &IssuerKeys {
        &self.0.config.issuers
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

    /// The addresses for a ticket, and the pins of all of them.
    fn addresses(&self) -> (Vec<String>, Option<PinPair>) {
        let (urls, pins) = (self.0.config.urls.clone(), *self.0.pins.borrow());
        let terminated = self.0.terminated_urls.get().map_or(&[][..], Vec::as_slice);
        if terminated.is_empty() {
            return (urls, pins);
        }
        // The server's pins are not those of a load balancer, so that each address has its own, or none.
        let pinned = urls.into_iter().map(|url| match pins {
            Some(pins) => format!("{url}#{pins}"),
            None => url,
        });
        let urls = terminated.iter().cloned().chain(pinned).take(MAX_URLS).collect();
        (urls, None)
    }

    /// Where the store is, and which keys it has, as store cards say.
    async fn location(&self) -> Result<StoreLocation, ApiError> {
        let answer_key = self.store().answer_key().await.map_err(store::Error::from)?;
        let (urls, pins) = self.addresses();
        StoreLocation::new(urls, pins, Some(answer_key)).map_err(|error| {
            // The configuration checks the addresses, so this is a defect.
            tracing::error!("a store card could not be made: {error}");
            ApiError::internal()
        })
    }

    fn providers(&self) -> &Providers {
        &self.0.config.providers
    }

    fn connections(&self) -> u64 {
        self.0.connections.load(Relaxed)
    }

    fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.config.random.fill(bytes);
    }
}

/// Lists every route of the API as method and path, with the path's parameter in braces. The test of permissions covers
/// each of them.
pub fn routes() -> Vec<(Method, String)> {
    openapi::operations(&all_routes().1)
}

fn all_routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .merge(openapi::routes())
        .merge(secrets::routes())
        .merge(boot::routes())
        .merge(boots::routes())
        .merge(holders::routes())
        .merge(launchers::routes())
        .merge(members::routes())
        .merge(managers::routes())
        .merge(enrolments::routes())
        .merge(tokens::routes())
        .merge(sign_in::routes())
        .merge(tickets::routes())
        .merge(identities::routes())
        .merge(issuers::routes())
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

/// The routes of a server that only answers boots.
fn boot_routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .merge(openapi::routes())
        .merge(boot::routes())
        .merge(boots::report_routes())
        .merge(keys::routes())
        .merge(status::routes())
        .merge(health::routes())
        .split_for_parts()
}

async fn no_such_route(State(api): State<Api>) -> ApiError {
    if api.0.boots_only.load(Relaxed) {
        return ApiError::new(Code::NotFound, "this server answers boots only")
            .hint("use a server whose role is `all` or `deposit`");
    }
    ApiError::new(Code::NotFound, "the API has no such path").hint("GET /v1/openapi.json lists the paths")
}

async fn wrong_method() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the path has no such method")
        .hint("the header Allow lists its methods")
}
