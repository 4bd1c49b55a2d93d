//! The memory of a locked server, after every kind of client has sent a passphrase or a value: over HTTP/1.1, HTTP/2 and the Unix
//! socket, with the command line and with the console's forms. The clients keep their connections open, as browsers and proxies do.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use dropsafe::domain::ticket::BootTicket;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::harness::{PASSPHRASE, Site, skip};
use super::locked::mappings_of;

/// Memory is clean within this time after the last answer: a connection lingers, and a thread finishes.
const SETTLE: Duration = Duration::from_secs(5);
/// A piece of this length is no coincidence.
const PIECE: usize = 16;

#[derive(Clone, Copy, Debug)]
enum Transport {
    Http1,
    Http2,
    Socket,
}

const TRANSPORTS: [Transport; 3] = [Transport::Http1, Transport::Http2, Transport::Socket];

/// The secrets that were sent, and the connections that carried them.
struct Senders<'a> {
    site: &'a Site,
    tls: Arc<ClientConfig>,
    /// By name. The name says which client sent the secret.
    secrets: Vec<(String, String)>,
    connections: Vec<Connection>,
}

/// A client's side of a connection, which stays open until this is dropped.
enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl<'a> Senders<'a> {
    fn new(site: &'a Site) -> Self {
        let authority = CertificateDer::from_pem_file(site.data().join("tls/ca.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        let secrets = vec![("the passphrase of the store".to_owned(), PASSPHRASE.to_owned())];
        Self { site, tls: Arc::new(tls), secrets, connections: Vec::new() }
    }

    /// A new secret of high entropy, whose name says who sends it.
    fn secret(&mut self, name: impl Into<String>) -> String {
        let name = name.into();
        let secret = BASE64URL_NOPAD.encode(&Sha256::digest(name.as_bytes()));
        self.secrets.push((name, secret.clone()));
        secret
    }

    /// Sends one request over a connection of its own, and keeps that open.
    async fn send(&mut self, transport: Transport, request: Request<Full<Bytes>>) -> Answer {
        let mut connection = self.connect(transport).await;
        let response = connection.send(request).await;
        self.connections.push(connection);
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn connect(&self, transport: Transport) -> Connection {
        if let Transport::Socket = transport {
            let stream = UnixStream::connect(self.site.data().join("dropsafe.sock")).await.unwrap();
            return Connection::http1(stream).await;
        }
        let stream = TcpStream::connect(("127.0.0.1", self.site.port)).await.unwrap();
        let mut tls = ClientConfig::clone(&self.tls);
        if let Transport::Http2 = transport {
            tls.alpn_protocols = vec![b"h2".to_vec()];
        }
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        match transport {
            Transport::Http2 => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                Connection::Http2(sender)
            }
            _ => Connection::http1(stream).await,
        }
    }

    async fn api(&mut self, transport: Transport, method: &str, path: &str, body: (&str, String)) -> Answer {
        let (token, body) = body;
        let request = Request::builder()
            .method(method)
            .uri(self.uri(transport, path))
            .header(header::HOST, "127.0.0.1")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.send(transport, request).await
    }

    /// HTTP/2 takes the authority from the address.
    fn uri(&self, transport: Transport, path: &str) -> String {
        match transport {
            Transport::Http2 => format!("https://127.0.0.1:{}{path}", self.site.port),
            _ => path.to_owned(),
        }
    }
}

impl Connection {
    async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await.unwrap(),
            Self::Http2(sender) => sender.send_request(request).await.unwrap(),
        }
    }
}

/// A browser that is logged in to the console.
struct Browser {
    transport: Transport,
    cookie: String,
    csrf_token: String,
}

impl Browser {
    async fn log_in(senders: &mut Senders<'_>, transport: Transport, token: &str) -> Self {
        let mut browser = Self { transport, cookie: String::new(), csrf_token: String::new() };
        let answer = browser.post(senders, "/console/login", &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let cookies = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        let session = cookies.into_iter().find(|line| line.contains("session=")).unwrap();
        browser.cookie = session.split(';').next().unwrap().to_owned();
        let request = browser.request(senders, "GET", "/console/status").body(Full::default()).unwrap();
        let page = senders.send(transport, request).await.text;
        let (_, rest) = page.split_once("name=\"csrf_token\" value=\"").unwrap();
        browser.csrf_token = rest.split('"').next().unwrap().to_owned();
        browser
    }

    fn request(&self, senders: &Senders<'_>, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(senders.uri(self.transport, path))
            .header(header::HOST, "127.0.0.1")
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
    }

    /// Sends a form. A field whose name ends with `@` is a file.
    async fn post(&self, senders: &mut Senders<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, value) in [("csrf_token", self.csrf_token.as_str())].iter().chain(fields) {
            let disposition = match name.strip_suffix('@') {
                Some(name) => format!("name=\"{name}\"; filename=\"f\""),
                None => format!("name=\"{name}\""),
            };
            body.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n"
            ));
        }
        body.push_str("--b--\r\n");
        let request = self.request(senders, "POST", path).body(Full::new(Bytes::from(body))).unwrap();
        senders.send(self.transport, request).await
    }

    /// As [`Self::post`], for a form that is accepted.
    async fn submit(&self, senders: &mut Senders<'_>, path: &str, fields: &[(&str, &str)]) {
        let answer = self.post(senders, path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text);
    }
}

/// Deposits over the API, in every form of a body, accepted and refused.
async fn deposit_by_api(senders: &mut Senders<'_>) {
    let admin = senders.site.admin.clone();
    for transport in TRANSPORTS {
        let kind = format!("{transport:?}").to_lowercase();
        let value = senders.secret(format!("{kind}: POST /v1/secrets"));
        let body = json!({ "name": format!("{kind}-create"), "value": value }).to_string();
        let created = senders.api(transport, "POST", "/v1/secrets", (&admin, body)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        let id = serde_json::from_str::<serde_json::Value>(&created.text).unwrap()["id"].clone();

        let value = senders.secret(format!("{kind}: PUT with value_base64"));
        let body = json!({ "value_base64": BASE64.encode(value.as_bytes()) }).to_string();
        let path = format!("/v1/secrets/{}", id.as_str().unwrap());
        let replaced = senders.api(transport, "PUT", &path, (&admin, body)).await;
        assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text);

        let value = senders.secret(format!("{kind}: POST /v1/import"));
        let body = json!({ "env": format!("{}_IMPORT='{value}'\n", kind.to_uppercase()) }).to_string();
        let imported = senders.api(transport, "POST", "/v1/import", (&admin, body)).await;
        assert_eq!(imported.status, StatusCode::OK, "{}", imported.text);

        let value = senders.secret(format!("{kind}: PUT /api/secrets"));
        let body = json!({ "secrets": { format!("{}_VARIABLE", kind.to_uppercase()): value } }).to_string();
        let set = senders.api(transport, "PUT", "/api/secrets", (&admin, body)).await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.text);

        let value = senders.secret(format!("{kind}: POST /vault/secrets"));
        let body = json!({ "name": format!("{kind}-vault"), "value": value }).to_string();
        let created = senders.api(transport, "POST", "/vault/secrets", (&admin, body)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        refuse_by_api(senders, transport, &kind).await;
    }
}

/// Values in requests that the store refuses, some of them before it reads the body.
async fn refuse_by_api(senders: &mut Senders<'_>, transport: Transport, kind: &str) {
    let admin = senders.site.admin.clone();
    let value = senders.secret(format!("{kind}: a wrong token"));
    let body = json!({ "name": "x", "value": value }).to_string();
    let refused = senders.api(transport, "POST", "/v1/secrets", ("dsm_wrong", body)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    let value = senders.secret(format!("{kind}: no such route"));
    let body = json!({ "name": "x", "value": value }).to_string();
    let refused = senders.api(transport, "POST", "/v1/secret", (&admin, body)).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);

    let value = senders.secret(format!("{kind}: no JSON"));
    let body = format!("{{\"name\":\"x\",\"value\":\"{value}\\ud800\"}}");
    let refused = senders.api(transport, "POST", "/v1/secrets", (&admin, body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);

    let value = senders.secret(format!("{kind}: the wrong route"));
    let body = json!({ "name": value }).to_string();
    let refused = senders.api(transport, "POST", "/v1/members", (&admin, body)).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);

    let value = senders.secret(format!("{kind}: too large a body"));
    let body = json!({ "name": "x", "value": value.repeat(60_000) }).to_string();
    let refused = senders.api(transport, "POST", "/v1/secrets", (&admin, body)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Passphrases over the API. Leaves the store unlocked.
async fn unlock_by_api(senders: &mut Senders<'_>) {
    let operator = senders.site.operator.clone();
    for transport in TRANSPORTS {
        let kind = format!("{transport:?}").to_lowercase();
        let wrong = senders.secret(format!("{kind}: a wrong passphrase"));
        let body = json!({ "passphrase": wrong }).to_string();
        let refused = senders.api(transport, "POST", "/v1/unlock", (&operator, body)).await;
        assert!(refused.status.is_client_error(), "{}", refused.text);

        let body = json!({ "passphrase": PASSPHRASE }).to_string();
        let unlocked = senders.api(transport, "POST", "/v1/unlock", (&operator, body)).await;
        assert_eq!(unlocked.status, StatusCode::OK, "{}", unlocked.text);

        let new = senders.secret(format!("{kind}: POST /v1/keyslots"));
        let body = json!({ "passphrase": new, "label": kind }).to_string();
        let added = senders.api(transport, "POST", "/v1/keyslots", (&operator, body)).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    }
}

/// The command line: sealed deposits, and passphrases.
fn run_commands(senders: &mut Senders<'_>) {
    let site = senders.site;
    let value = senders.secret("dropsafe set");
    site.set("by-command", &value, &[]).ok();
    let value = senders.secret("dropsafe set of a replacement");
    site.set("by-command", &value, &[]).ok();
    let value = senders.secret("dropsafe import");
    let file = site.folder.path().join("import.env");
    fs::write(&file, format!("BY_IMPORT={value}\n")).unwrap();
    site.cli(&["import", file.to_str().unwrap()]).ok();
    fs::remove_file(&file).unwrap();

    let new = senders.secret("dropsafe keyslot add");
    site.cli_as(&site.operator, &["keyslot", "add"], new.as_bytes()).ok();
    let wrong = senders.secret("dropsafe unlock with a wrong passphrase");
    assert!(!site.cli_as(&site.operator, &["unlock"], wrong.as_bytes()).status.success());
    site.operator(&["lock"]).ok();
    site.cli_as(&site.operator, &["unlock"], PASSPHRASE.as_bytes()).ok();
}

/// Every form of the console that has a value or a passphrase.
async fn submit_forms(senders: &mut Senders<'_>) {
    let (admin, operator) = (senders.site.admin.clone(), senders.site.operator.clone());
    for transport in [Transport::Http1, Transport::Http2] {
        let kind = format!("{transport:?}").to_lowercase();
        let member = Browser::log_in(senders, transport, &admin).await;
        let value = senders.secret(format!("{kind}: the deposit form"));
        let name = format!("{kind}-form");
        let fields = [("name", name.as_str()), ("value", &value), ("auto_install", "on")];
        let answer = member.post(senders, "/console/secrets", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let secret = answer.headers[header::LOCATION].to_str().unwrap().to_owned();

        let value = senders.secret(format!("{kind}: a file in the form of a replacement"));
        let path = format!("{}/replace", secret.split('?').next().unwrap());
        member.submit(senders, &path, &[("value", ""), ("value_file@", &value)]).await;

        let value = senders.secret(format!("{kind}: the import form"));
        let text = format!("{}_FORM_IMPORT={value}\n", kind.to_uppercase());
        let preview = member.post(senders, "/console/import", &[("env", &text)]).await;
        assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
        member.submit(senders, "/console/import", &[("env", &text), ("mode", "store")]).await;

        let value = senders.secret(format!("{kind}: a form that is refused"));
        let fields = [("name", "ld-preload"), ("value", &value)];
        assert!(member.post(senders, "/console/secrets", &fields).await.status.is_client_error());
        let value = senders.secret(format!("{kind}: a form without a session"));
        let stranger = Browser { cookie: String::new(), csrf_token: String::new(), transport };
        stranger.post(senders, "/console/secrets", &[("name", "x"), ("value", &value)]).await;

        let keeper = Browser::log_in(senders, transport, &operator).await;
        let wrong = senders.secret(format!("{kind}: a wrong passphrase in the unlock form"));
        let refused = keeper.post(senders, "/console/status/unlock", &[("passphrase", &wrong)]).await;
        assert!(refused.status.is_client_error(), "{}", refused.text);
        keeper.submit(senders, "/console/status/unlock", &[("passphrase", PASSPHRASE)]).await;
        let new = senders.secret(format!("{kind}: the key slot form"));
        keeper.submit(senders, "/console/status/keyslots", &[("passphrase", &new)]).await;
    }
}

/// Boots, which receive every value that was deposited.
async fn boot(senders: &mut Senders<'_>) {
    let ticket = senders.site.ticket("admin", &[]);
    let booted = senders.site.boot(&ticket, &[]);
    assert!(booted.contains_key("BY_IMPORT"), "{booted:?}");
    let credential = BootTicket::parse(&ticket).unwrap().credential().to_text().to_string();
    for transport in TRANSPORTS {
        let answer = senders.api(transport, "POST", "/v1/boot", (&credential, "{}".to_owned())).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
}

/// Returns which of the secrets are in a process's memory: how many pieces, and where the first one is.
fn search(senders: &Senders<'_>, pid: u32) -> Option<Vec<String>> {
    let mut pieces: HashMap<[u8; PIECE], &str> = HashMap::new();
    // Most of the memory begins no piece, which a table tells faster than the map.
    let mut starts = vec![false; 1 << 16];
    for (name, secret) in &senders.secrets {
        for form in [secret.clone(), BASE64.encode(secret.as_bytes())] {
            for piece in form.as_bytes().windows(PIECE) {
                starts[usize::from(u16::from_ne_bytes([piece[0], piece[1]]))] = true;
                pieces.insert(piece.try_into().unwrap(), name);
            }
        }
    }
    let mut found: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut read = 0;
    for mapping in mappings_of(pid)? {
        read += mapping.bytes.len();
        for (at, window) in mapping.bytes.windows(PIECE).enumerate() {
            if starts[usize::from(u16::from_ne_bytes([window[0], window[1]]))]
                && let Some(name) = pieces.get(window)
            {
                let first = || (0, format!("at {at:#x} of {}", mapping.name));
                found.entry(name).or_insert_with(first).0 += 1;
            }
        }
    }
    assert!(read > 1 << 20, "only {read} bytes were read");
    Some(found.iter().map(|(name, (count, first))| format!("{name}: {count} pieces, {first}")).collect())
}

/// Fails unless the memory of the server is clean soon.
async fn expect_clean_memory(senders: &Senders<'_>) {
    let until = Instant::now() + SETTLE;
    loop {
        let Some(found) = search(senders, senders.site.server_pid()) else {
            return skip("reading another process's memory (needs CAP_SYS_PTRACE)");
        };
        if found.is_empty() {
            return;
        }
        let (count, all) = (found.len(), senders.secrets.len());
        assert!(Instant::now() < until, "{count} of {all} secrets are in memory:\n{}", found.join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_server_has_no_passphrase_and_no_value_in_memory() {
    let mut site = Site::new();
    site.serve(&[]);
    let mut senders = Senders::new(&site);
    unlock_by_api(&mut senders).await;
    deposit_by_api(&mut senders).await;
    run_commands(&mut senders);
    submit_forms(&mut senders).await;
    boot(&mut senders).await;
    // Proves that the search works.
    assert!(search(&senders, std::process::id()).is_none_or(|found| found.len() == senders.secrets.len()));

    site.operator(&["lock"]).ok();
    expect_clean_memory(&senders).await;

    // As the console locks it, after the console unlocked it.
    let keeper = Browser::log_in(&mut senders, Transport::Http2, &site.operator).await;
    keeper.submit(&mut senders, "/console/status/unlock", &[("passphrase", PASSPHRASE)]).await;
    boot(&mut senders).await;
    keeper.submit(&mut senders, "/console/status/lock", &[]).await;
    expect_clean_memory(&senders).await;

    // Nothing follows these, so that nothing can write over what they leave.
    let admin = site.admin.clone();
    for transport in TRANSPORTS {
        let value = senders.secret(format!("{transport:?}: a deposit on a locked server"));
        let body = json!({ "name": format!("locked-{transport:?}"), "value": value }).to_string();
        let created = senders.api(transport, "POST", "/v1/secrets", (&admin, body)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        expect_clean_memory(&senders).await;
    }
    let wrong = senders.secret("a wrong passphrase at last");
    let body = json!({ "passphrase": wrong }).to_string();
    senders.api(Transport::Http2, "POST", "/v1/unlock", (&site.operator, body)).await;
    expect_clean_memory(&senders).await;
}

#[tokio::test]
async fn a_server_that_unlocked_itself_has_no_passphrase_in_memory_once_it_is_locked() {
    let site = Site::unlocked();
    site.operator(&["lock"]).ok();
    expect_clean_memory(&Senders::new(&site)).await;
}
