//! `credentials`: answers `LoadCredential=NAME:/run/dropsafe-credentials.sock` of any unit with what `boot` has left: a variable's
//! value or a file's content. It contacts no store, and keeps no value between two answers.
//!
//! systemd names the unit in the address that it binds its side of the connection to, `\0RANDOM/unit/UNIT/CREDENTIAL`
//! (systemd.exec(5)), and the kernel vouches that the peer is root.
//!
//! systemd reads to the end of the stream, and the protocol has no way to refuse: an empty stream is an empty credential, and the unit
//! would start with it. A refusal is therefore an answer that is longer than systemd accepts (1 MiB, `CREDENTIAL_SIZE_MAX`): reading
//! it fails with E2BIG and the unit at once with 243/CREDENTIALS. Two alternatives do not work. Closing without reading resets
//! nothing on a Unix socket, since systemd has sent nothing. Not answering hangs the unit until its timeout.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::getpid;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::boot::environment_file;
use super::boot::environment_file::{ENVIRONMENT, RECEIPT};
use super::folder::Folder;
use super::requested_name::RequestedName;
use super::supervise::syscalls;
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::resolve::ReleaseReason;
use crate::domain::value::Delivery;
use crate::settings::Environment;

/// More than systemd accepts, and little enough for a reader that accepts everything.
const OVERSIZED: usize = 4 << 20;
/// A reader that takes longer is not systemd.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the next question. systemd starts this program again when there is one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no question can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// A person has started the command.
    #[error("no socket was passed on")]
    NotActivated,
    #[error("the socket that was passed on: {0}")]
    Socket(io::ErrorKind),
}

impl CredentialsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        "systemd starts this through its socket unit: systemctl start dropsafe-credentials.socket"
    }
}

/// Why one question is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CredentialRefusal {
    #[error("user {0} asks for a credential, and only root may")]
    NotRoot(u32),
    #[error("the peer does not say which unit the credential is for")]
    NoUnit,
    #[error("{unit} asks for {credential}, and there are no secrets of this boot: {kind}")]
    NoBoot { unit: String, credential: String, kind: io::ErrorKind },
    #[error("{unit} asks for {credential}, which this boot did not receive")]
    Unknown { unit: String, credential: String },
}

/// Answers questions until there has been none for a while.
pub(crate) fn run(folder: &Path, environment: &Environment) -> Result<(), CredentialsError> {
    let number = |name: &str| environment.variable(name)?.to_str()?.parse::<u32>().ok();
    // Both are inherited by every descendant of a socket-activated service, so the process id decides (sd_listen_fds(3)).
    let passed = number("LISTEN_PID") == u32::try_from(getpid().as_raw()).ok();
    if !passed || number("LISTEN_FDS") != Some(1) {
        return Err(CredentialsError::NotActivated);
    }
    let listener = syscalls::passed_listener().ok_or(CredentialsError::NotActivated)?;
    serve(&listener, folder, IDLE_TIMEOUT).map_err(|error| CredentialsError::Socket(error.kind()))
}

fn serve(listener: &UnixListener, folder: &Path, idle: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let idle = PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX);
    while poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], idle)? > 0 {
        match listener.accept() {
            // One after the other: a question takes microseconds, and a thread would need a limit on their number.
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, folder) {
                    debug!("the peer did not take the answer: {}", error.kind());
                }
            }
            // The peer has gone between poll(2) and accept(2).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(mut stream: UnixStream, folder: &Path) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    match read_credential(&stream, folder) {
        Ok(value) => stream.write_all(&value),
        Err(refusal) => {
            warn!("{refusal}; the unit fails to start");
            let zeros = [0; 64 << 10];
            (0..OVERSIZED / zeros.len()).try_for_each(|_| stream.write_all(&zeros))
        }
    }
}

fn read_credential(stream: &UnixStream, folder: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialRefusal> {
    // The socket's mode admits root alone; this holds where an administrator has changed it.
    let uid = getsockopt(stream, PeerCredentials).map_or(u32::MAX, |peer| peer.uid());
    if uid != 0 {
        return Err(CredentialRefusal::NotRoot(uid));
    }
    let address = stream.peer_addr().map_err(|_| CredentialRefusal::NoUnit)?;
    let (unit, credential) =
        address.as_abstract_name().and_then(parse_peer_name).ok_or(CredentialRefusal::NoUnit)?;
    let no_boot = |error: io::Error| CredentialRefusal::NoBoot {
        unit: unit.clone(),
        credential: credential.clone(),
        kind: error.kind(),
    };
    // Read for each question: another boot may have replaced the file since the last one.
    let opened = Folder::open(folder).map_err(no_boot)?;
    let text = opened.read_own(ENVIRONMENT.as_ref(), u64::MAX).map_err(no_boot)?;
    let variables =
        environment_file::parse(&text).ok_or_else(|| no_boot(io::ErrorKind::InvalidData.into()))?;
    match lookup(variables, &read_receipt(&opened), &credential) {
        Some(CredentialValue::Inline(value)) => Ok(value),
        Some(CredentialValue::File(path)) => read_file(&path).map_err(no_boot),
        None => Err(CredentialRefusal::Unknown { unit: unit.clone(), credential: credential.clone() }),
    }
}

/// Reads the file of a secret. Its folder may belong to the file's owner, who could put a link to another file there.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Folder::open(path.parent().unwrap_or(Path::new("/")))?.read(name)
}

/// Unit and credential in `RANDOM/unit/UNIT/CREDENTIAL`.
fn parse_peer_name(name: &[u8]) -> Option<(String, String)> {
    // Neither a unit's nor a credential's name can contain a slash (systemd.unit(5), systemd.exec(5)).
    let mut parts = str::from_utf8(name).ok()?.split('/');
    let (_random, kind, unit, credential) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = kind == "unit" && !unit.is_empty() && !credential.is_empty() && parts.next().is_none();
    // Both are part of messages, where a control character could move a terminal's cursor.
    let harmless = |text: &str| text.chars().filter(|c| !c.is_control()).collect();
    whole.then(|| (harmless(unit), harmless(credential)))
}

enum CredentialValue {
    Inline(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

/// What the boot received from the store; nothing if an older version left no receipt.
fn read_receipt(folder: &Folder) -> Receipt {
    let text = folder.read_own(RECEIPT.as_ref(), u64::MAX).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Finds a credential among variables. Its name may be a secret's, or a variable's, also as the store would export it.
fn lookup(
    variables: Vec<(String, Zeroizing<Vec<u8>>)>,
    receipt: &Receipt,
    credential: &str,
) -> Option<CredentialValue> {
    let requested = RequestedName::parse(credential).ok()?;
    // Another secret could be exported as what the unit writes.
    if requested.is_withheld(receipt) {
        return None;
    }
    let entries = &receipt.entries;
    // As for references: another member could export a shared secret under the name that a unit asks for.
    let of_secret = requested.find(receipt, |entry| entry.by != ReleaseReason::Reference);
    let of_secret = of_secret.map(|index| entries[index].variable_name());
    let exported = requested.names().last().unwrap_or(credential);
    // A variable in the very case of the credential comes last: beside TLS_KEY_FILE, tls_key is another secret.
    let names =
        of_secret.into_iter().chain([exported.to_owned(), format!("{exported}_FILE"), credential.into()]);
    let mut variables: BTreeMap<String, Zeroizing<Vec<u8>>> = variables.into_iter().collect();
    let name = names.into_iter().find(|name| variables.contains_key(name))?;
    let value = variables.remove(&name)?;
    let is_file = |entry: &ReceiptEntry| entry.delivery == Delivery::File && entry.variable_name() == name;
    // Without a receipt the name alone tells.
    if entries.iter().any(is_file) || name == format!("{exported}_FILE") && name != credential {
        return Some(CredentialValue::File(str::from_utf8(&value).ok()?.into()));
    }
    Some(CredentialValue::Inline(value))
}

#[cfg(test)]
mod tests {
    use super::super::verified_release::tests::response;
    use super::*;
    use crate::domain::id::SecretId;
    use crate::domain::name::{EnvName, SecretName};
    use crate::domain::resolve::{SkipReason, Skipped};
    use crate::domain::secret::ScopeKind;

    #[test]
    fn the_address_names_unit_and_credential() {
        let read = |name: &str| parse_peer_name(name.as_bytes());
        assert_eq!(read("3f2a/unit/web.service/db-url"), Some(("web.service".into(), "db-url".into())));
        for name in ["", "x", "x/unit/web", "x/unit/web/", "x/unit//y", "x/other/web/y", "x/unit/web/y/z"] {
            assert_eq!(read(name), None, "{name}");
        }
        assert_eq!(parse_peer_name(b"\xff/unit/a/b"), None);
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
            match lookup(variables, &Receipt::default(), credential)? {
                CredentialValue::Inline(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
                CredentialValue::File(path) => Some(path.display().to_string()),
            }
        };
        assert_eq!(found("db-url").as_deref(), Some("postgres"));
        assert_eq!(found("DB_URL").as_deref(), Some("postgres"));
        assert_eq!(found("tls.key").as_deref(), Some("/run/k"));
        assert_eq!(found("mixedCase").as_deref(), Some("m"));
        assert_eq!(found("other"), None);
        assert_eq!(found("a b"), None);
    }

    /// No name that another member chose takes the place of the secret that a unit asks for.
    #[test]
    fn a_credential_is_the_secret_of_that_name_before_what_is_exported_so() {
        let found = |entries: &[(&str, &str, ScopeKind, Delivery)], credential: &str| {
            let made = entries.iter().enumerate().map(|(id, (name, env, scope, delivery))| {
                let mut entry = response(&[("x", "")]).receipt.entries.remove(0);
                (entry.name, entry.env) = (SecretName::parse(name).unwrap(), EnvName::parse(env).unwrap());
                (entry.scope, entry.delivery, entry.id) =
                    (*scope, *delivery, SecretId::from_bytes([id as u8; 16]));
                entry
            });
            let receipt = Receipt { entries: made.collect(), ..Receipt::default() };
            let variables = receipt.entries.iter().map(|entry| {
                (entry.variable_name(), Zeroizing::new(entry.name.as_str().as_bytes().to_vec()))
            });
            match lookup(variables.collect(), &receipt, credential)? {
                CredentialValue::Inline(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
                CredentialValue::File(path) => Some(format!("file {}", path.display())),
            }
        };
        let (private, shared) = (ScopeKind::Private, ScopeKind::Shared);
        let (file, variable) = (Delivery::File, Delivery::Variable);
        // A shared secret that is exported as what the unit writes.
        let theirs = [("db-url", "MAIN_DB", shared, variable), ("zz", "DB_URL", shared, variable)];
        assert_eq!(found(&theirs, "db-url").as_deref(), Some("db-url"));
        assert_eq!(found(&theirs, "DB_URL").as_deref(), Some("zz"));
        let theirs = [("tls-key", "TLS_KEY", private, file), ("zz", "tls_key", shared, variable)];
        assert_eq!(found(&theirs, "tls_key").as_deref(), Some("file tls-key"));
        // A shared secret of the name, beside one's own that is exported so.
        let theirs = [("db-url", "ZZ", shared, variable), ("my-db", "DB_URL", private, variable)];
        assert_eq!(found(&theirs, "db-url").as_deref(), Some("my-db"));
    }

    #[test]
    fn no_shared_secret_is_the_credential_in_place_of_a_private_one_that_was_withheld() {
        let mut receipt = response(&[("db-url", "theirs"), ("zz", "theirs")]).receipt;
        receipt.entries[0].env = EnvName::parse("ZZ").unwrap();
        receipt.entries[1].env = EnvName::parse("DB_URL").unwrap();
        receipt.entries.iter_mut().for_each(|entry| entry.scope = ScopeKind::Shared);
        let found = |receipt: &Receipt| {
            let variables = ["ZZ", "DB_URL"].map(|name| (name.to_owned(), Zeroizing::default()));
            lookup(variables.into(), receipt, "db-url").is_some()
        };
        assert!(found(&receipt));
        let entry = receipt.entries[0].clone();
        receipt.skipped = vec![Skipped {
            id: SecretId::from_bytes([9; 16]),
            name: entry.name,
            env: EnvName::parse("MY_DB").unwrap(),
            scope_kind: ScopeKind::Private,
            version: entry.version,
            reason: SkipReason::PluginDisabled,
        }];
        assert!(!found(&receipt));
    }
}
