//! A mock store for one test: it serves plain HTTP on loopback, answers as the test chooses, and records the requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use dropsafe::domain::credential::{Credential, CredentialKind};
use dropsafe::domain::id::{BootId, SecretId, VersionId};
use dropsafe::domain::name::SecretName;
use dropsafe::domain::receipt::{Receipt, ReceiptEntry};
use dropsafe::domain::resolve::{ReleaseReason, SkipReason, Skipped};
use dropsafe::domain::secret::ScopeKind;
use dropsafe::domain::ticket::BootTicket;
use dropsafe::domain::value::{Delivery, Kind, SecretValue};
use dropsafe::wire::{BootResponse, Code, ExplainResponse, Problem, ReleasedView, Value, ValueBase64};

/// Status and body.
pub type Answer = (u16, String);

pub struct Store {
    pub ticket: String,
    pub url: String,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    pub path: String,
    pub body: serde_json::Value,
    headers: Vec<(String, String)>,
}

impl RecordedRequest {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl Store {
    /// `answer` receives the path and the number of earlier requests.
    pub fn new(answer: impl Fn(&str, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The agent may close a connection at any time.
                let _ = serve(stream, &recorded, &answer);
            }
        });
        Self { ticket: ticket(&url), url, requests }
    }

    /// Releases `secrets` on every boot, and explains them.
    pub fn releasing(secrets: Vec<Secret>) -> Self {
        Self::new(move |path, _| match path {
            "/v1/boot" => release(&secrets),
            "/v1/boot/explain" => explanation(&secrets),
            _ => (204, String::new()),
        })
    }

    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Counts the requests for `path` so far.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }
}

/// A ticket for a store at `url`.
pub fn ticket(url: &str) -> String {
    let credential = Credential::new(CredentialKind::Ticket, [7; 16], [9; 32].into());
    BootTicket::new(vec![url.into()], None, credential).unwrap().to_text().to_string()
}

/// An address at which nothing listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ticket(&format!("http://{}", listener.local_addr().unwrap()))
}

fn serve(
    stream: TcpStream,
    requests: &Mutex<Vec<RecordedRequest>>,
    answer: &impl Fn(&str, usize) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("").to_owned();
        let (mut length, mut headers) = (0, Vec::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            let (name, value) = (name.to_ascii_lowercase(), value.to_owned());
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            headers.push((name, value));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let before = {
            let mut requests = requests.lock().unwrap();
            requests.push(RecordedRequest {
                path: path.clone(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
                headers,
            });
            requests.len() - 1
        };
        let (status, body) = answer(&path, before);
        let kind = if status < 300 { "application/json" } else { "application/problem+json" };
        write!(
            writer,
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

/// A secret that the store releases.
#[derive(Clone)]
pub struct Secret {
    pub name: &'static str,
    pub value: Vec<u8>,
    pub scope: ScopeKind,
    pub by: ReleaseReason,
    pub delivery: Delivery,
}

pub fn private(name: &'static str, value: &str) -> Secret {
    let value = value.as_bytes().to_vec();
    Secret { name, value, scope: ScopeKind::Private, by: ReleaseReason::Auto, delivery: Delivery::Variable }
}

pub fn referred(name: &'static str, value: &str) -> Secret {
    Secret { by: ReleaseReason::Reference, ..private(name, value) }
}

fn receipt(secrets: &[Secret]) -> Receipt {
    let id = |index: usize| u8::try_from(index).unwrap() + 1;
    let off = SecretName::parse("off").unwrap();
    Receipt {
        entries: secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| {
                let name = SecretName::parse(secret.name).unwrap();
                ReceiptEntry {
                    env: name.export(),
                    name,
                    id: SecretId::from_bytes([id(index); 16]),
                    scope: secret.scope,
                    version: VersionId::from_bytes([id(index); 16]),
                    kind: Kind::Encrypted,
                    delivery: secret.delivery,
                    by: secret.by,
                    shadows: Vec::new(),
                }
            })
            .collect(),
        skipped: vec![Skipped {
            id: SecretId::from_bytes([0; 16]),
            env: off.export(),
            name: off,
            scope_kind: ScopeKind::Shared,
            version: VersionId::from_bytes([0; 16]),
            reason: SkipReason::AutoInstallOff,
        }],
        revision: 3,
    }
}

pub const BOOT: BootId = BootId::from_bytes([7; 16]);

/// The answer to a boot.
pub fn response(secrets: &[Secret]) -> BootResponse {
    let receipt = receipt(secrets);
    let values = receipt.entries.iter().zip(secrets).map(|(entry, secret)| {
        let value = SecretValue::new(secret.value.clone());
        let text = Value::of(&value);
        let value_base64 = text.is_none().then(|| ValueBase64::of(&value));
        ReleasedView { id: entry.id, value: text, value_base64 }
    });
    BootResponse {
        end_credential: None,
        store: None,
        checkpoint: None,
        boot: BOOT,
        organization: "default".parse().unwrap(),
        member: "dev".parse().unwrap(),
        released_at: "2026-11-22T08:00:00Z".parse().unwrap(),
        count: u32::try_from(receipt.count()).unwrap(),
        digest: receipt.digest(),
        values: values.collect(),
        receipt,
        values_digest: None,
    }
}

pub fn release(secrets: &[Secret]) -> Answer {
    (200, serde_json::to_string(&response(secrets)).unwrap())
}

fn explanation(secrets: &[Secret]) -> Answer {
    let explanation = ExplainResponse {
        organization: "default".parse().unwrap(),
        member: "dev".parse().unwrap(),
        receipt: receipt(secrets),
        locked: false,
        uses_left: Some(2),
        expires_at: None,
    };
    (200, serde_json::to_string(&explanation).unwrap())
}

pub fn problem(code: Code) -> Answer {
    (code.status(), serde_json::to_string(&Problem::new(code, "as the test says")).unwrap())
}
