//! A site: a data folder, a server process on loopback, and clients with a clean environment. Dropping the site ends its
//! processes by id.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub const DROPSAFE: &str = env!("CARGO_BIN_EXE_dropsafe");
pub const PASSPHRASE: &str = "correct horse battery staple of the tests";

/// The static agent that `tests/run` built, or else the one of this build.
pub fn agent_program() -> PathBuf {
    std::env::var_os("DROPSAFE_STATIC_AGENT")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dropsafe-agent")), PathBuf::from)
}

/// Reports that a test cannot run here. With `--require-all` that is a failure.
pub fn skip(what: &str) {
    assert!(std::env::var_os("DROPSAFE_REQUIRE_ALL").is_none(), "cannot run here: {what}");
    eprintln!("skipped: {what}");
    if let Some(list) = std::env::var_os("DROPSAFE_SKIPS") {
        let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{what}").unwrap();
    }
}

/// The flags of a ticket without limits.
pub const UNLIMITED: [[&str; 2]; 2] = [["--ttl", "none"], ["--uses", "unlimited"]];

pub struct Site {
    pub folder: tempfile::TempDir,
    pub port: u16,
    pub url: String,
    pub operator: String,
    pub admin: String,
    server: Option<Child>,
    starts: usize,
    /// The tokens of further members, by name.
    tokens: std::sync::Mutex<std::collections::BTreeMap<String, String>>,
}

/// The output and status of a command.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status,
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{}\nout: {}\nerr: {}", self.status, self.out, self.err);
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(code), "out: {}\nerr: {}", self.out, self.err);
        for words in says {
            assert!(self.err.contains(words), "does not say {words:?}:\n{}", self.err);
        }
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}\n{}", self.out, self.err))
    }
}

impl Site {
    /// An initialized store without a server.
    pub fn new() -> Self {
        Self::advertised(&[])
    }

    /// As [`Site::new`], with these hosts in its tickets instead of the one that it listens on.
    pub fn advertised(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        let ran = Ran::of(
            bare(DROPSAFE, folder.path())
                .args(["init", "--json", "--data"])
                .arg(folder.path().join("data"))
                .arg("--passphrase-file")
                .arg(&passphrase)
                .args(["--listen", &format!("127.0.0.1:{port}")])
                .args(hosts.iter().map(|host| format!("--advertise={host}:{port}")))
                .output()
                .unwrap(),
        )
        .ok();
        let made = ran.json();
        let text =
            |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", ran.out)).to_owned();
        Self {
            port,
            url: text("url"),
            operator: text("operator_token"),
            admin: text("admin_token"),
            tokens: Default::default(),
            folder,
            server: None,
            starts: 0,
        }
    }

    /// A site for an existing store: an empty folder to copy its data into, and a new port.
    pub fn of_tokens(url: &str, operator: &str, admin: &str) -> Self {
        let port = free_port();
        let (_, pin) = url.split_once('#').unwrap();
        Self {
            port,
            url: format!("https://127.0.0.1:{port}#{pin}"),
            operator: operator.to_owned(),
            admin: admin.to_owned(),
            tokens: Default::default(),
            folder: tempfile::tempdir().unwrap(),
            server: None,
            starts: 0,
        }
    }

    /// An initialized store with an unlocked server.
    pub fn unlocked() -> Self {
        let mut site = Self::new();
        site.serve_unlocked();
        site
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn serve_unlocked(&mut self) {
        let file = self.folder.path().join("passphrase");
        self.serve(&["--unlock-passphrase-file", file.to_str().unwrap()]);
    }

    /// Starts the server and waits until it answers.
    pub fn serve(&mut self, arguments: &[&str]) {
        assert!(self.server.is_none(), "already serving");
        self.starts += 1;
        let child = self.serve_command(arguments).spawn().unwrap();
        self.server = Some(child);
        self.wait_ready();
    }

    /// The command that starts the server. It logs everything to `server-N.log`.
    pub fn serve_command(&self, arguments: &[&str]) -> Command {
        let log = File::create(self.folder.path().join(format!("server-{}.log", self.starts))).unwrap();
        let mut command = bare(DROPSAFE, self.folder.path());
        command
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .env("DROPSAFE_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    /// As [`Site::serve`], for data that may be damaged. Returns whether the server started.
    pub fn try_serve(&mut self, arguments: &[&str]) -> bool {
        self.starts += 1;
        let mut child = self.serve_command(arguments).spawn().unwrap();
        loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.server = Some(child);
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && UnixStream::connect(self.data().join("dropsafe.sock")).is_ok()
            {
                return;
            }
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended at once: {ended:?}\n{}", self.log());
            assert!(Instant::now() < until, "the server does not listen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// SIGKILL, as a power failure would.
    pub fn kill(&mut self) {
        let mut child = self.server.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Returns the server, which the caller must end.
    pub fn take_server(&mut self) -> Child {
        self.server.take().unwrap()
    }

    /// Sends SIGTERM and waits for the drain.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.server.take().unwrap();
        signal(child.id(), nix::sys::signal::Signal::SIGTERM);
        child.wait().unwrap()
    }

    /// The logs of all servers of this site.
    pub fn log(&self) -> String {
        (0..=self.starts)
            .filter_map(|n| fs::read(self.folder.path().join(format!("server-{n}.log"))).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    /// Runs a client command as the first administrator.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_as(&self.admin, arguments, b"")
    }

    pub fn operator(&self, arguments: &[&str]) -> Ran {
        self.cli_as(&self.operator, arguments, b"")
    }

    pub fn cli_as(&self, token: &str, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = bare(DROPSAFE, self.folder.path());
        command.args(arguments).env("DROPSAFE_URL", &self.url).env("DROPSAFE_TOKEN", token);
        Ran::of(feed(command, input))
    }

    /// `printf %s VALUE | dropsafe set NAME …` as the first administrator.
    pub fn set(&self, name: &str, value: &str, flags: &[&str]) -> Ran {
        self.set_as(&self.admin, name, value.as_bytes(), flags)
    }

    pub fn set_as(&self, token: &str, name: &str, value: &[u8], flags: &[&str]) -> Ran {
        let mut arguments = vec!["set", name];
        arguments.extend_from_slice(flags);
        self.cli_as(token, &arguments, value)
    }

    /// Creates a member. Returns their token.
    pub fn member(&self, name: &str, role: &str) -> String {
        let code = self.cli(&["member", "add", name, "--role", role]).ok().out;
        let token = self.cli_as("", &["enroll", "--print"], code.as_bytes()).ok().out.trim().to_owned();
        self.tokens.lock().unwrap().insert(name.to_owned(), token.clone());
        token
    }

    /// Creates a ticket for the member; without a limit, unless a flag sets one.
    pub fn ticket(&self, member: &str, flags: &[&str]) -> String {
        let mut arguments = vec!["ticket", "new", "--for", member];
        arguments.extend(UNLIMITED.into_iter().filter(|limit| !flags.contains(&limit[0])).flatten());
        arguments.extend_from_slice(flags);
        // Nobody but the member creates them.
        let token = self.tokens.lock().unwrap().get(member).unwrap_or(&self.admin).clone();
        self.cli_as(&token, &arguments, b"").ok().out.trim_end_matches('\n').to_owned()
    }

    /// Runs the agent with the ticket and an otherwise empty environment, to which `environment` is added.
    pub fn agent(&self, ticket: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        Ran::of(self.agent_command(ticket, arguments, environment).output().unwrap())
    }

    pub fn agent_command(&self, ticket: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = bare(agent_program(), self.folder.path());
        command
            .args(arguments)
            .env("DROPSAFE_TICKET", ticket)
            .env("DROPSAFE_LOG", "trace")
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Boots `env -0`. Returns the workload's environment.
    pub fn boot(&self, ticket: &str, arguments: &[&str]) -> BTreeMap<String, String> {
        let mut all = vec!["exec"];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&["--", "env", "-0"]);
        environment(&self.agent(ticket, &all, &[]).ok().out)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(30).collect();
            eprintln!(
                "-- last lines of the server's log\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
    }
}

/// The program with a minimal environment and its own home.
pub fn bare(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .current_dir(home);
    command
}

/// Runs a command with `input` on standard input.
pub fn feed(mut command: Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A program that fails early does not read its input, which is no error here.
    let _ = pipe.write_all(input);
    drop(pipe);
    child.wait_with_output().unwrap()
}

/// Parses the output of `env -0`.
pub fn environment(printed: &str) -> BTreeMap<String, String> {
    printed
        .split_terminator('\0')
        .map(|entry| entry.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub fn signal(pid: u32, which: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), which).unwrap();
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the offset of the first 16 bytes in `hay` that `needle` contains too.
pub fn holds_piece(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let windows: std::collections::HashSet<&[u8]> = needle.windows(16.min(needle.len())).collect();
    hay.windows(16.min(needle.len())).position(|window| windows.contains(window))
}
