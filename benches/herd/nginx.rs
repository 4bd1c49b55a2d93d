//! Compares nginx, which serves a static file of 4 KiB, with a store, which decrypts and records a boot: the same number of
//! requests in turns, each over its own TLS 1.3 connection with a full handshake.
//!
//! The client is the same for both and minimal: a handshake, a request, a response of known length, the end of the
//! connection. Anything unexpected fails the benchmark.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::domain::ticket::BootTicket;
use rustls::client::TicketRequest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// nginx with one worker per processor and without logs, on a port of loopback.
pub struct Nginx {
    master: Child,
    _folder: tempfile::TempDir,
    pub port: u16,
}

impl Nginx {
    /// Starts it with the certificate and key of a store, so that both compute the same signature.
    pub fn start(tls: &Path, port: u16) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        std::fs::write(folder.path().join("file"), vec![b'x'; 4096]).unwrap();
        let configuration = format!(
            "daemon off; worker_processes auto; pid {at}/pid; error_log /dev/null; user root;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; sendfile on; open_file_cache max=16;\n\
             client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3; uwsgi_temp_path {at}/4;\n\
             scgi_temp_path {at}/5;\n\
             server {{ listen 127.0.0.1:{port} ssl backlog=4096; root {at};\n\
             ssl_certificate {tls}/cert.pem; ssl_certificate_key {tls}/key.pem;\n\
             ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off; }} }}\n",
            tls = tls.display(),
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let master = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (package nginx-light)");
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Nginx { master, _folder: folder, port }
    }

    /// Returns its processes after the workers have started.
    pub fn pids(&self) -> Vec<u32> {
        let master = self.master.id();
        let children = format!("/proc/{master}/task/{master}/children");
        loop {
            let workers = std::fs::read_to_string(&children).unwrap();
            let workers: Vec<u32> = workers.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            if !workers.is_empty() {
                return workers.into_iter().chain([master]).collect();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The request for its file.
    pub fn request(&self) -> Vec<u8> {
        b"GET /file HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, since a master that is killed leaves its workers behind.
        let pid = nix::unistd::Pid::from_raw(self.master.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.master.wait();
    }
}

/// A boot request without any option.
pub fn boot_request(ticket: &BootTicket) -> Vec<u8> {
    let credential = ticket.credential().to_text();
    format!(
        "POST /v1/boot HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}",
        *credential
    )
    .into_bytes()
}

/// A number of equal requests to one port.
pub struct Load {
    pub port: u16,
    pub request: Vec<u8>,
    /// The total number of requests.
    pub requests: usize,
    /// Requests at the same time.
    pub at_once: usize,
    /// Whether the client offers the hybrid key exchange with ML-KEM.
    pub hybrid: bool,
}

impl Load {
    /// Sends the requests. Returns the time for all of them.
    pub fn run(self) -> Duration {
        let load = Arc::new(self);
        let started = Instant::now();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let load = Arc::clone(&load);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(load.run_thread());
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        started.elapsed()
    }

    async fn run_thread(self: Arc<Self>) {
        let config = Arc::new(tls_config(self.hybrid));
        let tasks: Vec<_> = (0..self.at_once / 2)
            .map(|_| {
                let (load, config) = (Arc::clone(&self), Arc::clone(&config));
                tokio::spawn(async move {
                    for _ in 0..load.requests / load.at_once {
                        load.request_once(&config).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn request_once(&self, config: &Arc<ClientConfig>) {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.unwrap();
        stream.write_all(&self.request).await.unwrap();
        let (mut response, mut total) = (Vec::with_capacity(16 * 1024), None);
        while total.is_none_or(|total| response.len() < total) {
            assert!(stream.read_buf(&mut response).await.unwrap() > 0, "the response was cut short");
            if total.is_none()
                && let Some(head) = response.windows(4).position(|at| at == b"\r\n\r\n")
            {
                let head_text = String::from_utf8_lossy(&response[..head]).to_lowercase();
                assert!(head_text.starts_with("http/1.1 200"), "{head_text}");
                let length =
                    head_text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                total = Some(head + 4 + length.trim().parse::<usize>().unwrap());
            }
        }
    }
}

#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub fn tls_config(hybrid: bool) -> ClientConfig {
    let classic: [&'static dyn SupportedKxGroup; 1] = [aws_lc_rs::kx_group::X25519];
    let mut provider = aws_lc_rs::default_provider();
    if !hybrid {
        provider.kx_groups = classic.to_vec();
    }
    // In the agent's order, which nginx follows too.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.send_ticket_request = Some(TicketRequest { new_session_count: 0, resumption_count: 0 });
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
