//! A test issuer: an OpenID Connect provider on loopback with a certificate authority of its own. It signs whatever a test asks
//! for, changes its keys, and misbehaves on demand. Shared with the suites in `tests/`.
#![expect(clippy::disallowed_methods, reason = "an issuer that is slow sleeps")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaEncoding, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};

/// The path of the metadata.
pub const METADATA: &str = "/.well-known/openid-configuration";
/// The path of the keys.
pub const KEYS: &str = "/keys";
/// The names in the certificate, besides the loopback addresses.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "issuer.example"];

/// A key that tokens are signed with.
#[derive(Clone)]
pub struct TestKey {
    pub id: String,
    pair: Arc<TestKeyPair>,
}

enum TestKeyPair {
    Rsa(&'static RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// RSA keys are made once, because each takes a tenth of a second or more.
fn rsa_pair(number: usize) -> &'static RsaKeyPair {
    static PAIRS: [OnceLock<RsaKeyPair>; 3] = [const { OnceLock::new() }; 3];
    PAIRS[number].get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

impl TestKey {
    /// `number` is 0, 1 or 2: three different keys.
    pub fn rsa(id: &str, number: usize) -> Self {
        Self::new(id, TestKeyPair::Rsa(rsa_pair(number)))
    }

    pub fn p256(id: &str) -> Self {
        Self::new(id, TestKeyPair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()))
    }

    pub fn p384(id: &str) -> Self {
        Self::new(id, TestKeyPair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()))
    }

    pub fn ed25519(id: &str) -> Self {
        Self::new(id, TestKeyPair::Ed25519(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(id: &str, pair: TestKeyPair) -> Self {
        Self { id: id.to_owned(), pair: Arc::new(pair) }
    }

    /// The usual algorithm of a key of this kind.
    pub fn algorithm(&self) -> &'static str {
        match &*self.pair {
            TestKeyPair::Rsa(_) => "RS256",
            TestKeyPair::P256(_) => "ES256",
            TestKeyPair::P384(_) => "ES384",
            TestKeyPair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let point = |curve: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y), "use": "sig", "kid": self.id })
        };
        match &*self.pair {
            TestKeyPair::Rsa(pair) => json!({
                "kty": "RSA",
                "n": text(pair.public_key().modulus().big_endian_without_leading_zero()),
                "e": text(pair.public_key().exponent().big_endian_without_leading_zero()),
                "use": "sig",
                "kid": self.id,
            }),
            TestKeyPair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            TestKeyPair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            TestKeyPair::Ed25519(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()), "use": "sig", "kid": self.id,
            }),
        }
    }

    /// Signs with the key's usual algorithm, or with the one for RSA that `algorithm` names.
    pub fn sign_bytes(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.pair {
            TestKeyPair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signed).unwrap();
                signed
            }
            TestKeyPair::P256(pair) | TestKeyPair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            TestKeyPair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with this header and these claims, as text.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header).ok();
        let algorithm = algorithm.and_then(|header| header["alg"].as_str().map(str::to_owned));
        let signed = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
        let signature = self.sign_bytes(&algorithm.unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// A token with the usual header and these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" });
        self.sign_text(&header.to_string(), &claims.to_string())
    }
}

/// What the issuer does instead of answering as usual.
#[derive(Clone, Debug)]
pub enum TestAnswer {
    /// This document, as JSON.
    Document(Value),
    /// These bytes, from the status line on.
    Bytes(Vec<u8>),
    /// It waits before it answers as usual.
    Wait(Duration),
    /// It sends a byte at a time, and waits before each.
    Drip(Duration),
    /// It closes the connection.
    Close,
}

impl TestAnswer {
    /// A status without a document.
    pub fn status(status: u16, headers: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n").into_bytes())
    }

    /// A document of some media type.
    pub fn typed(headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(
            format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes(),
        )
    }
}

struct TestState {
    keys: Vec<TestKey>,
    answers: BTreeMap<String, TestAnswer>,
    requests: Vec<String>,
    connections: usize,
}

/// The issuer. It serves until it is dropped.
pub struct TestIssuer {
    pub address: SocketAddr,
    /// The host by which [`TestIssuer::url`] names it.
    pub host: String,
    /// Its certificate authority, as PEM.
    pub authorities: String,
    state: Arc<Mutex<TestState>>,
    stopped: Arc<AtomicBool>,
}

impl TestIssuer {
    /// An issuer with a key each for RS256, ES256, ES384 and EdDSA.
    pub fn start() -> Self {
        Self::start_with(&[&rustls::version::TLS13])
    }

    pub fn start_with(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let (config, authorities) = server_config(versions);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let keys = vec![
            TestKey::rsa("rsa-1", 0),
            TestKey::p256("ec-1"),
            TestKey::p384("ec-2"),
            TestKey::ed25519("ed-1"),
        ];
        let state = TestState { keys, answers: BTreeMap::new(), requests: Vec::new(), connections: 0 };
        let (state, stopped) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let issuer = Self { address, host: "127.0.0.1".to_owned(), authorities, state, stopped };
        issuer.serve(listener, config);
        issuer
    }

    /// Its URL, as `iss` has it.
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.address.port())
    }

    /// The keys that it publishes.
    pub fn keys(&self) -> Vec<TestKey> {
        self.state.lock().unwrap().keys.clone()
    }

    /// Publishes these keys instead.
    pub fn set_keys(&self, keys: Vec<TestKey>) {
        self.state.lock().unwrap().keys = keys;
    }

    /// The published key with this algorithm.
    pub fn key(&self, algorithm: &str) -> TestKey {
        self.keys().into_iter().find(|key| key.algorithm() == algorithm).unwrap()
    }

    /// Publishes new keys of the same kinds, under new ids, and none of the old ones.
    pub fn rotate(&self) {
        let keys = self.keys();
        let number = |id: &str| id.rsplit('-').next().unwrap().parse::<usize>().unwrap() + 2;
        let next = keys.iter().map(|key| match &*key.pair {
            TestKeyPair::Rsa(_) => TestKey::rsa(&format!("rsa-{}", number(&key.id)), 1),
            TestKeyPair::P256(_) => TestKey::p256(&format!("ec-{}", number(&key.id))),
            TestKeyPair::P384(_) => TestKey::p384(&format!("ec-{}", number(&key.id))),
            TestKeyPair::Ed25519(_) => TestKey::ed25519(&format!("ed-{}", number(&key.id))),
        });
        self.set_keys(next.collect());
    }

    /// The document of its keys.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys().iter().map(TestKey::jwk).collect::<Vec<_>>() })
    }

    /// The usual claims of a token that was issued at `now`, in seconds, and is valid for an hour.
    pub fn claims(&self, audience: &str, subject: &str, now: i64) -> Value {
        json!({
            "iss": self.url(), "sub": subject, "aud": audience, "iat": now, "nbf": now, "exp": now + 3600,
        })
    }

    /// Answers requests for `path` in this way from now on.
    pub fn answer(&self, path: &str, answer: TestAnswer) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Answers everything as usual again.
    pub fn heal(&self) {
        self.state.lock().unwrap().answers.clear();
    }

    /// The paths of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How many TCP connections were made to it, whether or not a request followed.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    fn serve(&self, listener: TcpListener, config: Arc<ServerConfig>) {
        let (state, stopped, url) = (Arc::clone(&self.state), Arc::clone(&self.stopped), self.url());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                state.lock().unwrap().connections += 1;
                let (state, config, url) = (Arc::clone(&state), Arc::clone(&config), url.clone());
                // Whatever happens to a connection is the client's to report.
                std::thread::spawn(move || exchange(stream, config, &state, &url).ok());
            }
        });
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect(self.address).ok();
    }
}

fn exchange(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    state: &Mutex<TestState>,
    url: &str,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (answer, usual) = {
        let mut state = state.lock().unwrap();
        state.requests.push(path.clone());
        let document = match path.as_str() {
            KEYS => Some(json!({ "keys": state.keys.iter().map(TestKey::jwk).collect::<Vec<_>>() })),
            _ if path.ends_with(METADATA) => {
                Some(json!({ "issuer": url, "jwks_uri": format!("{url}{KEYS}") }))
            }
            _ => None,
        };
        (state.answers.get(&path).cloned(), document)
    };
    let usual = match &usual {
        Some(document) => document_bytes(document),
        None => b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n".to_vec(),
    };
    match answer {
        None => stream.write_all(&usual)?,
        Some(TestAnswer::Document(document)) => stream.write_all(&document_bytes(&document))?,
        Some(TestAnswer::Bytes(bytes)) => stream.write_all(&bytes)?,
        Some(TestAnswer::Wait(time)) => {
            std::thread::sleep(time);
            stream.write_all(&usual)?;
        }
        Some(TestAnswer::Drip(time)) => {
            for byte in usual {
                std::thread::sleep(time);
                stream.write_all(&[byte])?;
                stream.flush()?;
            }
        }
        Some(TestAnswer::Close) => return Ok(()),
    }
    stream.conn.send_close_notify();
    stream.flush()
}

fn document_bytes(document: &Value) -> Vec<u8> {
    let body = document.to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The settings of a server for [`NAMES`], and the authority that signed its certificate.
fn server_config(versions: &[&'static SupportedProtocolVersion]) -> (Arc<ServerConfig>, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authorities = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    let certificate =
        certificate.signed_by(&key, &Issuer::from_params(&authority, &authority_key)).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (Arc::new(config), authorities)
}
