//! A store made, served, unlocked and stopped; a second server on the same data.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::random::Kernel;
use dropsafe::server::{
    InitOptions, InitOutcome, RunError, ServeConfig, ServeFlags, StartupInfo, UnlockSecret, init, run,
};
use dropsafe::settings::Environment;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

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
    done: tokio::task::JoinHandle<Result<(), RunError>>,
    started: StartupInfo,
}

async fn running(config: ServeConfig) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let stopping = async move { drop(stopped.await) };
    let done = tokio::spawn(run(config, stopping, move |started| drop(tell.send(started.clone()))));
    let Ok(started) = told.await else { panic!("{:?}", done.await.unwrap()) };
    Running { stop, done, started }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
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
        ["record.key", "store.db", "server.yaml", "tls/ca.key", "tls/key.pem", "tls/cert.pem", "tls/ca.pem"]
    {
        let mode = std::fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
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
    // What an operator made is taken as it is; what `init` made has to be as it was.
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
async fn what_is_wrong_with_the_folder_is_said_with_a_remedy() {
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
