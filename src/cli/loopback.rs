//! Waits on 127.0.0.1 for what a provider sends back through the person's browser (RFC 8252, section 7.3). Anybody on this machine
//! can connect, and any web page can send the browser here: only an answer with the right state counts, and all others are ignored.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::error::CliError;
use super::files::describe_io_error;
use crate::process::Exit;

/// How long one connection may take. Browsers open some in advance and send nothing.
const CONNECTION: Duration = Duration::from_secs(10);
/// The longest head of a request. Codes of some providers have two kilobytes.
const MAX_HEAD: usize = 16 * 1024;
/// Connections at a time.
const MAX_CONNECTIONS: usize = 32;

const DONE: &str = "The answer has arrived. Close this window and go back to the terminal.";
const NOT_HERE: &str = "This is not the answer that the command waits for.";

/// A listener on a free port.
pub(crate) struct LoopbackListener {
    listener: TcpListener,
    port: u16,
}

/// What the browser brought back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LoopbackAnswer {
    pub(crate) code: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) error: Option<String>,
}

impl LoopbackListener {
    pub(crate) async fn bind() -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::new(
                Exit::Failed,
                format_args!("cannot listen on 127.0.0.1: {}", describe_io_error(&error)),
            )
        };
        // On IPv4 alone: what is registered at providers is this address, or `localhost`, which browsers try it for.
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the answer with this state.
    pub(crate) async fn wait(self, state: &str, limit: Duration) -> Result<LoopbackAnswer, CliError> {
        tokio::time::timeout(limit, self.accept_until(state))
            .await
            .map_err(|_| CliError::failed("nobody signed in in time").hint("run the command again"))
    }

    async fn accept_until(&self, state: &str) -> LoopbackAnswer {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    // A connection that broke before it was accepted is no reason to stop.
                    let Ok((stream, _)) = accepted else { continue };
                    let state = state.to_owned();
                    connections.spawn(async move {
                        tokio::time::timeout(CONNECTION, serve(stream, &state)).await.ok().flatten()
                    });
                }
                Some(served) = connections.join_next() => {
                    if let Ok(Some(answer)) = served {
                        return answer;
                    }
                }
            }
        }
    }
}

/// Reads one request and answers it. Returns the answer that it carries, if it has the right state.
async fn serve(mut stream: TcpStream, state: &str) -> Option<LoopbackAnswer> {
    let head = read_head(&mut stream).await?;
    let answer = parse(&head, state);
    let (status, text) = match &answer {
        Some(_) => ("200 OK", DONE),
        None => ("404 Not Found", NOT_HERE),
    };
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    // The answer counts even if the browser is gone.
    stream.write_all(response.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    answer
}

async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&piece[..read]);
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Some(head);
        }
        if head.len() > MAX_HEAD {
            return None;
        }
    }
}

/// Reads the answer in the first line of a request, if it has the right state.
fn parse(head: &[u8], state: &str) -> Option<LoopbackAnswer> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = str::from_utf8(line).ok()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let (_, query) = target.split_once('?')?;
    let mut answer = LoopbackAnswer::default();
    let mut returned = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = || Some(percent_decode_str(&value.replace('+', " ")).decode_utf8().ok()?.into_owned());
        let place = match name {
            "code" => &mut answer.code,
            "state" => &mut returned,
            "iss" => &mut answer.iss,
            "error" => &mut answer.error,
            _ => continue,
        };
        // Two of one name: somebody added the second one.
        if place.is_some() {
            return None;
        }
        *place = value();
    }
    let matches: bool = returned?.as_bytes().ct_eq(state.as_bytes()).into();
    matches.then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<LoopbackAnswer> {
        parse(format!("{line}\r\nhost: 127.0.0.1\r\n\r\n").as_bytes(), "right")
    }

    #[test]
    fn only_the_right_state_counts() {
        let code = Some("a/b".to_owned());
        let iss = Some("https://id.example".to_owned());
        let line =
            "GET /callback?code=a%2Fb&state=right&iss=https%3A%2F%2Fid.example&session_state=x HTTP/1.1";
        assert_eq!(parsed(line), Some(LoopbackAnswer { code, iss, error: None }));
        let denied = LoopbackAnswer { error: Some("access_denied".to_owned()), ..LoopbackAnswer::default() };
        assert_eq!(parsed("GET /?error=access_denied&state=right HTTP/1.1"), Some(denied));
        for line in [
            "GET /callback?code=a&state=wrong HTTP/1.1",
            "GET /callback?code=a HTTP/1.1",
            "GET /callback?code=a&code=b&state=right HTTP/1.1",
            "GET /callback?code=a&state=right&state=wrong HTTP/1.1",
            "POST /callback?code=a&state=right HTTP/1.1",
            "GET /favicon.ico HTTP/1.1",
            "",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn strangers_do_not_end_the_wait() {
        let listener = LoopbackListener::bind().await.unwrap();
        let port = listener.port();
        let waiting = tokio::spawn(async move { listener.wait("right", Duration::from_secs(20)).await });
        // One that says nothing, one with another state, and one that goes away.
        let silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let ask = async |target: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("/callback?code=planted&state=guess").await.starts_with("HTTP/1.1 404"));
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap());
        assert!(ask("/callback?code=mine&state=right").await.contains("go back to the terminal"));
        let answer = waiting.await.unwrap().unwrap();
        assert_eq!(answer.code.as_deref(), Some("mine"));
        drop(silent);
    }

    #[tokio::test]
    async fn the_wait_ends() {
        let listener = LoopbackListener::bind().await.unwrap();
        assert!(listener.wait("right", Duration::from_millis(20)).await.is_err());
    }
}
