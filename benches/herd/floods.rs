//! Floods beside boots: how long 200 machines take to boot alone, and while a host of its own floods the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dropsafe::domain::ticket::BootTicket;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::drive::{Arrival, Herd, Outcome};
use super::nginx::tls_config;
use super::{ByteStore, ServedStore, median, text};

/// What the flooding host does. It is 127.0.0.2, and the machines are 127.0.0.1.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Login forms without a credential, of which one byte arrives.
    SlowForms,
    /// Bodies of boots with one ticket, of which one byte arrives.
    SlowBoots,
    /// A wrong token with every request, one request after the other.
    WrongTokens,
    /// Connections that send nothing.
    Silence,
}

const FLOODS: [Flood; 4] = [Flood::SlowForms, Flood::SlowBoots, Flood::WrongTokens, Flood::Silence];

impl Flood {
    /// Connections that are kept open at a time.
    fn connections(self) -> usize {
        match self {
            Self::SlowForms => 1100,
            Self::SlowBoots => 100,
            Self::WrongTokens => 1,
            // More than the server has places for.
            Self::Silence => 4000,
        }
    }

    fn request(self, credential: &str) -> String {
        match self {
            Self::SlowForms => "POST /console/login HTTP/1.1\r\nhost: x\r\nsec-fetch-site: same-origin\r\n\
                content-type: multipart/form-data; boundary=x\r\ncontent-length: 8000\r\n\r\n-"
                .to_owned(),
            Self::SlowBoots => format!(
                "POST /v1/boot HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\n\
                 content-type: application/json\r\ncontent-length: 2097152\r\n\r\n{{"
            ),
            Self::WrongTokens => {
                "GET /v1/secrets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer dsm_wrong\r\n\r\n".to_owned()
            }
            Self::Silence => String::new(),
        }
    }
}

/// Measures in turns: alone, then beside each flood.
pub fn run(machines: usize, rounds: usize) {
    let filled = ServedStore::new(ByteStore::Sqlite, 1, 20);
    let boot = || {
        let herd = Herd {
            tickets: vec![Arc::clone(&filled.ticket)],
            agents: machines,
            arrival: Arrival::AtMost(25),
            deadline: Duration::from_secs(60),
            entries: 20,
        };
        herd.run()
    };
    boot();
    let mut alone = Vec::new();
    let mut beside = FLOODS.map(|_| Vec::new());
    let mut lost = FLOODS.map(|_| 0);
    for _ in 0..rounds {
        alone.push(boot().wall.as_secs_f64());
        for (index, flood) in FLOODS.into_iter().enumerate() {
            // Another ticket than that of the machines.
            let ticket = BootTicket::parse(&text(&filled.site.ticket_at(0, &["--uses", "1"]))).unwrap();
            let credential = ticket.credential().to_text().to_string();
            let flooding = FloodingHost::start(flood, filled.site.servers[0].port(), credential);
            // The flood is at its height before the first machine boots.
            std::thread::sleep(Duration::from_secs(3));
            let outcome: Outcome = boot();
            lost[index] += outcome.failed.values().sum::<usize>();
            beside[index].push(outcome.wall.as_secs_f64());
            flooding.stop();
        }
    }
    let usual = median(&alone);
    println!("{machines} boots, 25 at a time, median of {rounds} rounds: {usual:.2} s alone");
    for ((flood, times), lost) in FLOODS.iter().zip(&beside).zip(lost) {
        let time = median(times);
        println!("beside {flood:?}: {time:.2} s, {:.2} times as long, {lost} lost", time / usual);
    }
}

/// A thread that keeps a flood up.
struct FloodingHost {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl FloodingHost {
    fn start(flood: Flood, port: u16, credential: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let request: Arc<str> = flood.request(&credential).into();
                for number in 0..flood.connections() {
                    let (request, stopped) = (Arc::clone(&request), Arc::clone(&stopped));
                    tokio::spawn(async move {
                        // In the first two seconds, so that the handshakes do not compete with each other.
                        let share = number as f64 / flood.connections() as f64;
                        tokio::time::sleep(Duration::from_secs_f64(2.0 * share)).await;
                        while !stopped.load(Ordering::Relaxed) {
                            let _ = attack(flood, port, &request).await;
                            // This measures what slow clients hold. Handshakes at full speed are another flood.
                            tokio::time::sleep(Duration::from_secs(10)).await;
                        }
                    });
                }
                while !stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        // The server notices that its connections are gone.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// One connection of a flood, until the server closes it.
async fn attack(flood: Flood, port: u16, request: &str) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 2], 0).into())?;
    let mut tcp: TcpStream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let mut buffer = [0; 4096];
    if matches!(flood, Flood::Silence) {
        while tcp.read(&mut buffer).await? > 0 {}
        return Ok(());
    }
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(tls_config(true))).connect(name, tcp).await?;
    stream.write_all(request.as_bytes()).await?;
    while stream.read(&mut buffer).await? > 0 {
        if matches!(flood, Flood::WrongTokens) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(request.as_bytes()).await?;
        }
    }
    Ok(())
}
