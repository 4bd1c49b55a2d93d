//! A network that loses responses: it passes bytes on in both directions until a test makes it drop the responses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// In front of one member.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// While set, nothing comes back.
    pub(crate) mute: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mute = Arc::new(AtomicBool::new(false));
        let muted = Arc::clone(&mute);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                let muted = Arc::clone(&muted);
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let there = tokio::io::copy(&mut from_client, &mut to_server);
                    let back = async {
                        let mut bytes = [0; 4096];
                        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                            if !muted.load(Ordering::Relaxed)
                                && to_client.write_all(&bytes[..count]).await.is_err()
                            {
                                break;
                            }
                        }
                    };
                    let _ = tokio::join!(there, back);
                });
            }
        });
        Proxy { address, mute, accepting }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
