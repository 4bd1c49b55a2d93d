//! Tells the service manager how it goes (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names, and nothing when it
//! names none. No value is ever in one.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

use crate::settings::Environment;

/// The service manager's socket, if there is one.
pub struct Notify(Option<SocketAddr>);

impl Notify {
    /// Reads where it is.
    pub fn of(environment: &Environment) -> Self {
        Self(environment.variable("NOTIFY_SOCKET").and_then(|name| address(name).ok()))
    }

    /// The line that `systemctl status` shows.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", one_line(text)));
    }

    /// Done: what waits for this unit may start.
    pub fn ready(&self, text: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(text)));
    }

    fn send(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.as_bytes(), address));
        if let Err(error) = sent {
            debug!("the service manager cannot be told: {}", error.kind());
        }
    }
}

/// A path, or a name in the abstract namespace after `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &SocketAddr, name: &str) -> String {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        Notify::of(&Environment::new([("NOTIFY_SOCKET".into(), name.into())]))
            .ready("2 variables\nrevision 7");
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let said = "READY=1\nSTATUS=2 variables; revision 7";
        assert_eq!(told(&SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap()), said);
        let name = format!("dropsafe-test-{}", std::process::id());
        assert_eq!(told(&SocketAddr::from_abstract_name(&name).unwrap(), &format!("@{name}")), said);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        Notify::of(&Environment::default()).ready("x");
        Notify::of(&Environment::new([("NOTIFY_SOCKET".into(), "/nonexistent/x".into())])).ready("x");
    }
}
