//! A store made, served, unlocked and stopped; a second server on the same data.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::random::Kernel;
use dropsafe::server::{
    InitOptions, InitOutcome, RunError, ServeConfig, ServeFlags, StartupInfo, UnlockSecret, init, run,
};
use dropsafe::settings::Environment;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::dev_client::{handshake_pinned, read_all};

fn options(data: &Path, secret: UnlockSecret) -> InitOptions {
    InitOptions {
        data: data.to_owned(),
        store: None,
        secret,
        listen: ([127, 0, 0, 1], 0).into(),
        advertise: vec!["vault.example".parse().unwrap()],
        san: Vec::new(),
        org: "default".parse().unwrap(),
        admin: "admin".parse().unwrap(),
    }
}

async fn made(data: &Path) -> (InitOutcome, Zeroizing<String>) {
    let key = UnlockKey::generate(&mut Kernel).to_text();
    let outcome = init(options(data, UnlockSecret::KeyFile(key.clone()))).await.unwrap();
    (outcome, key)
}

fn config(data: &Path, flags: &ServeFlags) -> ServeConfig {
    let file = std::fs::read_to_string(data.join("server.yaml")).unwrap();
    ServeConfig::read(data, flags, &Environment::default(), &file).unwrap()
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
    started: StartupInfo,
}

async fn running(config: ServeConfig) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (started_sender, started) = oneshot::channel();
    let stopping = async move { drop(stopped.await) };
    let task = tokio::spawn(run(config, stopping, move |info| drop(started_sender.send(info.clone()))));
    let Ok(started) = started.await else { panic!("{:?}", task.await.unwrap()) };
    Running { stop, task, started }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

async fn over_the_socket(data: &Path, request: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(data.join("dropsafe.sock")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_store_is_made_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    let (outcome, _) = made(&data).await;
    assert!(
        outcome.url_with_pin.starts_with("https://vault.example:7373#sha256/"),
        "{}",
        outcome.url_with_pin
    );
    assert!(outcome.operator_token.starts_with("dso_") && outcome.admin_token.starts_with("dsm_"));
    for name in
        ["record.key", "store.db", "server.yaml", "tls/key.pem", "tls/cert.pem", "tls/ca.pem", "tls/next.pem"]
    {
        let mode = std::fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    // Browsers trust the authority. Its key is not kept, so that no reader of the folder can sign for other names.
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("tls")).unwrap().map(|it| it.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["ca.pem", "cert.pem", "key.pem", "next.pem"]);
    let again = init(options(&data, UnlockSecret::KeyFile(UnlockKey::generate(&mut Kernel).to_text()))).await;
    assert!(again.is_err_and(|error| error.to_string().contains("not empty")));
}

#[tokio::test]
async fn a_failed_init_leaves_nothing_half_made() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    assert!(init(options(&data, UnlockSecret::KeyFile(Zeroizing::new("no key".to_owned())))).await.is_err());
    assert!(!data.exists());
}

#[tokio::test]
async fn it_serves_starts_locked_and_unlocks_from_a_file() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    let (outcome, key) = made(&data).await;
    let server = running(config(&data, &ServeFlags::default())).await;
    assert!(server.started.locked);
    assert_eq!(server.started.pin, outcome.pin);
    let mode = std::fs::metadata(data.join("dropsafe.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(over_the_socket(&data, request).await.contains("\ndropsafe_locked 1\n"));
    server.stop().await;

    let file = root.path().join("unlock.key");
    std::fs::write(&file, &*key).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let flags = ServeFlags { unlock_key_file: Some(file.clone()), ..ServeFlags::default() };
    let server = running(config(&data, &flags)).await;
    assert!(!server.started.locked);
    assert!(over_the_socket(&data, request).await.contains("\ndropsafe_locked 0\n"));
    server.stop().await;

    std::fs::write(&file, &*UnlockKey::generate(&mut Kernel).to_text()).unwrap();
    let failed = run(config(&data, &flags), std::future::pending(), |_| {}).await;
    assert!(matches!(failed, Err(RunError::Unlock(_))));
    // The operator chooses the mode of their own files. A file that `init` made must keep its mode.
    std::fs::write(&file, &*key).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    running(config(&data, &flags)).await.stop().await;
    let record_key = data.join("record.key");
    std::fs::set_permissions(&record_key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = run(config(&data, &flags), std::future::pending(), |_| {}).await;
    assert!(exposed.is_err_and(|error| error.hint().is_some_and(|hint| hint.starts_with("chmod 600"))));
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_names_the_first() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    made(&data).await;
    let first = running(config(&data, &ServeFlags::default())).await;
    let second =
        run(config(&data, &ServeFlags::default()), std::future::pending(), |_| {}).await.unwrap_err();
    assert!(second.to_string().contains(&format!("process {}", std::process::id())), "{second}");
    first.stop().await;
    running(config(&data, &ServeFlags::default())).await.stop().await;
}

#[tokio::test]
async fn a_fault_of_the_folder_is_reported_with_a_remedy() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    made(&data).await;
    let fails = async |data: &Path| {
        run(config(data, &ServeFlags::default()), std::future::pending(), |_| {}).await.unwrap_err()
    };
    let key = std::fs::read(data.join("record.key")).unwrap();
    std::fs::write(data.join("record.key"), "dropsafe-record-1nonsense").unwrap();
    assert!(fails(&data).await.hint().is_some());
    std::fs::write(data.join("record.key"), key).unwrap();
    let (other, _) = (root.path().join("other"), made(&root.path().join("other")).await);
    std::fs::copy(other.join("record.key"), data.join("record.key")).unwrap();
    let error = fails(&data).await;
    assert!(error.to_string().contains("record key is not this store's"), "{error}");
}

impl Running {
    /// Connects from an address of loopback.
    async fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.started.addresses[0]).await.unwrap()
    }

    /// Sends a request after `preamble`, which comes before TLS. Returns the status and the body, or `None` if the server
    /// closes the connection.
    async fn post(
        &self,
        from: [u8; 4],
        preamble: &[u8],
        credential: &str,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let mut stream = self.connect(from).await;
        stream.write_all(preamble).await.unwrap();
        let mut stream = handshake_pinned(self.started.pin, stream, b"http/1.1").await.ok()?;
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\nconnection: close\r\n\
             x-forwarded-for: 203.0.113.9\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let text = read_all(&mut stream).await;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).unwrap_or(Value::Null)))
    }
}

/// A header of the PROXY protocol, version 2, for TCP over IPv4.
fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &client, &[10, 0, 0, 1, 1, 2, 3, 4]].concat()
}

#[tokio::test]
async fn behind_a_load_balancer_the_address_is_the_clients() {
    const BALANCER: [u8; 4] = [127, 0, 0, 5];
    const OTHER: [u8; 4] = [127, 0, 0, 6];
    const CLIENT: [u8; 4] = [203, 0, 113, 9];
    const STRANGER: [u8; 4] = [198, 51, 100, 1];

    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("store");
    let (outcome, key) = made(&data).await;
    let yaml = std::fs::read_to_string(data.join("server.yaml")).unwrap();
    std::fs::write(data.join("server.yaml"), yaml + "\nproxy_protocol: {from: [127.0.0.5]}\n").unwrap();
    let file = root.path().join("unlock.key");
    std::fs::write(&file, &*key).unwrap();
    let flags = ServeFlags { unlock_key_file: Some(file), ..ServeFlags::default() };
    let server = running(config(&data, &flags)).await;

    let ask = json!({ "sources": ["203.0.113.0/24"] });
    let (status, made) = server.post(OTHER, b"", &outcome.admin_token, "/v1/tickets", &ask).await.unwrap();
    assert_eq!(status, 201, "{made}");
    let ticket = dropsafe::domain::ticket::BootTicket::parse(made["ticket"].as_str().unwrap()).unwrap();
    let credential = ticket.credential().to_text().to_string();
    let boot = async |from, preamble: &[u8]| {
        let response = server.post(from, preamble, &credential, "/v1/boot", &json!({})).await;
        response.map(|(status, _)| status)
    };
    // `X-Forwarded-For` names the client's address in each of these requests, and never counts.
    assert_eq!(boot(OTHER, b"").await, Some(403));
    assert_eq!(boot(BALANCER, &proxy_header(CLIENT)).await, Some(200));
    assert_eq!(boot(BALANCER, &proxy_header(STRANGER)).await, Some(403));
    // A header from anybody else is not one: here the handshake fails because of it.
    assert_eq!(boot(OTHER, &proxy_header(CLIENT)).await, None);
    assert_eq!(boot(BALANCER, b"").await, None);
    assert_eq!(boot(BALANCER, b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n").await, None);
    server.stop().await;
}
