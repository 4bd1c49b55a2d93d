//! A proxy that terminates TLS between machines and a store, as a load balancer does. It records everything that it sees in the
//! clear, and can do anything with it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A message in the clear: its head and its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    pub fn new(head: &str, body: &[u8]) -> Self {
        Self { head: format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len()), body: body.to_vec() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The path of a request.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// Reads a message with a body of known length. `None` at the end of the connection.
    fn read(stream: &mut impl Read) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let mut message = Self { head: String::from_utf8(head).unwrap(), body: Vec::new() };
        let length = message.header("content-length").map_or(0, |length| length.parse().unwrap());
        message.body.resize(length, 0);
        stream.read_exact(&mut message.body).ok()?;
        Some(message)
    }
}

/// What the proxy does with a request. It may ask the store as often as it likes.
pub type Behaviour = dyn Fn(&Store, &Message) -> Option<Message> + Send + Sync;

/// The store behind the proxy.
#[derive(Clone, Copy)]
pub struct Store {
    port: u16,
}

impl Store {
    pub fn new(port: u16) -> Self {
        Self { port }
    }

    /// Sends a request to the store's listener and returns the answer.
    pub fn ask(self, request: &Message) -> Message {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(&request.bytes()).unwrap();
        Message::read(&mut stream).unwrap_or_default()
    }
}

/// Its threads end with the process.
pub struct TlsProxy {
    pub port: u16,
    /// The certificate of its authority.
    pub authority: PathBuf,
    /// All bytes that it saw, in both directions.
    seen: Arc<Mutex<Vec<u8>>>,
    /// The requests, in their order.
    requests: Arc<Mutex<Vec<Message>>>,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
}

impl TlsProxy {
    /// Starts on `listener`, with the address `https://localhost:PORT`.
    pub fn start(listener: TcpListener, store: Store, folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let authority = folder.join("proxy.pem");
        fs::write(&authority, certificate.pem()).unwrap();
        let config = server_config(certificate.der().clone(), &key);
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            authority,
            seen: Arc::default(),
            requests: Arc::default(),
            behaviour: Arc::new(Mutex::new(Arc::new(pass_on))),
        };
        let (seen, requests, behaviour) =
            (Arc::clone(&proxy.seen), Arc::clone(&proxy.requests), Arc::clone(&proxy.behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let (seen, requests, behaviour) =
                    (Arc::clone(&seen), Arc::clone(&requests), Arc::clone(&behaviour));
                std::thread::spawn(move || {
                    while let Some(request) = Message::read(&mut stream) {
                        seen.lock().unwrap().extend(request.bytes());
                        requests.lock().unwrap().push(request.clone());
                        let behave = Arc::clone(&behaviour.lock().unwrap());
                        let Some(answer) = behave(&store, &request) else { return };
                        seen.lock().unwrap().extend(answer.bytes());
                        if stream.write_all(&answer.bytes()).and_then(|()| stream.flush()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        proxy
    }

    pub fn behave(&self, behaviour: impl Fn(&Store, &Message) -> Option<Message> + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }
}

/// What an honest load balancer does.
pub fn pass_on(store: &Store, request: &Message) -> Option<Message> {
    Some(store.ask(request))
}

fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
