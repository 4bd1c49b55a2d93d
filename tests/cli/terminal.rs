//! What happens at a terminal: hidden prompts, questions, and a signal that the terminal sends itself.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::site::{DROPSAFE, Site};

/// How long a program may take to print what is waited for, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal of its own.
pub struct AtTerminal {
    child: Child,
    terminal: File,
    pub seen: String,
}

impl AtTerminal {
    pub fn start(arguments: &[&str], environment: &[(&str, &str)], folder: &std::path::Path) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        // A server that another test starts meanwhile would keep the terminal open.
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let slave = File::from(pty.slave);
        // `setsid` makes it the controlling terminal, which /dev/tty and ^C need.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", DROPSAFE]).args(arguments).current_dir(folder);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder)
            .envs(environment.iter().copied());
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        Self { child, terminal: File::from(pty.master), seen: String::new() }
    }

    /// Reads until that has been printed.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.seen.contains(words) {
            assert!(self.read(until), "{words:?} was not printed: {}", self.seen);
        }
    }

    /// Reads once. False when everybody has closed the terminal, which then answers with EIO.
    #[track_caller]
    fn read(&mut self, until: Instant) -> bool {
        let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap();
        let mut watched = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, left).unwrap() == 0 {
            self.child.kill().unwrap();
            panic!("nothing was printed for {PATIENCE:?}: {}", self.seen);
        }
        let mut buffer = [0; 4096];
        let count = self.terminal.read(&mut buffer).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }

    pub fn types(&mut self, text: &str) {
        // The echo is off only after the prompt: keys that are typed before it would be displayed, as at any terminal.
        std::thread::sleep(Duration::from_millis(100));
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        while self.read(until) {}
        (self.child.wait().unwrap().code(), self.seen)
    }
}

fn at_terminal(site: &Site, arguments: &[&str]) -> AtTerminal {
    let environment = [("DROPSAFE_URL", site.url.as_str()), ("DROPSAFE_TOKEN", site.admin.as_str())];
    AtTerminal::start(arguments, &environment, site.folder.path())
}

#[test]
fn a_value_is_typed_hidden() {
    let site = Site::unlocked();
    let mut set = at_terminal(&site, &["set", "typed"]);
    set.wait_for("Value of typed (hidden): ");
    set.types("hunter2\n");
    let (code, seen) = set.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("7 bytes entered") && !seen.contains("hunter2"), "{seen}");
    assert_eq!(site.booted("TYPED").out, "hunter2\n");

    // Longer than the 4,095 bytes that a terminal's line can have.
    let mut set = at_terminal(&site, &["set", "typed"]);
    set.wait_for("(hidden): ");
    set.types(&format!("{}\n", "x".repeat(6000)));
    assert_eq!(set.end().0, Some(0));
    assert_eq!(site.booted("TYPED").out.len(), 6001);

    // The first line of several is not the value.
    let mut set = at_terminal(&site, &["set", "pasted"]);
    set.wait_for("(hidden): ");
    set.types("-----BEGIN KEY-----\nhunter2\n-----END KEY-----\n");
    let (code, seen) = set.end();
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("--file") && !seen.contains("hunter2"), "{seen}");
    site.run(&["show", "pasted"]).fails(1, &[]);
}

#[test]
fn a_deletion_asks_first() {
    let site = Site::unlocked();
    site.set("v", &["asked"]).ok();
    for (answer, code) in [("n\n", 1), ("\n", 1), ("y\n", 0)] {
        let mut delete = at_terminal(&site, &["delete", "asked"]);
        delete.wait_for("Delete asked, exported as ASKED, private (admin)? [y/N] ");
        delete.types(answer);
        let (ended, seen) = delete.end();
        assert_eq!(ended, Some(code), "{answer:?}: {seen}");
    }
    site.set("v", &["not-asked"]).ok();
    let delete = at_terminal(&site, &["delete", "not-asked", "--yes"]);
    assert_eq!(delete.end().0, Some(0));
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_workload_once() {
    let home = tempfile::tempdir().unwrap();
    let script = "count=0; trap 'count=$((count + 1))' INT; echo ready; \
                  for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; echo counted $count; exit 9";
    let mut dev = AtTerminal::start(&["dev", "--", "sh", "-c", script], &[], home.path());
    dev.wait_for("ready");
    dev.types("\x03");
    let (code, seen) = dev.end();
    assert!(seen.contains("counted 1"), "{seen}");
    assert_eq!(code, Some(9));
}

#[test]
fn an_interrupt_at_a_prompt_leaves_nothing() {
    let site = Site::unlocked();
    let mut set = at_terminal(&site, &["set", "interrupted"]);
    set.wait_for("(hidden): ");
    set.types("half\x03");
    let (code, seen) = set.end();
    assert_ne!(code, Some(0), "{seen}");
    site.run(&["show", "interrupted"]).fails(1, &[]);
}

#[test]
fn an_enrolment_asks_about_each_launcher() {
    let site = Site::unlocked();
    for name in ["devboxes", "notebooks"] {
        let code = site.run(&["launcher", "add", name]).ok().out;
        site.redeem(&code);
    }
    // Nobody has enrolled it, so that there is nothing to accept.
    site.run(&["launcher", "add", "pending"]).ok();
    let code = site.run(&["member", "add", "bob"]).ok().out;
    let home = tempfile::tempdir().unwrap();
    let mut enroll = AtTerminal::start(&["enroll", &site.url], &[], home.path());
    enroll.wait_for("Enrolment code (hidden): ");
    enroll.types(&code);
    enroll.wait_for("The party that runs it can then read your secrets. Accept devboxes? [y/N] ");
    enroll.types("y\n");
    enroll.wait_for("Accept notebooks? [y/N] ");
    enroll.types("\n");
    let (ended, seen) = enroll.end();
    assert_eq!(ended, Some(0), "{seen}");
    assert!(seen.contains("to withdraw: dropsafe launcher withdraw devboxes"), "{seen}");
    assert!(!seen.contains("Accept pending"), "{seen}");
    let list = AtTerminal::start(&["launcher", "list", "--json"], &[], home.path()).end().1;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let accepted = |name: &str| {
        let found = list.as_array().unwrap().iter().find(|launcher| launcher["name"] == name);
        found.unwrap()["accepted_at"].is_string()
    };
    assert!(accepted("devboxes") && !accepted("notebooks") && !accepted("pending"), "{list}");
}
