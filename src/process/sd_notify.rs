//! Readiness and a status line for the service manager, as sd_notify(3) defines them: datagrams to the socket that
//! `$NOTIFY_SOCKET` names. No secret's value is ever in one.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a full queue of the service manager may hold this program up.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager's socket, or nothing where no service manager is listening. Sending never fails.
#[derive(Debug, Default)]
pub(crate) struct SdNotify(Option<(UnixDatagram, SocketAddr)>);

impl SdNotify {
    /// `name` is the value of `$NOTIFY_SOCKET`: a path, or `@` and a name in the abstract namespace.
    pub(crate) fn new(name: Option<&OsStr>) -> Self {
        Self(name.and_then(|name| open(name).ok()))
    }

    /// The line that `systemctl status` shows.
    #[cfg(feature = "agent")]
    pub(crate) fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", one_line(text)));
    }

    /// Units that wait for this one may start.
    pub(crate) fn ready(&self, text: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(text)));
    }

    /// The program has begun to end.
    #[cfg(feature = "server")]
    pub(crate) fn stopping(&self, text: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(text)));
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.0 else { return };
        // A unit without NotifyAccess= may have left the variable of its own manager: nothing depends on the answer.
        let _ = socket.send_to_addr(message.as_bytes(), address);
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }?;
    let socket = UnixDatagram::unbound()?;
    // Neither fully blocking, since a manager that does not read must not stop a boot, nor non-blocking, since a manager that is
    // only slow would never see READY=1.
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok((socket, address))
}

/// A line break would start another variable of the protocol.
fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(address: &SocketAddr, name: &str) -> String {
        let manager = UnixDatagram::bind_addr(address).unwrap();
        SdNotify::new(Some(OsStr::new(name))).ready("2 variables\nrevision 7");
        let mut bytes = [0; 100];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let message = "READY=1\nSTATUS=2 variables; revision 7";
        assert_eq!(received(&SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap()), message);
        let name = format!("dropsafe-test-{}", std::process::id());
        assert_eq!(received(&SocketAddr::from_abstract_name(&name).unwrap(), &format!("@{name}")), message);
    }

    #[test]
    fn a_manager_that_is_gone_or_absent_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        drop(UnixDatagram::bind(&path).unwrap());
        SdNotify::new(Some(path.as_os_str())).ready("locked");
        SdNotify::new(None).ready("unlocked");
        SdNotify::new(Some(OsStr::new("relative"))).ready("locked");
    }
}
