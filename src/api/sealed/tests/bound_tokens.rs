//! Tokens that are bound to the key of a proof: who may use which, and what of their refusal is signed.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::*;
use crate::crypto::memory::Key32;
use crate::crypto::sealed_release::thumbprint;
use crate::domain::id::IdentityId;
use crate::domain::jwt::{IssuerSpec, JwtAlgorithm};
use crate::store::NewIdentity;

/// A store with an identity of a machine, and the issuer that the store trusts.
struct Trusting {
    served: Served,
    issuer: Ed25519KeyPair,
    identity: IdentityId,
}

impl Trusting {
    async fn new() -> Self {
        let served = Served::default().await;
        let issuer = Ed25519KeyPair::generate().unwrap();
        let x = BASE64URL_NOPAD.encode(issuer.public_key().as_ref());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "kid": "k" }] });
        let spec = IssuerSpec {
            url: "https://issuer.example".parse().unwrap(),
            algorithms: BTreeSet::from([JwtAlgorithm::EdDsa]),
            authorities: None,
            keys: Some(keys.to_string()),
        };
        let name = "issuer".parse().unwrap();
        served.store.put_issuer(&served.admin, &name, spec).await.unwrap();
        let new = NewIdentity {
            limits: NewTicket::default(),
            template: "gcp".to_owned(),
            issuer: Some(name),
            audience: None,
            claims: [("project-number".to_owned(), "7".to_owned())].into(),
            for_each: None,
            single_use: false,
        };
        let created = served.store.create_identity(&served.admin, new, None).await.unwrap();
        let identity = created.grant.id.into();
        Self { served, issuer, identity }
    }

    /// A token, which is bound to the public key of `seed` if there is one.
    fn token(&self, project: &str, seed: Option<&Key32>) -> String {
        let bound =
            seed.map(|seed| format!("#{}", thumbprint(&Prover::public_key(seed)))).unwrap_or_default();
        let now = SystemClock.now().as_millis() / 1000;
        let claims = json!({
            "iss": "https://issuer.example", "sub": "1", "iat": now, "exp": now + 600,
            "aud": format!("dropsafe:{}{bound}", self.served.store.id()),
            "google": { "compute_engine": { "project_number": project } },
        });
        let encode = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!(
            "{}.{}",
            encode(json!({ "alg": "EdDSA", "kid": "k" }).to_string()),
            encode(claims.to_string())
        );
        let signature = BASE64URL_NOPAD.encode(self.issuer.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }

    /// A boot with a token, proven with the key of `seed`.
    async fn boot(&self, token: &str, seed: Key32) -> (Request<Body>, PendingAnswer) {
        let prover =
            Prover::of_token(self.identity, token, seed, self.served.store.answer_key().await.unwrap());
        let millis = u64::try_from(SystemClock.now().as_millis()).unwrap();
        let target = RequestTarget { method: "POST", path: paths::BOOT, attempt: Some("attempt") };
        let time = ProofTime { millis, challenge: None };
        let (proof, pending) = prover.prove(target, b"{}", time, &mut Kernel).unwrap();
        let mut request = boot_request(&proof, "{}");
        request.headers_mut().insert("dropsafe-token", token.parse().unwrap());
        (request, pending)
    }

    fn bearer(&self, token: &str) -> Request<Body> {
        Request::post(paths::BOOT)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("dropsafe-identity", self.identity.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .unwrap()
    }
}

fn seed(number: u8) -> Key32 {
    Key32::copy_of(&[number; 32])
}

/// The key and the thumbprint of RFC 8037, appendix A.3.
#[test]
fn the_thumbprint_is_that_of_the_standard() {
    let key = BASE64URL_NOPAD.decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert_eq!(thumbprint(&key.try_into().unwrap()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[tokio::test]
async fn a_token_boots_with_the_key_that_it_is_bound_to_and_once() {
    let trusting = Trusting::new().await;
    let token = trusting.token("7", Some(&seed(1)));
    let (request, pending) = trusting.boot(&token, seed(1)).await;
    let (parts, _) = request.into_parts();
    let again = || Request::from_parts(parts.clone(), Body::from("{}"));
    let opened = trusting.served.send(again()).await.open(pending);
    assert_eq!(opened.content().status, 200);
    serde_json::from_slice::<crate::wire::BootResponse>(opened.content().body).unwrap();
    assert_eq!(trusting.served.send(again()).await.unsigned_code(), Code::UsedProof);
    // Without its key it is of no use, and a token without a key is none beside a proof.
    assert_eq!(trusting.served.send(trusting.bearer(&token)).await.unsigned_code(), Code::Unauthorized);
    let plain = trusting.token("7", None);
    assert_eq!(trusting.served.send(trusting.bearer(&plain)).await.status, StatusCode::OK);
    let (request, pending) = trusting.boot(&plain, seed(1)).await;
    assert_eq!(trusting.served.send(request).await.signed_code(pending), Code::Unauthorized);
}

#[tokio::test]
async fn refusals_of_a_token_are_signed_for_its_own_machine_only() {
    let trusting = Trusting::new().await;
    // Of another project, and bound to another key.
    for token in [trusting.token("8", Some(&seed(1))), trusting.token("7", Some(&seed(2)))] {
        let (request, pending) = trusting.boot(&token, seed(1)).await;
        assert_eq!(trusting.served.send(request).await.signed_code(pending), Code::Unauthorized);
    }
    // What somebody in between puts in its place says nothing about the agent's.
    let token = trusting.token("7", Some(&seed(1)));
    for other in [None, Some(trusting.token("8", Some(&seed(1))))] {
        let (mut request, _) = trusting.boot(&token, seed(1)).await;
        match other {
            Some(other) => request.headers_mut().insert("dropsafe-token", other.parse().unwrap()),
            None => request.headers_mut().remove("dropsafe-token"),
        };
        assert_eq!(trusting.served.send(request).await.unsigned_code(), Code::Unauthorized);
    }
    let (mut request, pending) = trusting.boot(&token, seed(1)).await;
    change_proof(&mut request, |proof| proof.signature[5] ^= 1);
    assert!(pending.open(&trusting.served.send(request).await.body).is_err());
    // With the whole token, but a proof of their own key.
    let (request, pending) = trusting.boot(&token, seed(3)).await;
    assert_eq!(trusting.served.send(request).await.signed_code(pending), Code::Unauthorized);
}

#[tokio::test]
async fn no_bearer_token_is_taken_behind_a_tls_terminator() {
    let trusting = Trusting::new().await;
    let token = trusting.token("7", None);
    for people in [false, true] {
        let mut request = trusting.bearer(&token);
        request.extensions_mut().insert(TlsTerminated { people });
        assert_eq!(trusting.served.send(request).await.unsigned_code(), Code::Forbidden);
    }
    let token = trusting.token("7", Some(&seed(1)));
    let (mut request, pending) = trusting.boot(&token, seed(1)).await;
    request.extensions_mut().insert(TlsTerminated { people: false });
    assert_eq!(trusting.served.send(request).await.open(pending).content().status, 200);
}
