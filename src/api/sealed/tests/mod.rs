//! Which responses are signed: those that follow from what the agent has proven, and no others.

mod bound_tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::api::limits::LimitSettings;
use crate::api::{Api, ApiConfig, Peer, TlsTerminated};
use crate::crypto::random::Kernel;
use crate::crypto::sealed_release::ONE_TIME_KEY;
use crate::crypto::sealed_release::proof::RequestProof;
use crate::crypto::sealed_release::prover::{OpenedAnswer, PendingAnswer, ProofTime, Prover};
use crate::crypto::sealed_release::statement::RequestTarget;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::time::Timestamp;
use crate::oidc::{EgressPolicy, IssuerKeys};
use crate::signin::Providers;
use crate::store::{Caller, Clock as _, KernelEntropy, NewTicket, Store, SystemClock};
use crate::wire::{Code, parse_challenge, paths};

/// The API over a store in memory.
struct Served {
    router: Router,
    store: Store,
    admin: Caller,
    operator: Caller,
}

/// A response before anything of it is trusted.
struct Received {
    status: StatusCode,
    media_type: String,
    challenge: Option<[u8; 24]>,
    body: Vec<u8>,
}

impl Received {
    /// The code of a response that is not sealed.
    #[track_caller]
    fn unsigned_code(&self) -> Code {
        assert_eq!(self.media_type, "application/problem+json");
        serde_json::from_slice::<crate::wire::Problem>(&self.body).unwrap().code
    }

    #[track_caller]
    fn open(&self, pending: PendingAnswer) -> OpenedAnswer {
        assert_eq!((self.status.as_u16(), &*self.media_type), (200, "application/vnd.dropsafe.sealed"));
        pending.open(&self.body).unwrap()
    }

    /// The code of a signed refusal.
    #[track_caller]
    fn signed_code(&self, pending: PendingAnswer) -> Code {
        let opened = self.open(pending);
        let problem: crate::wire::Problem = serde_json::from_slice(opened.content().body).unwrap();
        assert_eq!(problem.status, opened.content().status);
        problem.code
    }
}

impl Served {
    async fn new(limits: LimitSettings) -> Self {
        let made = Store::in_memory().await;
        let store = made.store;
        let admin = store.authenticate(&made.admin_token, None).await.unwrap();
        let operator = store.authenticate(&made.operator_token, None).await.unwrap();
        let random = Arc::new(KernelEntropy);
        let issuers = IssuerKeys::new(EgressPolicy::default());
        let config = ApiConfig {
            store: store.clone(),
            random,
            urls: vec![],
            pins: None,
            providers: Providers::default(),
            limits,
            issuers,
        };
        Self { router: Api::new(config).router(), store, admin, operator }
    }

    async fn default() -> Self {
        Self::new(LimitSettings::default()).await
    }

    async fn ticket(&self, new: NewTicket) -> Credential {
        self.store.create_ticket(&self.admin, new, None).await.unwrap().credential
    }

    async fn prover(&self, credential: &Credential) -> Prover {
        Prover::of_credential(credential, self.store.answer_key().await.unwrap()).unwrap()
    }

    /// A boot that a machine proves with this credential.
    async fn boot(&self, credential: &Credential) -> (Request<Body>, PendingAnswer) {
        let millis = u64::try_from(SystemClock.now().as_millis()).unwrap();
        self.boot_at(credential, ProofTime { millis, challenge: None }).await
    }

    async fn boot_at(&self, credential: &Credential, time: ProofTime) -> (Request<Body>, PendingAnswer) {
        let target = RequestTarget { method: "POST", path: paths::BOOT, attempt: Some("attempt") };
        let (proof, pending) = self.prover(credential).await.prove(target, b"{}", time, &mut Kernel).unwrap();
        (boot_request(&proof, "{}"), pending)
    }

    async fn send(&self, mut request: Request<Body>) -> Received {
        request.extensions_mut().insert(Peer::Network(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let text = |name| response.headers().get(&name).map(|value| value.to_str().unwrap().to_owned());
        let challenge = text(header::WWW_AUTHENTICATE).and_then(|value| parse_challenge(&value));
        let (status, media_type) = (response.status(), text(header::CONTENT_TYPE).unwrap_or_default());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Received { status, media_type, challenge, body }
    }
}

fn boot_request(proof: &str, body: &'static str) -> Request<Body> {
    Request::post(paths::BOOT)
        .header(header::AUTHORIZATION, format!("Dropsafe-Proof {proof}"))
        .header("idempotency-key", "attempt")
        .body(Body::from(body))
        .unwrap()
}

/// Changes the text of the proof.
fn change_proof(request: &mut Request<Body>, change: impl FnOnce(&mut RequestProof)) {
    let value = request.headers()[header::AUTHORIZATION].to_str().unwrap();
    let mut proof = RequestProof::parse(value.strip_prefix("Dropsafe-Proof ").unwrap()).unwrap();
    change(&mut proof);
    let value = format!("Dropsafe-Proof {}", proof.to_text()).parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
}

#[tokio::test]
async fn a_boot_is_answered_sealed_whatever_its_other_headers_say() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket::default()).await;
    // The body is proven. What a proxy says of it is not.
    for (name, value) in
        [("content-type", "text/plain"), ("content-encoding", "gzip"), ("x-forwarded-for", "192.0.2.1")]
    {
        let (mut request, pending) = served.boot(&credential).await;
        request.headers_mut().insert(name, value.parse().unwrap());
        let opened = served.send(request).await.open(pending);
        let content = opened.content();
        assert_eq!(content.status, 200, "{name}");
        serde_json::from_slice::<crate::wire::BootResponse>(content.body).unwrap();
    }
}

#[tokio::test]
async fn refusals_of_what_was_proven_are_signed() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket { uses: Some(1), ..NewTicket::default() }).await;
    served.store.lock(&served.operator).await.unwrap();
    let (request, pending) = served.boot(&credential).await;
    let received = served.send(request).await;
    let opened = received.open(pending);
    assert_eq!((opened.content().status, opened.content().retry_after), (503, Some(5)));
    let (request, pending) = served.boot(&credential).await;
    served.store.revoke_ticket(&served.admin, credential.ticket_id()).await.unwrap();
    assert_eq!(served.send(request).await.signed_code(pending), Code::Revoked);
    let unknown = Credential::new(CredentialKind::Ticket, [1; 16], zeroize::Zeroizing::new([2; 32]));
    let (request, pending) = served.boot(&unknown).await;
    assert_eq!(served.send(request).await.signed_code(pending), Code::Unauthorized);
    // A request that the store understands and refuses.
    let other = served.ticket(NewTicket::default()).await;
    let target = RequestTarget { method: "POST", path: paths::BOOT, attempt: Some("attempt") };
    let millis = u64::try_from(SystemClock.now().as_millis()).unwrap();
    let body = r#"{"unknown":1}"#;
    let proven = served.prover(&other).await.prove(
        target,
        body.as_bytes(),
        ProofTime { millis, challenge: None },
        &mut Kernel,
    );
    let (proof, pending) = proven.unwrap();
    assert_eq!(served.send(boot_request(&proof, body)).await.signed_code(pending), Code::InvalidRequest);
}

#[tokio::test]
async fn what_somebody_in_between_can_cause_is_not_signed() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket::default()).await;
    let code = async |request| served.send(request).await.unsigned_code();
    // Another body.
    let (request, _) = served.boot(&credential).await;
    let (parts, _) = request.into_parts();
    assert_eq!(code(Request::from_parts(parts, Body::from("{ }"))).await, Code::InvalidRequest);
    // A body that is too large, and one that is cut.
    let (mut request, _) = served.boot(&credential).await;
    request.headers_mut().insert(header::CONTENT_LENGTH, "99999999".parse().unwrap());
    assert_eq!(code(request).await, Code::PayloadTooLarge);
    // Two credentials, of which another program may have checked the other one.
    let (mut request, _) = served.boot(&credential).await;
    request.headers_mut().append(header::AUTHORIZATION, "Bearer dsm_x".parse().unwrap());
    assert_eq!(code(request).await, Code::Unauthorized);
    // The same request again.
    let (request, pending) = served.boot(&credential).await;
    let (parts, _) = request.into_parts();
    let again = || Request::from_parts(parts.clone(), Body::from("{}"));
    assert_eq!(served.send(again()).await.open(pending).content().status, 200);
    assert_eq!(code(again()).await, Code::UsedProof);
    // Another place.
    let elsewhere = NewTicket { sources: vec!["192.0.2.0/24".parse().unwrap()], ..NewTicket::default() };
    let credential = served.ticket(elsewhere).await;
    let (request, _) = served.boot(&credential).await;
    assert_eq!(code(request).await, Code::SourceNotAllowed);
    // Nothing can be sealed to it.
    let (mut request, _) = served.boot(&credential).await;
    change_proof(&mut request, |proof| *proof.parts.one_time_key = [0xff; ONE_TIME_KEY]);
    assert_eq!(code(request).await, Code::InvalidRequest);
}

/// A refusal is true of the request with its damaged signature, and says nothing about the one that the agent has sent.
#[tokio::test]
async fn the_refusal_of_a_damaged_request_is_no_answer_to_the_agent() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket::default()).await;
    let damages: [fn(&mut RequestProof); 5] = [
        |proof| proof.signature[5] ^= 1,
        |proof| proof.parts.millis += 1,
        |proof| proof.parts.body_digest[0] ^= 1,
        |proof| proof.parts.one_time_key[1200] ^= 1,
        |proof| {
            let other = Credential::new(CredentialKind::Ticket, [9; 16], zeroize::Zeroizing::new([2; 32]));
            proof.parts.subject = crate::crypto::sealed_release::statement::ProofSubject::of(&other).unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let (mut request, pending) = served.boot(&credential).await;
        change_proof(&mut request, damage);
        let received = served.send(request).await;
        assert!(pending.open(&received.body).is_err(), "{number}");
    }
}

#[tokio::test]
async fn a_wrong_clock_gets_a_challenge_with_which_the_request_is_answered() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket::default()).await;
    let (request, _) = served.boot_at(&credential, ProofTime { millis: 7, challenge: None }).await;
    let received = served.send(request).await;
    assert_eq!((received.status.as_u16(), received.unsigned_code()), (401, Code::StaleProof));
    let challenge = received.challenge;
    assert!(challenge.is_some());
    let (request, pending) = served.boot_at(&credential, ProofTime { millis: 7, challenge }).await;
    assert_eq!(served.send(request).await.open(pending).content().status, 200);
    assert!(SystemClock.now() > Timestamp::from_millis(7));
}

#[tokio::test]
async fn strangers_get_few_signatures() {
    let served = Served::new(LimitSettings { guesses: 3, ..LimitSettings::default() }).await;
    let credential = served.ticket(NewTicket::default()).await;
    let stranger = Credential::new(CredentialKind::Ticket, credential.id, zeroize::Zeroizing::new([2; 32]));
    let mut signed = 0;
    for _ in 0..10 {
        let (request, pending) = served.boot(&stranger).await;
        let received = served.send(request).await;
        match received.status {
            StatusCode::TOO_MANY_REQUESTS => assert_eq!(received.unsigned_code(), Code::RateLimited),
            _ => {
                assert_eq!(received.signed_code(pending), Code::Unauthorized);
                signed += 1;
            }
        }
    }
    assert_eq!(signed, 3);
    // Whoever has the key is not affected by them.
    let (request, pending) = served.boot(&credential).await;
    assert_eq!(served.send(request).await.open(pending).content().status, 200);
}

#[tokio::test]
async fn no_text_of_a_stranger_is_a_proof() {
    let served = Served::default().await;
    for text in ["", " ", "x", "AQ", &"A".repeat(1870), &"A".repeat(15_000), "\u{7f}"] {
        let mut request = boot_request("", "{}");
        let value = http::HeaderValue::from_bytes(format!("Dropsafe-Proof {text}").as_bytes());
        let Ok(value) = value else { continue };
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let received = served.send(request).await;
        assert!(matches!(received.status.as_u16(), 401 | 429), "{text:?}: {}", received.status);
    }
    // On a route that takes none, it is no credential.
    let request = Request::get(paths::SECRETS).header(header::AUTHORIZATION, "Dropsafe-Proof AQ");
    let received = served.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(received.unsigned_code(), Code::Unauthorized);
}

#[tokio::test]
async fn a_listener_behind_a_tls_terminator_serves_what_it_may() {
    let served = Served::default().await;
    let credential = served.ticket(NewTicket::default()).await;
    let status = async |people, mut request: Request<Body>| {
        request.extensions_mut().insert(TlsTerminated { people });
        served.send(request).await.status.as_u16()
    };
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    for people in [false, true] {
        let (request, _) = served.boot(&credential).await;
        assert_eq!(status(people, request).await, 200);
        assert_eq!(status(people, get(paths::HEALTHZ)).await, 200);
        assert_eq!(status(people, get(paths::READYZ)).await, 200);
        let bearer = format!("Bearer {}", *credential.to_text());
        let request = Request::post(paths::BOOT).header(header::AUTHORIZATION, bearer);
        assert_eq!(status(people, request.body(Body::from("{}")).unwrap()).await, 403);
        // Neither with a credential nor without one.
        for (method, path) in [
            (Method::POST, paths::UNLOCK),
            (Method::POST, paths::KEYSLOTS),
            (Method::POST, "/console/status/unlock"),
            (Method::POST, "/console/status/keyslots"),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(status(people, request).await, 403, "{path}");
        }
    }
    for path in [paths::SECRETS, paths::METRICS, paths::OPENAPI, "/console/", "/", "/nowhere"] {
        assert_eq!(status(false, get(path)).await, 403, "{path}");
        assert_ne!(status(true, get(path)).await, 403, "{path}");
    }
}
