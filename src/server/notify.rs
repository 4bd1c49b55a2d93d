//! Telling systemd how it goes: datagrams on the socket that it names (sd_notify(3)). Never blocks and never fails:
//! nobody may be listening.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager, when there is one.
#[derive(Debug, Default)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// The manager behind `$NOTIFY_SOCKET`: a path, or `@` and a name in the abstract namespace.
    pub fn to(socket: Option<&OsStr>) -> Self {
        let connect = || {
            let name = socket?.as_bytes();
            let address = match name.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(OsStr::from_bytes(name)),
            };
            let datagrams = UnixDatagram::unbound().ok()?;
            datagrams.set_nonblocking(true).ok()?;
            Some((datagrams, address.ok()?))
        };
        Self(connect())
    }

    /// Ready, with a line for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// On the way down.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=finishing requests");
    }

    fn send(&self, message: &str) {
        if let Some((datagrams, address)) = &self.0 {
            let _ = datagrams.send_to_addr(message.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_it_and_nobody_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(Some(path.as_os_str()));
        notify.ready("locked");
        let mut buffer = [0; 64];
        let read = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1\nSTATUS=locked");
        drop(manager);
        notify.stopping();
        Notify::to(None).ready("unlocked");
        Notify::to(Some(OsStr::new("relative"))).stopping();
    }
}
