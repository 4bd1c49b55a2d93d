//! `credentials`: answers `LoadCredential=NAME:/run/dropsafe/credentials.sock` of any unit with what `boot` has left: a variable's
//! value or a file's content. It asks no store, and keeps no value between two answers.
//!
//! The service manager says who asks in the address that it binds its side to, `\0RANDOM/unit/UNIT/CREDENTIAL` (systemd.exec(5)),
//! and the kernel says that it is root. It reads to the end of the stream and knows no way to be refused: an end without a byte
//! is an empty credential, and the unit would start with it. So what cannot be given is answered with more than the service manager
//! takes (1 MiB, `CREDENTIAL_SIZE_MAX`): reading fails with E2BIG and the unit with 243/CREDENTIALS, at once. Roads not taken: to
//! close without reading resets nothing on a Unix socket, for the other side has sent nothing; to say nothing hangs the unit
//! until its timeout.
#![expect(clippy::disallowed_methods, reason = "reads what a boot left")]

use std::io::Write;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::getpid;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::boot::{ENVIRONMENT, formats};
use super::failure::Failure;
use super::supervise::kernel;
use crate::domain::name::SecretName;
use crate::process::Exit;
use crate::settings::Environment;

/// More than any service manager takes; less than would hurt one that takes everything.
const TOO_MUCH: usize = 4 << 20;
/// A reader that takes longer is not the service manager.
const PATIENCE: Duration = Duration::from_secs(10);
/// Then this ends; the service manager starts it again when somebody asks.
const IDLE: Duration = Duration::from_secs(30);

/// Why nobody can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// Started by hand.
    #[error("no socket was passed on")]
    NotActivated,
    /// The socket is of no use.
    #[error("the socket that was passed on: {0}")]
    Socket(io::ErrorKind),
}

impl CredentialsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some("systemd starts it by its socket unit: systemctl start dropsafe-credentials.socket")
    }
}

/// Why one question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unanswered {
    #[error("user {0} asks, and only root's service manager may")]
    NotRoot(u32),
    #[error("who asks does not say for which unit")]
    NoUnit,
    #[error("{unit} asks for {credential}, and this machine's boot has left nothing to read: {kind}")]
    NoBoot { unit: String, credential: String, kind: io::ErrorKind },
    #[error("{unit} asks for {credential}, which this boot did not receive")]
    Unknown { unit: String, credential: String },
}

/// Answers until nobody has asked for a while.
///
/// # Errors
/// There is no socket.
pub(crate) fn run(folder: &Path, environment: &Environment) -> Result<Exit, Failure> {
    let number = |name: &str| environment.variable(name)?.to_str()?.parse::<u32>().ok();
    let passed = number("LISTEN_PID") == u32::try_from(getpid().as_raw()).ok();
    if !passed || number("LISTEN_FDS") != Some(1) {
        return Err(CredentialsError::NotActivated.into());
    }
    let listener = kernel::passed_listener().ok_or(CredentialsError::NotActivated)?;
    serve(&listener, folder, IDLE).map_err(|error| CredentialsError::Socket(error.kind()))?;
    Ok(Exit::Success)
}

fn serve(listener: &UnixListener, folder: &Path, idle: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let idle = PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX);
    while poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], idle)? > 0 {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, folder) {
                    debug!("an answer was not taken: {}", error.kind());
                }
            }
            // Gone again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(mut stream: UnixStream, folder: &Path) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match find(&stream, folder) {
        Ok(value) => stream.write_all(&value),
        Err(unanswered) => {
            warn!("{unanswered}; it is made to fail");
            let nothing = [0; 64 << 10];
            (0..TOO_MUCH / nothing.len()).try_for_each(|_| stream.write_all(&nothing))
        }
    }
}

fn find(stream: &UnixStream, folder: &Path) -> Result<Zeroizing<Vec<u8>>, Unanswered> {
    let uid = getsockopt(stream, PeerCredentials).map_or(u32::MAX, |peer| peer.uid());
    if uid != 0 {
        return Err(Unanswered::NotRoot(uid));
    }
    let address = stream.peer_addr().map_err(|_| Unanswered::NoUnit)?;
    let (unit, credential) = address.as_abstract_name().and_then(asked).ok_or(Unanswered::NoUnit)?;
    let no_boot = |error: io::Error| Unanswered::NoBoot {
        unit: unit.clone(),
        credential: credential.clone(),
        kind: error.kind(),
    };
    let text = Zeroizing::new(fs::read(folder.join(ENVIRONMENT)).map_err(no_boot)?);
    let variables = formats::parse(&text).ok_or_else(|| no_boot(io::ErrorKind::InvalidData.into()))?;
    match lookup(variables, &credential) {
        Some(Given::Value(value)) => Ok(value),
        Some(Given::File(path)) => fs::read(path).map(Zeroizing::new).map_err(no_boot),
        None => Err(Unanswered::Unknown { unit: unit.clone(), credential: credential.clone() }),
    }
}

/// Unit and credential of `RANDOM/unit/UNIT/CREDENTIAL`. Neither can hold a slash.
fn asked(name: &[u8]) -> Option<(String, String)> {
    let mut parts = str::from_utf8(name).ok()?.split('/');
    let (_random, kind, unit, credential) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = kind == "unit" && !unit.is_empty() && !credential.is_empty() && parts.next().is_none();
    // Both end up in a message.
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).collect();
    whole.then(|| (shown(unit), shown(credential)))
}

enum Given {
    Value(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

/// A credential's name means what a secret's name means: it is exported in the same way.
fn lookup(variables: Vec<(String, Zeroizing<Vec<u8>>)>, credential: &str) -> Option<Given> {
    let env = SecretName::parse(credential).ok()?.export();
    let file = format!("{env}_FILE");
    let mut found = None;
    for (name, value) in variables {
        if name == credential || name == env.as_str() {
            return Some(Given::Value(value));
        }
        if name == file {
            let path = str::from_utf8(&value).ok()?;
            found = Some(Given::File(path.into()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_what_is_in_the_address() {
        let read = |name: &str| asked(name.as_bytes());
        assert_eq!(read("3f2a/unit/web.service/db-url"), Some(("web.service".into(), "db-url".into())));
        for name in ["", "x", "x/unit/web", "x/unit/web/", "x/unit//y", "x/other/web/y", "x/unit/web/y/z"] {
            assert_eq!(read(name), None, "{name}");
        }
        assert_eq!(asked(b"\xff/unit/a/b"), None);
    }

    #[test]
    fn a_credential_is_found_as_a_secret_is_exported() {
        let found = |credential: &str| {
            let value = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
            let variables = vec![
                ("DB_URL".to_owned(), value("postgres")),
                ("TLS_KEY_FILE".to_owned(), value("/run/k")),
                ("mixedCase".to_owned(), value("m")),
            ];
            match lookup(variables, credential)? {
                Given::Value(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
                Given::File(path) => Some(path.display().to_string()),
            }
        };
        assert_eq!(found("db-url").as_deref(), Some("postgres"));
        assert_eq!(found("DB_URL").as_deref(), Some("postgres"));
        assert_eq!(found("tls.key").as_deref(), Some("/run/k"));
        assert_eq!(found("mixedCase").as_deref(), Some("m"));
        assert_eq!(found("other"), None);
        assert_eq!(found("a b"), None);
    }
}
