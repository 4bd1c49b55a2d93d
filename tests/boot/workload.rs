//! A workload under the agent, with a ticket for a store that is not there: it starts with what the machine has, so that what is
//! seen is the agent's handling of processes and nothing else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dropsafe::domain::credential::{Credential, CredentialKind};
use dropsafe::domain::ticket::BootTicket;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use zeroize::Zeroizing;

/// The agent as it is shipped where `tests/run` has built it, else as `cargo test` builds it.
pub fn agent() -> String {
    std::env::var("DROPSAFE_STATIC_AGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dropsafe-agent").to_owned())
}

/// A well-formed ticket for nobody.
pub fn ticket() -> String {
    let credential = Credential::new(CredentialKind::Ticket, [7; 16], Zeroizing::new([9; 32]));
    let ticket =
        BootTicket::new(vec!["unix:/nonexistent/dropsafe.sock".to_owned()], None, credential).unwrap();
    ticket.to_text().to_string()
}

/// `command` with all that it takes to start a workload without a store.
pub fn without_store(mut command: Command) -> Command {
    command
        .env("DROPSAFE_TICKET", ticket())
        .env("DROPSAFE_ON_OUTAGE", "start-without")
        .env("DROPSAFE_DEADLINE", "1ms")
        .env("DROPSAFE_LOG", "error")
        .env("DROPSAFE_CONFIG", "/dev/null");
    command
}

/// `dropsafe-agent exec FLAGS -- COMMAND`
pub fn exec(flags: &[&str], workload: &[&str]) -> Command {
    // As after a login: the process that runs the tests may ignore signals, and children inherit that.
    let mut command = without_store(Command::new("env"));
    command.arg("--default-signal").arg(agent()).arg("exec").args(flags).arg("--").args(workload);
    command
}

/// What a script prints under `exec FLAGS`, and how it ends.
pub fn output(flags: &[&str], workload: &[&str]) -> (String, ExitStatus) {
    let output = exec(flags, workload).stderr(Stdio::inherit()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status)
}

/// A workload that runs; killed when dropped.
pub struct Running {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// The pipe that it prints to.
    pub fn output(&self) -> &ChildStdout {
        self.lines.get_ref()
    }

    /// The next line it prints; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        std::io::Read::read_exact(&mut self.lines, &mut bytes).unwrap();
        bytes
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        within(Duration::from_secs(60), || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A supervisor that is killed cannot end its workload, which leads a group of its own.
        let pid = self.pid();
        let below = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in below.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
            let child = Pid::from_raw(child);
            let leads = nix::unistd::getpgid(Some(child)) == Ok(child);
            let _ = nix::sys::signal::kill(
                if leads { Pid::from_raw(-child.as_raw()) } else { child },
                Signal::SIGKILL,
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal of any number, real-time signals included.
pub fn kill(pid: Pid, number: i32) {
    // bash, since nix knows no real-time signals, and dash has no names for some numbers.
    let sent = Command::new("bash").arg("-c").arg(format!("kill -{number} {pid}")).status();
    assert!(sent.unwrap().success());
}

/// The only child of a process.
pub fn child(of: Pid) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

/// The state letter of a process (proc_pid_stat(5)).
pub fn state(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

/// Asks until there is an answer.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "nothing happened within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process lives (and is no zombie).
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}
