//! A store of its own for each test: data in a temporary folder, a server process on loopback, and clients with an empty
//! environment. What is started here is ended by its process id.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

pub const DROPSAFE: &str = env!("CARGO_BIN_EXE_dropsafe");
pub const AGENT: &str = env!("CARGO_BIN_EXE_dropsafe-agent");
pub const PASSPHRASE: &str = "a passphrase of the tests";

pub struct Site {
    pub folder: tempfile::TempDir,
    pub url: String,
    pub operator: String,
    pub admin: String,
    listen: String,
    server: Option<Child>,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in says {
            assert!(self.err.contains(words), "does not say {words:?}: {}", self.err);
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The lines of a table, each split at its blanks, the headings left out.
    pub fn rows(&self) -> Vec<Vec<&str>> {
        self.out.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
    }
}

impl Site {
    /// Made, not serving.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = own_address();
        let mut init = bare(&folder);
        init.args(["init", "--json", "--data", "data", "--listen", &listen]);
        let made = Ran::of(feed(init, PASSPHRASE.as_bytes())).ok().json();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        Self {
            url: text("url"),
            operator: text("operator_token"),
            admin: text("admin_token"),
            listen,
            folder,
            server: None,
        }
    }

    /// Made, serving and unlocked.
    pub fn unlocked() -> Self {
        let mut site = Self::new();
        site.serve("data", &[]);
        site.as_operator(&["unlock"], PASSPHRASE.as_bytes()).ok();
        site
    }

    /// Serves the data in that folder until [`Site::stop`].
    pub fn serve(&mut self, data: &str, flags: &[&str]) {
        let listen = self.listen.clone();
        let mut command = bare(&self.folder);
        command.args(["serve", "--data", data, "--listen", &listen]).args(flags);
        let log = std::fs::File::create(self.path("server.log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&listen).is_err() {
            let log = || std::fs::read_to_string(self.path("server.log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "the server ended:\n{}", log());
            assert!(Instant::now() < until, "the server does not listen:\n{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.server = Some(child);
    }

    /// The process id of the server.
    pub fn server_id(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    pub fn stop(&mut self) {
        let mut child = self.server.take().unwrap();
        signal(&child, nix::sys::signal::Signal::SIGTERM);
        assert!(child.wait().unwrap().success());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A client with the store in its environment.
    pub fn client(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = bare(&self.folder);
        command.env("DROPSAFE_URL", &self.url).env("DROPSAFE_TOKEN", token).args(arguments);
        command
    }

    pub fn run_as(&self, token: &str, arguments: &[&str], input: &[u8]) -> Ran {
        Ran::of(feed(self.client(token, arguments), input))
    }

    /// As the first administrator.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(&self.admin, arguments, b"")
    }

    /// As the first administrator, of the store at another address.
    pub fn run_at(&self, url: &str, arguments: &[&str]) -> Ran {
        let mut client = self.client(&self.admin, arguments);
        client.env("DROPSAFE_URL", url);
        Ran::of(feed(client, b""))
    }

    pub fn as_operator(&self, arguments: &[&str], input: &[u8]) -> Ran {
        self.run_as(&self.operator, arguments, input)
    }

    /// A client that knows only what is saved.
    pub fn saved(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = bare(&self.folder);
        command.args(arguments);
        Ran::of(feed(command, input))
    }

    /// `printf %s VALUE | dropsafe set …`
    pub fn set(&self, value: &str, arguments: &[&str]) -> Ran {
        let arguments: Vec<&str> = ["set"].iter().chain(arguments).copied().collect();
        self.run_as(&self.admin, &arguments, value.as_bytes())
    }

    /// A new member. Returns their token.
    pub fn member(&self, name: &str, flags: &[&str]) -> String {
        let arguments: Vec<&str> = ["member", "add", name].iter().chain(flags).copied().collect();
        let code = self.run(&arguments).ok().out;
        self.redeem(&code)
    }

    /// The token for an enrolment code.
    pub fn redeem(&self, code: &str) -> String {
        self.run_as("", &["enroll", "--print"], code.as_bytes()).ok().out.trim().to_owned()
    }

    /// One variable of a workload that boots as the administrator.
    pub fn booted(&self, variable: &str) -> Ran {
        let ticket = self.run(&["ticket", "new"]).ok().out.trim().to_owned();
        self.boot(&ticket, variable)
    }

    /// One variable of a workload that boots with a ticket.
    pub fn boot(&self, ticket: &str, variable: &str) -> Ran {
        let mut agent = Command::new(AGENT);
        agent
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("DROPSAFE_TICKET", ticket)
            .current_dir(self.folder.path());
        agent.args(["exec", "--", "printenv", variable]);
        Ran::of(feed(agent, b""))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A loopback address that no other test uses, in this process or another that runs now: a port that was free a moment
/// ago need not be free when the server takes it.
fn own_address() -> String {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_le_bytes();
    format!("127.{}.{}.{}:7373", process[1], process[0], COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The program in that folder, with nothing in its environment but a home there.
pub fn bare(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(DROPSAFE);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path()).current_dir(folder.path());
    command
}

/// Runs it with that on standard input.
pub fn feed(mut command: Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses early does not read.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

pub fn signal(child: &Child, which: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), which).unwrap();
}
