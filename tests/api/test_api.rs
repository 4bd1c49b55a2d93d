//! The API over a store in memory, with one caller of each kind, called without a socket.
#![allow(clippy::disallowed_methods, reason = "writes the file of a client secret")]

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::body::Body;
use dropsafe::api::limits::LimitSettings;
use dropsafe::api::{Api, ApiConfig, Peer};
use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::random::Kernel;
use dropsafe::crypto::record::RecordKey;
use dropsafe::domain::ticket::BootTicket;
use dropsafe::domain::time::Timestamp;
use dropsafe::kv::memory::Memory;
use dropsafe::oidc::{EgressPolicy, IssuerKeys};
use dropsafe::server::{ServeConfig, ServeFlags, load_providers};
use dropsafe::settings::Environment;
use dropsafe::signin::Providers;
use dropsafe::store::{Clock, Init, KernelEntropy, NewKeyslot, Store, UnlockSecret};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

/// Every kind of caller, in the order of the permission matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Operator,
    Admin,
    Member,
    Auditor,
    /// The service `svc`.
    Service,
    /// The member `mia`, who manages the service.
    Manager,
    /// The code of the member `pia`, who has not redeemed it.
    Pending,
    /// The launcher `platform`, which nobody has accepted.
    Launcher,
    Ticket,
    Expired,
    Revoked,
    Other,
    Nobody,
    /// A token for metrics.
    Metrics,
}

impl Who {
    pub const ALL: [Self; 14] = [
        Self::Operator,
        Self::Admin,
        Self::Member,
        Self::Auditor,
        Self::Service,
        Self::Manager,
        Self::Pending,
        Self::Launcher,
        Self::Ticket,
        Self::Expired,
        Self::Revoked,
        Self::Other,
        Self::Nobody,
        Self::Metrics,
    ];
}

/// A clock that moves only when a test sets it.
pub struct StoppedClock(AtomicI64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub struct TestApi {
    pub api: Api,
    pub router: Router,
    pub store: Store,
    pub key_file: Zeroizing<String>,
    clock: Arc<StoppedClock>,
    credentials: Vec<(Who, String)>,
}

fn create_api(store: &Store, limits: LimitSettings, providers: Providers) -> Api {
    Api::new(ApiConfig {
        store: store.clone(),
        random: Arc::new(KernelEntropy),
        urls: vec!["https://127.0.0.1:7373".to_owned()],
        pins: None,
        limits,
        issuers: IssuerKeys::new(EgressPolicy::default()),
        providers,
    })
}

/// The providers of a server.yaml. The file `client.secret` beside it has this secret.
pub fn configured_providers(yaml: &str, secret: &str) -> Providers {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.secret");
    // With the line end of an editor.
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (flags, environment) = (ServeFlags::default(), Environment::default());
    let config = ServeConfig::read(folder.path(), &flags, &environment, yaml).unwrap();
    load_providers(&config, None).unwrap()
}

pub const SOURCE: [u8; 4] = [192, 0, 2, 7];

impl TestApi {
    /// Of the organization `default`: the admin `ada`, the member `mel`, the auditor `aud`, a ticket for `mel`; and the
    /// admin `ada` of the organization `other`.
    pub async fn new() -> Self {
        Self::with(LimitSettings::default()).await
    }

    pub async fn with(limits: LimitSettings) -> Self {
        let (record_key, _) = RecordKey::generate(&mut Kernel);
        let key_file = UnlockKey::generate(&mut Kernel).to_text();
        let secret = UnlockSecret::KeyFile(key_file.clone());
        let slot = NewKeyslot { credential: false, secret, allow_weak: true, label: None, argon2: None };
        let init = Init { slots: vec![slot], org: "default".parse().unwrap(), admin: "ada".parse().unwrap() };
        let clock = Arc::new(StoppedClock(AtomicI64::new(1_790_000_000_000)));
        let kv = Arc::new(Memory::new());
        let made = Store::init(kv, record_key, init, Arc::clone(&clock) as _, Arc::new(KernelEntropy))
            .await
            .unwrap();
        let api = create_api(&made.store, limits, Providers::default());
        let mut api = Self {
            router: api.router(),
            api,
            store: made.store,
            key_file,
            clock,
            credentials: vec![
                (Who::Operator, made.operator_token.to_text().to_string()),
                (Who::Admin, made.admin_token.to_text().to_string()),
            ],
        };
        api.furnish().await;
        api
    }

    /// The same store behind another API.
    pub fn with_limits(mut self, limits: LimitSettings) -> Self {
        self.api = create_api(&self.store, limits, Providers::default());
        self.router = self.api.router();
        self
    }

    /// The same store behind another API, to which people sign in with these providers.
    pub fn with_providers(mut self, providers: Providers) -> Self {
        self.api = create_api(&self.store, LimitSettings::default(), providers);
        self.router = self.api.router();
        self
    }

    async fn furnish(&mut self) {
        for (who, name, role) in [(Who::Member, "mel", "member"), (Who::Auditor, "aud", "auditor")] {
            let token = self.enroll(json!({ "name": name, "role": role })).await;
            self.credentials.push((who, token));
        }
        self.furnish_service().await;
        let pending = self.ask(Who::Admin, "POST", "/v1/members", json!({ "name": "pia" })).await.expect(201);
        self.credentials.push((Who::Pending, pending["issued"]["code"].as_str().unwrap().to_owned()));
        let launcher = self.enroll(json!({ "name": "platform", "kind": "launcher" })).await;
        self.credentials.push((Who::Launcher, launcher));
        let expired = self.token(json!({ "ttl_seconds": 1 })).await;
        let made = self.ask(Who::Member, "POST", "/v1/tokens", json!({})).await.expect(201);
        let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
        self.ask(Who::Admin, "DELETE", &path, Value::Null).await.expect(200);
        self.credentials.push((Who::Expired, expired));
        self.credentials.push((Who::Revoked, made["token"].as_str().unwrap().to_owned()));
        let other = self
            .ask(Who::Operator, "POST", "/v1/orgs", json!({ "name": "other", "admin": "ada" }))
            .await
            .expect(201);
        let other = self.redeem(other["enrolment"]["code"].as_str().unwrap()).await;
        self.credentials.push((Who::Other, other));
        let ticket = self.ticket(json!({})).await;
        self.credentials.push((Who::Ticket, ticket));
        let metrics = json!({ "metrics": true });
        let metrics = self.ask(Who::Operator, "POST", "/v1/tokens", metrics).await.expect(201);
        self.credentials.push((Who::Metrics, metrics["token"].as_str().unwrap().to_owned()));
        self.pass(5_000);
    }

    pub fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Relaxed);
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn credential(&self, who: Who) -> &str {
        self.credentials.iter().find(|(of, _)| *of == who).map_or("", |(_, text)| text)
    }

    /// The service `svc`, which the member `mia` manages.
    async fn furnish_service(&mut self) {
        let manager = self.enroll(json!({ "name": "mia" })).await;
        self.credentials.push((Who::Manager, manager));
        let service = json!({ "name": "svc", "kind": "service", "managers": ["mia"] });
        self.ask(Who::Admin, "POST", "/v1/members", service).await.expect(201);
        let made = self.ask(Who::Manager, "POST", "/v1/tokens", json!({ "member": "svc" })).await.expect(201);
        self.credentials.push((Who::Service, made["token"].as_str().unwrap().to_owned()));
    }

    /// Adds a member, and redeems its enrolment. Returns its first token.
    pub async fn enroll(&self, body: Value) -> String {
        let added = self.ask(Who::Admin, "POST", "/v1/members", body).await.expect(201);
        self.redeem(added["issued"]["code"].as_str().unwrap()).await
    }

    pub async fn redeem(&self, code: &str) -> String {
        let redeemed = self.ask_as(code, "POST", "/v1/enrolments/redeem", json!({})).await.expect(201);
        redeemed["token"].as_str().unwrap().to_owned()
    }

    /// A token of the member `mel`.
    async fn token(&self, body: Value) -> String {
        let made = self.ask(Who::Member, "POST", "/v1/tokens", body).await.expect(201);
        made["token"].as_str().unwrap().to_owned()
    }

    /// The credential in a new ticket of the member `mel`.
    pub async fn ticket(&self, body: Value) -> String {
        let made = self.ask(Who::Member, "POST", "/v1/tickets", body).await.expect(201);
        BootTicket::parse(made["ticket"].as_str().unwrap()).unwrap().credential().to_text().to_string()
    }

    pub async fn ask(&self, who: Who, method: &str, path: &str, body: Value) -> Answer {
        self.ask_as(self.credential(who), method, path, body).await
    }

    pub async fn ask_as(&self, credential: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !credential.is_empty() {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        if request.extensions().get::<Peer>().is_none() {
            request.extensions_mut().insert(Peer::Network(IpAddr::from(SOURCE)));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
