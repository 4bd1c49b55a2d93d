//! `credentials`: the service manager's side of the protocol, played as systemd plays it. Needs root and systemd's own
//! `systemd-socket-activate`.

use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};

use super::workload::{agent, within, without_store};

/// More than this, and systemd's reading fails (CREDENTIAL_SIZE_MAX).
const MAX: usize = 1 << 20;

struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What systemd would have: the value, or the failure that a unit dies of.
fn load(path: &Path, name: &str) -> Result<Vec<u8>, &'static str> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let own = UnixAddr::new_abstract(address.as_abstract_name().unwrap()).unwrap();
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &own).unwrap();
    within(Duration::from_secs(10), || {
        connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &UnixAddr::new(path).unwrap()).ok()
    });
    let mut stream = std::os::unix::net::UnixStream::from(fd);
    let mut value = Vec::new();
    (&mut stream).take(MAX as u64 + 1).read_to_end(&mut value).unwrap();
    if value.len() > MAX { Err("E2BIG") } else { Ok(value) }
}

#[test]
fn units_get_the_credentials_of_the_boot_or_fail() {
    if !nix::unistd::getuid().is_root()
        || Command::new("systemd-socket-activate").arg("--version").output().is_err()
    {
        return super::skip("LoadCredential= (needs root and systemd-socket-activate)");
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("credentials.sock");
    let mut activate = without_store(Command::new("systemd-socket-activate"));
    activate.args(["-E", "DROPSAFE_FILES_DIR", "-l", path.to_str().unwrap(), &agent(), "credentials"]);
    let _activated = Activated(activate.env("DROPSAFE_FILES_DIR", folder.path()).spawn().unwrap());

    assert_eq!(load(&path, "1/unit/web.service/db-url"), Err("E2BIG"), "nothing has been left yet");
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {db-url: \"a\\nb\", empty: ''}\n").unwrap();
    let mut boot = without_store(Command::new(agent()));
    boot.env("DROPSAFE_CONFIG", &file).env("DROPSAFE_FILES_DIR", folder.path());
    assert!(boot.arg("boot").output().unwrap().status.success());

    assert_eq!(load(&path, "2/unit/web.service/db-url"), Ok(b"a\nb".to_vec()));
    assert_eq!(load(&path, "3/unit/web.service/DB_URL"), Ok(b"a\nb".to_vec()));
    assert_eq!(load(&path, "4/unit/web.service/empty"), Ok(Vec::new()), "this one is empty");
    assert_eq!(load(&path, "5/unit/web.service/unknown"), Err("E2BIG"));
    assert_eq!(load(&path, "6/other/db-url"), Err("E2BIG"));
}

#[test]
fn without_a_socket_it_says_so() {
    let output = without_store(Command::new(agent())).arg("credentials").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8(output.stderr).unwrap().contains("systemctl start"));
}
