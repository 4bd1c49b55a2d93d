//! An OIDC provider on loopback, as good or as bad as a test needs it. It keeps the rules that make the tests worth something: a code
//! works once, for the client, the redirect and the verifier that it was issued for.
#![allow(clippy::disallowed_methods, reason = "a provider has the time of day")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PkceCodeChallenge, PkceCodeVerifier, PrivateSigningKey as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Two keys, made for these tests. The second one is for rotation, and for tokens of somebody else.
const KEYS: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIMtPKJ+YH4Q8hBoT/E564idCYxQzAr3YgZXwcXbH5RT4\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHivqACHODf3lNRwIRmRY7HFSYoKrhCmn3Xj5CYGbeAs\n-----END PRIVATE KEY-----\n",
];

pub const CLIENT: &str = "dropsafe";
pub const CLIENT_SECRET: &str = "canary-client-secret";

/// An answer instead of the provider's own.
#[derive(Clone)]
pub enum Instead {
    /// Status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It reads the request, and says nothing.
    Silence,
    /// It closes the connection.
    Nothing,
    /// It sends one byte in a while, for ever.
    Drip,
}

/// What a test changes of a token before it is signed: its header and its claims.
pub type TokenEdit = Arc<dyn Fn(&mut Value, &mut Value) + Send + Sync>;

#[derive(Default)]
struct Behaviour {
    /// What the person who signs in next is.
    person: Value,
    /// Claims that only the endpoint for them gives.
    user_info: Value,
    edit: Option<TokenEdit>,
    /// Members of the document that differ from the usual ones; null removes one.
    document: HashMap<&'static str, Value>,
    instead: HashMap<&'static str, Instead>,
    /// Which key signs, and how many are published.
    key: usize,
    published: usize,
    /// What the clock shows, in seconds. None: the time.
    now: Option<u64>,
    interval: Option<u64>,
    issued: usize,
    codes: HashMap<String, IssuedCode>,
    devices: HashMap<String, DeviceState>,
    asked: HashMap<String, usize>,
}

struct IssuedCode {
    client: String,
    redirect: String,
    challenge: String,
    nonce: Option<String>,
    person: Value,
}

#[derive(Clone)]
enum DeviceState {
    Waiting { user_code: String },
    TooFast { user_code: String },
    Denied,
    Expired,
    Entered(Value),
}

/// What became of a device code.
#[derive(Clone, Copy)]
pub enum Entered {
    Approved,
    Denied,
    Expired,
    /// The next question comes too early.
    TooFast,
}

pub struct TestProvider {
    pub issuer: String,
    behaviour: Arc<Mutex<Behaviour>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestProvider {
    pub async fn start() -> Self {
        Self::start_at("http://127.0.0.1", None).await
    }

    /// The same over TLS, for `localhost`. Its certificate, in PEM, is its own authority.
    pub async fn start_tls() -> (Self, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let provider = Self::start_at("https://localhost", Some(Arc::new(config).into())).await;
        (provider, certificate.pem())
    }

    async fn start_at(origin: &str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let issuer = format!("{origin}:{}", listener.local_addr().unwrap().port());
        let behaviour = Behaviour { person: json!({ "sub": "s-ada" }), published: 1, ..Behaviour::default() };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (server, own) = (Server { issuer: issuer.clone(), behaviour: behaviour.clone() }, behaviour);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, acceptor) = (server.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                server.serve(stream).await;
                            }
                        }
                        None => server.serve(stream).await,
                    }
                });
            }
        });
        Self { issuer, behaviour: own, task }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut self.behaviour.lock().unwrap())
    }

    /// The person who signs in next: the claims of their token, with `sub`.
    pub fn person(&self, claims: Value) {
        self.with(|behaviour| behaviour.person = claims);
    }

    pub fn user_info(&self, claims: Value) {
        self.with(|behaviour| behaviour.user_info = claims);
    }

    pub fn edit_tokens(&self, edit: impl Fn(&mut Value, &mut Value) + Send + Sync + 'static) {
        self.with(|behaviour| behaviour.edit = Some(Arc::new(edit)));
    }

    pub fn leave_tokens_alone(&self) {
        self.with(|behaviour| behaviour.edit = None);
    }

    pub fn document(&self, member: &'static str, value: Value) {
        self.with(|behaviour| behaviour.document.insert(member, value));
    }

    /// Answers this path with something else.
    pub fn instead(&self, path: &'static str, instead: Instead) {
        self.with(|behaviour| behaviour.instead.insert(path, instead));
    }

    pub fn recover(&self) {
        self.with(|behaviour| behaviour.instead.clear());
    }

    /// Signs with the second key, and publishes it or not.
    pub fn rotate(&self, publish: bool) {
        self.with(|behaviour| (behaviour.key, behaviour.published) = (1, if publish { 2 } else { 1 }));
    }

    /// Stops the clock.
    pub fn set_time(&self, seconds: i64) {
        self.with(|behaviour| behaviour.now = u64::try_from(seconds).ok());
    }

    pub fn interval(&self, seconds: u64) {
        self.with(|behaviour| behaviour.interval = Some(seconds));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.with(|behaviour| behaviour.asked.get(path).copied().unwrap_or(0))
    }

    /// What the person's browser does at the provider: the address that it is redirected to. The person agrees.
    pub fn authorize(&self, url: &str) -> String {
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.issuer));
        let query: HashMap<String, String> = form(query);
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{query:?}");
        let code = IssuedCode {
            client: query["client_id"].clone(),
            redirect: query["redirect_uri"].clone(),
            challenge: query["code_challenge"].clone(),
            nonce: query.get("nonce").cloned(),
            person: self.with(|behaviour| behaviour.person.clone()),
        };
        let text = self.with(|behaviour| {
            behaviour.issued += 1;
            let text = format!("canary-code-{}", behaviour.issued);
            behaviour.codes.insert(text.clone(), code);
            text
        });
        format!("{}?code={text}&state={}", query["redirect_uri"], query["state"])
    }

    /// What the person does with the code of a device.
    pub fn enter(&self, code: &str, what: Entered) {
        self.with(|behaviour| {
            let person = behaviour.person.clone();
            let mut waiting = behaviour.devices.values_mut();
            let state = waiting
                .find(|state| matches!(state, DeviceState::Waiting { user_code } if user_code == code));
            *state.unwrap() = match what {
                Entered::Approved => DeviceState::Entered(person),
                Entered::Denied => DeviceState::Denied,
                Entered::Expired => DeviceState::Expired,
                Entered::TooFast => DeviceState::TooFast { user_code: code.to_owned() },
            };
        });
    }
}

#[derive(Clone)]
struct Server {
    issuer: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Server {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let Some((head, body)) = read_request(&mut stream).await else { return };
        let path =
            head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let instead = {
            let mut behaviour = self.behaviour.lock().unwrap();
            *behaviour.asked.entry(path.clone()).or_default() += 1;
            behaviour.instead.get(path.as_str()).cloned()
        };
        let (status, headers, text) = match instead {
            Some(Instead::Answer(status, headers, text)) => (status, headers, text),
            Some(Instead::Silence) => return tokio::time::sleep(Duration::from_secs(600)).await,
            Some(Instead::Nothing) => return,
            Some(Instead::Drip) => return drip(&mut stream).await,
            None => {
                let (status, answer) = self.answer(&path, &head, &form(&body));
                (status, vec![("content-type", "application/json".to_owned())], answer.to_string())
            }
        };
        let mut answer =
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", text.len());
        headers.iter().for_each(|(name, value)| answer.push_str(&format!("{name}: {value}\r\n")));
        let answer = [answer.as_bytes(), b"\r\n", text.as_bytes()].concat();
        stream.write_all(&answer).await.ok();
        stream.shutdown().await.ok();
    }

    fn answer(&self, path: &str, head: &str, body: &HashMap<String, String>) -> (u16, Value) {
        let mut behaviour = self.behaviour.lock().unwrap();
        match path {
            "/.well-known/openid-configuration" => (200, self.document(&behaviour)),
            "/jwks" => {
                let keys = KEYS[..behaviour.published].iter().enumerate();
                (200, json!({ "keys": keys.map(|(index, _)| public_key(index)).collect::<Vec<_>>() }))
            }
            "/userinfo" => (200, behaviour.user_info.clone()),
            "/device" => {
                behaviour.issued += 1;
                let (code, user_code) =
                    (format!("canary-device-{}", behaviour.issued), format!("ABCD-{:04}", behaviour.issued));
                behaviour.devices.insert(code.clone(), DeviceState::Waiting { user_code: user_code.clone() });
                (
                    200,
                    json!({
                        "device_code": code, "user_code": user_code, "expires_in": 600,
                        "interval": behaviour.interval.unwrap_or(1), "verification_uri": format!("{}/enter", self.issuer),
                        "verification_uri_complete": format!("{}/enter?code={user_code}", self.issuer),
                    }),
                )
            }
            "/token" => match self.token(&mut behaviour, head, body) {
                Ok(answer) => (200, answer),
                Err(word) => (if word == "invalid_client" { 401 } else { 400 }, json!({ "error": word })),
            },
            _ => (404, json!({ "error": "canary-not-found" })),
        }
    }

    fn document(&self, behaviour: &Behaviour) -> Value {
        let at = |path: &str| json!(format!("{}{path}", self.issuer));
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "device_authorization_endpoint": at("/device"),
            "jwks_uri": at("/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        for (member, value) in &behaviour.document {
            document[*member] = value.clone();
        }
        document
    }

    fn token(
        &self,
        behaviour: &mut Behaviour,
        head: &str,
        body: &HashMap<String, String>,
    ) -> Result<Value, &'static str> {
        let (client, secret) = client_of(head, body);
        let is_client = match client.as_str() {
            CLIENT => secret.as_deref() == Some(CLIENT_SECRET),
            // The one of the command line is public.
            "dropsafe-cli" => secret.is_none(),
            _ => false,
        };
        if !is_client {
            return Err("invalid_client");
        }
        let (nonce, person) = if body["grant_type"] == "authorization_code" {
            // Removed: it works once.
            let code = behaviour.codes.remove(&body["code"]).ok_or("invalid_grant")?;
            let verifier = PkceCodeVerifier::new(body.get("code_verifier").cloned().unwrap_or_default());
            let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
            if code.client != client
                || code.redirect != body["redirect_uri"]
                || challenge.as_str() != code.challenge
            {
                return Err("invalid_grant");
            }
            (code.nonce, code.person)
        } else {
            let state = behaviour.devices.get_mut(&body["device_code"]).ok_or("invalid_grant")?;
            match state.clone() {
                DeviceState::Waiting { .. } => return Err("authorization_pending"),
                DeviceState::TooFast { user_code } => {
                    *state = DeviceState::Waiting { user_code };
                    return Err("slow_down");
                }
                DeviceState::Denied => return Err("access_denied"),
                DeviceState::Expired => return Err("expired_token"),
                DeviceState::Entered(person) => {
                    behaviour.devices.remove(&body["device_code"]);
                    (None, person)
                }
            }
        };
        let id_token = self.id_token(behaviour, &client, nonce, person);
        Ok(
            json!({ "access_token": "canary-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": id_token }),
        )
    }

    fn id_token(&self, behaviour: &Behaviour, client: &str, nonce: Option<String>, person: Value) -> String {
        let now = behaviour.now.unwrap_or_else(now_seconds);
        let mut header = json!({ "alg": "EdDSA", "kid": format!("key-{}", behaviour.key) });
        let mut claims =
            json!({ "iss": self.issuer, "aud": client, "iat": now, "exp": now + 300, "nonce": nonce });
        if nonce.is_none() {
            claims.as_object_mut().unwrap().remove("nonce");
        }
        claims.as_object_mut().unwrap().extend(person.as_object().unwrap().clone());
        if let Some(edit) = &behaviour.edit {
            edit(&mut header, &mut claims);
        }
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match header["alg"].as_str().unwrap() {
            "none" => Vec::new(),
            "HS256" => {
                let key = CoreHmacKey::new(CLIENT_SECRET);
                key.sign(&CoreJwsSigningAlgorithm::HmacSha256, message.as_bytes()).unwrap()
            }
            _ => {
                signing_key(behaviour.key).sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes()).unwrap()
            }
        };
        format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signing_key(index: usize) -> CoreEdDsaPrivateSigningKey {
    let id = JsonWebKeyId::new(format!("key-{index}"));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(KEYS[index], Some(id)).unwrap()
}

fn public_key(index: usize) -> Value {
    let mut key = serde_json::to_value(signing_key(index).as_verification_key()).unwrap();
    key["alg"] = json!("EdDSA");
    key
}

/// The client that a request proves itself to be.
fn client_of(head: &str, body: &HashMap<String, String>) -> (String, Option<String>) {
    let basic = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().strip_prefix("Basic ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    match basic {
        Some(basic) => {
            let pair = data_encoding::BASE64.decode(basic.as_bytes()).unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let (client, secret) = pair.split_once(':').unwrap();
            (client.to_owned(), Some(secret.to_owned()))
        }
        None => (body.get("client_id").cloned().unwrap_or_default(), body.get("client_secret").cloned()),
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(String, String)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    }
}

async fn drip<S: AsyncWrite + Unpin>(stream: &mut S) {
    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await.is_err() {
        return;
    }
    while stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads a query or a form.
pub fn form(text: &str) -> HashMap<String, String> {
    let decode = |part: &str| {
        let part = part.replace('+', " ");
        percent_encoding::percent_decode_str(&part).decode_utf8().unwrap().into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}
