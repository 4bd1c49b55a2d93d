//! A proxy that terminates TLS sees no credential and no value, replays nothing, and answers nothing in the store's place.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use dropsafe::domain::credential::Credential;
use dropsafe::domain::ticket::BootTicket;
use hpke::{Deserializable as _, Serializable as _};
use sha2::{Digest as _, Sha256};

use super::harness::{DROPSAFE, Ran, Site, bare, feed, free_port, holds_piece};
use super::tls_proxy::{Message, Store, TlsProxy, pass_on};

const CANARY: &str = "sk-canary-8c1f0d5e97b34a62";

/// A site whose machines reach it through a proxy that terminates TLS.
struct ProxiedSite {
    site: Site,
    proxy: TlsProxy,
    store: Store,
}

impl ProxiedSite {
    fn new() -> Self {
        let mut site = Site::new();
        let (port, listener) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
        let public = listener.local_addr().unwrap().port();
        let config = site.data().join("server.yaml");
        let listeners = format!(
            "\nlisteners:\n  - address: 127.0.0.1:{port}\n    tls: terminated\n    advertise: [localhost:{public}]\n"
        );
        fs::write(&config, fs::read_to_string(&config).unwrap() + &listeners).unwrap();
        site.serve_unlocked();
        let store = Store::new(port);
        let proxy = TlsProxy::start(listener, store, site.folder.path());
        Self { site, proxy, store }
    }

    /// A ticket that knows the store by its answer key alone.
    fn ticket(&self, flags: &[&str]) -> String {
        let text = self.site.ticket("admin", flags);
        let ticket = BootTicket::parse(&text).unwrap();
        let url = format!("https://localhost:{}", self.proxy.port);
        let urls: Vec<_> = ticket.urls().iter().filter(|own| **own == url).cloned().collect();
        assert_eq!((urls.len(), ticket.pins()), (1, None), "{:?}", ticket.urls());
        // The server's own address, with its pin, is a way around the proxy.
        with_urls(&ticket, urls)
    }

    fn agent(&self, ticket: &str, arguments: &[&str]) -> Ran {
        let authority = self.proxy.authority.to_str().unwrap();
        let cache = self.site.folder.path().join("cache");
        let environment = [("DROPSAFE_CA", authority), ("DROPSAFE_CACHE_DIR", cache.to_str().unwrap())];
        self.site.agent(ticket, arguments, &environment)
    }

    fn boots(&self) -> Vec<serde_json::Value> {
        self.site.cli(&["boots", "--json"]).ok().json().as_array().unwrap().clone()
    }
}

fn with_urls(ticket: &BootTicket, urls: Vec<String>) -> String {
    let credential = Credential::parse(&ticket.credential().to_text()).unwrap();
    let own = BootTicket::new(urls, None, credential).unwrap();
    own.with_answer_key(ticket.location().answer_key().unwrap()).to_text().to_string()
}

#[test]
fn a_proxy_sees_neither_a_credential_nor_a_value_of_a_whole_life_of_a_boot() {
    let proxied = ProxiedSite::new();
    proxied.site.set("api-key", CANARY, &[]).ok();
    let text = proxied.ticket(&[]);
    let printed = proxied.agent(&text, &["exec", "--init", "--", "sh", "-c", "printenv API_KEY; exit 7"]);
    assert_eq!((printed.status.code(), printed.out.trim()), (Some(7), CANARY), "{}", printed.err);
    proxied.agent(&text, &["explain"]).ok();
    proxied.agent(&text, &["check"]).ok();
    // Requiring a name asks for an explanation first, and a boot that fails afterwards reports its end.
    proxied.agent(&text, &["exec", "--require", "API_KEY", "--", "true"]).ok();
    proxied.agent(&text, &["exec", "--", "true"]).ok();
    let until = Instant::now() + Duration::from_secs(20);
    let boots = loop {
        let boots = proxied.boots();
        let settled = boots.iter().all(|boot| boot["state"] != "presumed_running");
        if settled || Instant::now() > until {
            break boots;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(boots.len(), 3);
    assert_eq!((&boots[2]["state"], &boots[2]["end"]["status"]), (&"ended".into(), &7.into()));
    assert!(boots[..2].iter().all(|boot| boot["state"] == "running"), "{boots:?}");

    let seen = proxied.proxy.seen();
    let paths: Vec<_> = proxied.proxy.requests().iter().map(|request| request.path().to_owned()).collect();
    for expected in ["/v1/boot", "/v1/boot/explain", "/report", "/end"] {
        assert!(paths.iter().any(|path| path.ends_with(expected)), "{expected} did not pass: {paths:?}");
    }
    // The secret part of the ticket in each form in which it is written anywhere.
    let bytes = BASE32_NOPAD.decode(text[4..].to_ascii_uppercase().as_bytes()).unwrap();
    let secret = &bytes[17..49];
    let credential = BootTicket::parse(&text).unwrap().credential().to_text().to_string();
    for needle in [
        CANARY.as_bytes(),
        BASE64.encode(CANARY.as_bytes()).as_bytes(),
        text.as_bytes(),
        credential.as_bytes(),
        secret,
        BASE64URL_NOPAD.encode(secret).as_bytes(),
    ] {
        assert_eq!(holds_piece(&seen, needle), None);
    }
    // What ends a boot, and every bearer secret.
    for prefix in ["dsb_", "dsc_", "dst_", "Bearer dsm_"] {
        assert!(!seen.windows(prefix.len()).any(|window| window == prefix.as_bytes()), "{prefix}");
    }
    assert!(seen.windows(14).any(|window| window == b"Dropsafe-Proof"), "nothing was recorded");
}

#[test]
fn a_recorded_request_gets_nothing_again_not_even_after_a_restart() {
    let mut proxied = ProxiedSite::new();
    proxied.site.set("api-key", CANARY, &[]).ok();
    let text = proxied.ticket(&["--uses", "2"]);
    proxied.agent(&text, &["exec", "--", "true"]).ok();
    let recorded = proxied.proxy.requests();
    let used = |proxied: &ProxiedSite| {
        let tickets = proxied.site.cli(&["ticket", "list", "--json"]).ok().json();
        (tickets[0]["used"].clone(), proxied.boots().len())
    };
    assert_eq!(used(&proxied), (1.into(), 1));
    for restart in [false, true] {
        if restart {
            assert!(proxied.site.stop().success());
            proxied.site.serve_unlocked();
        }
        for request in recorded.iter().filter(|request| request.header("authorization").is_some()) {
            let answer = proxied.store.ask(request);
            assert!(answer.head.starts_with("HTTP/1.1 409"), "{}", answer.head);
            assert!(answer.body.windows(10).any(|window| window == b"used_proof"));
            assert!(answer.body.len() < 1000 && holds_piece(&answer.body, CANARY.as_bytes()).is_none());
        }
        assert_eq!(used(&proxied), (1.into(), 1));
    }
}

/// Everything that a proxy can say of its own, or damage.
#[test]
fn what_a_proxy_changes_is_an_outage_and_keeps_the_cache() {
    let proxied = ProxiedSite::new();
    proxied.site.set("api-key", CANARY, &[]).ok();
    let text = proxied.ticket(&[]);
    let cached = ["exec", "--on-outage", "cache", "--deadline", "1s", "--", "printenv", "API_KEY"];
    let plain = ["exec", "--deadline", "1s", "--", "true"];
    proxied.agent(&text, &cached).ok();
    let earlier = proxied.store.ask(&proxied.proxy.requests()[0]);
    let problem = |code: &str, status: u16| {
        let body = format!(
            r#"{{"type":"urn:dropsafe:problem:{code}","title":"","status":{status},"code":"{code}","detail":""}}"#
        );
        Message::new(
            &format!("HTTP/1.1 {status} X\r\ncontent-type: application/problem+json"),
            body.as_bytes(),
        )
    };
    let answer_key = BootTicket::parse(&text).unwrap().location().answer_key().unwrap().0;
    type Trick = Box<dyn Fn(&Store, &Message) -> Option<Message> + Send + Sync>;
    let flip = |at: usize| -> Trick {
        Box::new(move |store, request| {
            let mut answer = store.ask(request);
            let at = at % answer.body.len();
            answer.body[at] ^= 1;
            Some(answer)
        })
    };
    let fixed = |answer: Message| -> Trick { Box::new(move |_, _| Some(answer.clone())) };
    let tricks: Vec<(&str, Trick)> = vec![
        ("a denial", fixed(problem("revoked", 401))),
        ("a spent ticket", fixed(problem("ticket_spent", 403))),
        ("a locked store", fixed(problem("locked", 503))),
        ("a plain release", fixed(Message::new("HTTP/1.1 200 X\r\ncontent-type: application/json", b"{}"))),
        ("a redirect", fixed(Message::new("HTTP/1.1 302 X\r\nlocation: https://localhost:1", b""))),
        ("an earlier answer", fixed(earlier)),
        ("no answer", Box::new(|_, _| None)),
        ("another version", flip(0)),
        ("another statement", flip(1)),
        ("another encapsulated key", flip(40)),
        ("another signature", flip(1 + 32 + 1120)),
        ("another ciphertext", flip(1 + 32 + 1120 + 64 + 5)),
        (
            "an answer that is cut",
            Box::new(|store, request| {
                let answer = store.ask(request);
                let cut = &answer.body[..answer.body.len() - 1];
                Some(Message::new("HTTP/1.1 200 X\r\ncontent-type: application/vnd.dropsafe.sealed", cut))
            }),
        ),
        (
            "a request without its proof",
            Box::new(|store, request| {
                let head: String = request
                    .head
                    .split_inclusive("\r\n")
                    .filter(|line| !line.to_ascii_lowercase().starts_with("authorization:"))
                    .collect();
                Some(store.ask(&Message { head, body: request.body.clone() }))
            }),
        ),
        (
            // The store's own refusal of a request that the agent has not made.
            "the refusal of a damaged signature",
            Box::new(|store, request| {
                Some(store.ask(&with_proof(request, |proof| *proof.last_mut().unwrap() ^= 1)))
            }),
        ),
        (
            "the refusal of another body",
            Box::new(|store, request| {
                let mut request = request.clone();
                request.body[0] = b' ';
                Some(store.ask(&request))
            }),
        ),
        (
            "the answer to another one-time key",
            Box::new(|store, request| Some(store.ask(&with_proof(request, |proof| proof[200] ^= 1)))),
        ),
        (
            "an answer that the proxy seals itself",
            Box::new(move |_, request| Some(seal(request, answer_key))),
        ),
    ];
    for (what, trick) in tricks {
        proxied.proxy.behave(trick);
        let ran = proxied.agent(&text, &plain);
        assert_eq!(ran.status.code(), Some(69), "{what}: {}", ran.err);
        // The proxy has built all of the answer but the signature.
        let only_the_signature = what.ends_with("seals itself");
        assert!(!only_the_signature || ran.err.contains("is not signed with the store's key"), "{}", ran.err);
        let ran = proxied.agent(&text, &cached).ok();
        assert_eq!(ran.out.trim(), CANARY, "{what}: the cache is gone: {}", ran.err);
    }
    // None of them was a boot that the agent did not ask for, and the store is as it was.
    proxied.proxy.behave(pass_on);
    proxied.agent(&text, &plain).ok();
    // The store's own refusal counts, and destroys the cache.
    let id = BootTicket::parse(&text).unwrap().credential().ticket_id().to_string();
    proxied.site.cli(&["ticket", "revoke", &id]).ok();
    proxied.agent(&text, &cached).fails(77, &["revoked"]);
    proxied.proxy.behave(|_, _| None);
    assert_eq!(proxied.agent(&text, &cached).status.code(), Some(69));
}

#[test]
fn the_listener_serves_machines_that_prove_themselves_and_nobody_else() {
    let proxied = ProxiedSite::new();
    let text = proxied.ticket(&[]);
    let ticket = BootTicket::parse(&text).unwrap();
    let url = format!("https://localhost:{}", proxied.proxy.port);
    let authority = proxied.proxy.authority.to_str().unwrap();
    let people = |arguments: &[&str], input: &[u8]| {
        let mut command = bare(DROPSAFE, proxied.site.folder.path());
        let token = if arguments[0] == "unlock" { &proxied.site.operator } else { &proxied.site.admin };
        command.args(arguments).env("DROPSAFE_URL", &url).env("DROPSAFE_CA", authority);
        command.env("DROPSAFE_TOKEN", token);
        Ran::of(feed(command, input))
    };
    people(&["list"], b"").fails(77, &["nobody else"]);
    // The proxy is on this machine, so that the client would send it.
    people(&["unlock"], b"correct horse").fails(77, &["nobody else"]);
    let bearer = format!(
        "POST /v1/boot HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {}",
        *ticket.credential().to_text()
    );
    let answer = proxied.store.ask(&Message::new(&bearer, b"{}"));
    assert!(answer.head.starts_with("HTTP/1.1 403"), "{}", answer.head);
    let health = proxied.store.ask(&Message::new("GET /healthz HTTP/1.1\r\nhost: localhost", b""));
    assert!(health.head.starts_with("HTTP/1.1 200"), "{}", health.head);

    // A ticket of an older version, which has no answer key.
    let credential = Credential::parse(&ticket.credential().to_text()).unwrap();
    let older = BootTicket::new(ticket.urls().to_vec(), None, credential).unwrap().to_text();
    let before = proxied.proxy.requests().len();
    proxied.agent(&older, &["exec", "--", "true"]).fails(78, &["answer key", "ticket new"]);
    assert_eq!(proxied.proxy.requests().len(), before);
}

/// The request with its proof changed.
fn with_proof(request: &Message, change: impl Fn(&mut Vec<u8>)) -> Message {
    let text = request.header("authorization").unwrap().strip_prefix("Dropsafe-Proof ").unwrap();
    let mut proof = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    change(&mut proof);
    Message { head: request.head.replace(text, &BASE64URL_NOPAD.encode(&proof)), body: request.body.clone() }
}

/// What somebody who knows the protocol, the request and the store's public key can build: everything but the signature.
fn seal(request: &Message, answer_key: [u8; 32]) -> Message {
    type Aead = hpke::aead::ChaCha20Poly1305;
    type Kdf = hpke::kdf::HkdfSha256;
    type Kem = hpke::kem::XWing;
    let text = request.header("authorization").unwrap().strip_prefix("Dropsafe-Proof ").unwrap();
    let proof = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    // As docs/identities.md and the module describe it: an identity, and no challenge.
    let (subject, millis, body) = (&proof[1..18], &proof[18..26], &proof[27..59]);
    let (one_time_key, signature) = (&proof[59..59 + 1216], &proof[59 + 1216..]);
    let attempt = [&[1], request.header("idempotency-key").unwrap().as_bytes()].concat();
    let parts: [&[u8]; 10] = [
        b"dropsafe request v1",
        &answer_key,
        subject,
        b"POST",
        request.path().as_bytes(),
        millis,
        &[0],
        &attempt,
        body,
        one_time_key,
    ];
    let hash = Sha256::digest(list(&parts));
    let recipient = <Kem as hpke::Kem>::PublicKey::from_bytes(one_time_key).unwrap();
    let (enc, mut context) = hpke::setup_sender_with_rng::<Aead, Kdf, Kem>(
        &hpke::OpModeS::Base,
        &recipient,
        b"dropsafe sealed answer v1",
        &mut Zeros,
    )
    .unwrap();
    let plaintext = [&401_u16.to_be_bytes()[..], &[0xff; 4], br#"{"code":"revoked"}"#].concat();
    let ciphertext = context.seal(&plaintext, &hash).unwrap();
    let own = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    assert_ne!(own.public_key().as_ref(), answer_key);
    let enc = enc.to_bytes();
    let signed = list(&[b"dropsafe answer v1", &hash, signature, &enc, &Sha256::digest(&ciphertext)]);
    let body = [&[1], hash.as_slice(), &enc, own.sign(&signed).as_ref(), &ciphertext].concat();
    Message::new("HTTP/1.1 200 X\r\ncontent-type: application/vnd.dropsafe.sealed", &body)
}

/// Parts, each after its length.
fn list(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
}

/// Randomness for a proxy that has nothing to hide.
struct Zeros;

impl hpke::rand_core::TryRng for Zeros {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(0);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Zeros {}
