//! A store on etcd with any number of servers in front of it, each a process with a folder of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{DROPSAFE, UNLIMITED, agent_program, skip};

pub const PASSPHRASE: &str = "correct horse battery staple of the cluster";

/// Whether a test cannot run here. With `--require-all` that is a failure.
pub fn skipped() -> bool {
    if super::server::is_installed() {
        return false;
    }
    skip("servers over a store on etcd (package etcd-server)");
    true
}

/// The program with an empty environment and a home of its own.
fn bare(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).current_dir(home).stdin(Stdio::null());
    command
}

/// The same, in the network of a process where one is named.
fn inside(network: Option<u32>, program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let Some(pid) = network else { return bare(program, home) };
    let mut command = bare("nsenter", home);
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg(program);
    command
}

/// The program, as by somebody who may read the site's files.
pub fn dropsafe(home: &Path) -> Command {
    bare(DROPSAFE, home)
}

/// A store, and what speaks to it.
pub struct Site {
    folder: tempfile::TempDir,
    pub servers: Vec<Server>,
    operator: String,
    pub admin: String,
    /// The process in whose network clients are; none: this one's.
    clients: Option<u32>,
}

/// Where a server listens.
#[derive(Clone)]
pub struct Place {
    pub host: String,
    pub port: u16,
    /// The process in whose network it is; none: this one's.
    pub network: Option<u32>,
}

/// One server.
pub struct Server {
    data: PathBuf,
    place: Place,
    flags: Vec<String>,
    log: PathBuf,
    pub url: String,
    child: Option<Child>,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Site {
    /// Makes a store at `url` and folders for `count` servers, none of which is started.
    pub fn new(url: &str, count: usize) -> Site {
        let place = |_| Place { host: "127.0.0.1".to_owned(), port: free_port(), network: None };
        Site::at(url, (0..count).map(place).collect(), None)
    }

    /// The same with servers at these places, and their clients in the network of a process where one is named.
    pub fn at(url: &str, places: Vec<Place>, clients: Option<u32>) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        let first = folder.path().join("server-0");
        let mut init = inside(clients, DROPSAFE, folder.path());
        init.args(["init", "--json", "--store", url, "--data"]).arg(&first);
        init.arg("--passphrase-file").arg(&passphrase).args(["--listen", &places[0].listen()]);
        for place in &places {
            init.args(["--advertise", &place.listen()]);
        }
        let made = output(init);
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let (_, pin) = made["url"].as_str().unwrap().split_once('#').unwrap();
        let servers = places.into_iter().enumerate().map(|(index, place)| {
            let data = folder.path().join(format!("server-{index}"));
            if index > 0 {
                // What the servers of a store share: record key, certificate, configuration.
                assert!(Command::new("cp").arg("-r").arg(&first).arg(&data).status().unwrap().success());
            }
            let log = folder.path().join(format!("server-{index}.log"));
            let url = format!("https://{}#{pin}", place.listen());
            Server { data, place, flags: Vec::new(), log, url, child: None }
        });
        let servers = servers.collect();
        Site { servers, operator: text("operator_token"), admin: text("admin_token"), clients, folder }
    }

    /// Starts server `index`; with `unlocked`, the passphrase's file is named to it.
    pub fn start(&mut self, index: usize, unlocked: bool, flags: &[&str]) {
        let passphrase = self.folder.path().join("passphrase");
        let server = &mut self.servers[index];
        server.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        if unlocked {
            server
                .flags
                .extend(["--unlock-passphrase-file".to_owned(), passphrase.to_str().unwrap().to_owned()]);
        }
        server.start();
        server.wait_ready();
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client command as the first administrator, at one server.
    pub fn admin_at(&self, server: usize, arguments: &[&str], input: &str) -> Output {
        self.client(server, &self.admin, arguments, input)
    }

    pub fn operator_at(&self, server: usize, arguments: &[&str], input: &str) -> Output {
        self.client(server, &self.operator, arguments, input)
    }

    fn client(&self, server: usize, token: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = inside(self.clients, DROPSAFE, self.folder.path());
        command.args(arguments).env("DROPSAFE_URL", &self.servers[server].url).env("DROPSAFE_TOKEN", token);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that refuses early does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// A ticket for the first administrator; without a limit, unless a flag sets one.
    pub fn ticket_at(&self, server: usize, flags: &[&str]) -> Output {
        let limits = UNLIMITED.iter().filter(|limit| !flags.contains(&limit[0])).flatten().copied();
        let arguments: Vec<&str> = ["ticket", "new", "--for", "admin"]
            .into_iter()
            .chain(limits)
            .chain(flags.iter().copied())
            .collect();
        self.admin_at(server, &arguments, "")
    }

    /// The agent, which prints its workload's environment.
    pub fn agent(&self, ticket: &str, deadline: &str) -> Command {
        let mut command = inside(self.clients, agent_program(), self.folder.path());
        command.args(["exec", "--deadline", deadline, "--", "env", "-0"]).env("DROPSAFE_TICKET", ticket);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn logs(&self) -> String {
        let read = |server: &Server| fs::read_to_string(&server.log).unwrap_or_default();
        self.servers.iter().map(read).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
        if std::thread::panicking() {
            let logs = self.logs();
            let tail: Vec<_> = logs.lines().rev().take(40).collect();
            eprintln!(
                "-- last lines of the servers' logs\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
    }
}

impl Place {
    fn listen(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Server {
    /// How to reach it, without the process.
    pub fn reference(&self) -> Server {
        let Server { data, place, flags, log, url, child: _ } = self;
        Server {
            data: data.clone(),
            place: place.clone(),
            flags: flags.clone(),
            log: log.clone(),
            url: url.clone(),
            child: None,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.data
    }

    pub fn start(&mut self) {
        let log = File::options().append(true).create(true).open(&self.log).unwrap();
        let mut command = inside(self.place.network, DROPSAFE, self.data.parent().unwrap());
        command.arg("serve").arg("--data").arg(&self.data);
        command.args(["--listen", &self.place.listen()]).args(&self.flags);
        command.env("DROPSAFE_LOG", "info").stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    pub fn wait_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        // Its socket is a file: it is reached from any network. It listens last on it.
        while UnixStream::connect(self.data.join("dropsafe.sock")).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended at once: {ended:?}");
            assert!(Instant::now() < until, "the server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens.
    #[allow(dead_code, reason = "the bench asks")]
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and the drain that follows.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.take().unwrap().wait().unwrap().success());
    }
}

/// What a command that must succeed printed.
#[track_caller]
pub fn output(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The output of a client that must have succeeded, as text.
#[track_caller]
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim_end_matches('\n').to_owned()
}

/// The variables that a workload saw.
pub fn variables(output: &Output) -> std::collections::BTreeMap<String, String> {
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let pairs = printed.split_terminator('\0').map(|entry| entry.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
