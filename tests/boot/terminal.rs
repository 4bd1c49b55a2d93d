//! A terminal through `exec --init`: keys reach the workload and nobody else, and a shell can stop it and bring it back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::pty::openpty;

use super::workload::{agent, within, without_store};

struct Screen {
    child: Child,
    keys: File,
    output: Arc<Mutex<String>>,
}

impl Screen {
    /// Starts a program as the leader of a session on a terminal of its own.
    fn start(program: &[&str]) -> Self {
        let pty = openpty(None, None).unwrap();
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = without_store(Command::new("setsid"));
        command.args(["--ctty", "--wait"]).args(program).env("PS1", "prompt> ").env("TERM", "dumb");
        command.stdin(side(&pty.slave)).stdout(side(&pty.slave)).stderr(side(&pty.slave));
        let child = command.spawn().unwrap();
        drop((command, pty.slave));
        let keys = File::from(pty.master);
        let output = Arc::new(Mutex::new(String::new()));
        let (mut from, to) = (keys.try_clone().unwrap(), output.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { child, keys, output }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for `text` on the screen, and removes everything up to it.
    fn see(&self, text: &str) {
        let found = self.find(text, Duration::from_secs(20));
        assert!(found, "{text:?} is not in {:?}", self.output.lock().unwrap());
    }

    /// Presses `keys` until `text` is on the screen.
    fn press_until(&mut self, keys: &str, text: &str) {
        for _ in 0..10 {
            self.press(keys);
            if self.find(text, Duration::from_secs(2)) {
                return;
            }
        }
        panic!("{text:?} is not in {:?}", self.output.lock().unwrap());
    }

    fn find(&self, text: &str, limit: Duration) -> bool {
        let end = std::time::Instant::now() + limit;
        loop {
            let mut output = self.output.lock().unwrap();
            if let Some(at) = output.find(text) {
                output.drain(..at + text.len());
                return true;
            }
            if std::time::Instant::now() >= end {
                return false;
            }
            drop(output);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn status(&mut self) -> Option<i32> {
        within(Duration::from_secs(20), || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_interrupt_reaches_the_workload_once() {
    let script = "n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'exit 9' USR1; echo ready $$; while :; do sleep 0.02; done";
    let mut screen = Screen::start(&[&agent(), "exec", "--init", "--", "sh", "-c", script]);
    screen.see("ready ");
    let line = || screen.output.lock().unwrap().split_once("\r\n").map(|(line, _)| line.parse().unwrap());
    let pid: u32 = within(Duration::from_secs(20), line);
    screen.press("\x03");
    screen.see("int 1");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!screen.output.lock().unwrap().contains("int 2"));
    super::harness::signal(pid, nix::sys::signal::Signal::SIGUSR1);
    assert_eq!(screen.status(), Some(9));
}

#[test]
fn a_shell_stops_it_and_brings_it_back() {
    let mut screen = Screen::start(&["bash", "--norc", "--noprofile", "-i"]);
    screen.see("prompt> ");
    screen.press(&format!("{} exec --init -- sh -c 'echo start''ed; cat; echo en''ded; exit 4'\n", agent()));
    screen.see("started");
    // A shell that is still starting cat with vfork(2) cannot be stopped: cat is known to run once it has copied a line.
    screen.press("first\n");
    screen.see("first\r\n");
    screen.see("first\r\n");
    screen.press("\x1a");
    screen.see("Stopped");
    screen.see("prompt> ");
    // Keys that are pressed just after ^Z may be lost, with bash alone too: the kernel empties the terminal's queues (ISIG, termios(3)).
    screen.press_until("echo shell is $((40+2))\n", "shell is 42");
    screen.press("fg\n");
    screen.see("exec --init");
    std::thread::sleep(Duration::from_millis(200));
    screen.press("again\n");
    // Once as the terminal's echo, once as cat's.
    screen.see("again\r\n");
    screen.see("again\r\n");
    screen.press("\x04");
    screen.see("ended");
    screen.see("prompt> ");
    screen.press("echo status $((0+$?))\n");
    screen.see("status 4");
    // The terminal is the shell's again.
    screen.press("read x; echo got $x''.\n");
    screen.press("line\n");
    screen.see("got line.");
}

#[test]
fn in_the_background_it_takes_no_terminal() {
    let mut screen = Screen::start(&["bash", "--norc", "--noprofile", "-i"]);
    screen.see("prompt> ");
    screen.press(&format!(
        "{} exec --init -- sh -c 'sleep 0.3; echo do''ne' & sleep 1; echo shell is $((40+2))\n",
        agent()
    ));
    screen.see("done");
    screen.see("shell is 42");
}

#[test]
fn a_job_of_the_background_that_wants_keys_is_stopped_and_gets_them_in_the_foreground() {
    let mut screen = Screen::start(&["bash", "--norc", "--noprofile", "-i"]);
    screen.see("prompt> ");
    screen.press(&format!("{} exec --init -- sh -c 'cat; echo en''ded' &\n", agent()));
    screen.press_until("jobs\n", "Stopped");
    screen.press("fg\n");
    screen.see("exec --init");
    std::thread::sleep(Duration::from_millis(200));
    screen.press("a line\n");
    // Once as the terminal's echo, once as cat's.
    screen.see("a line\r\n");
    screen.see("a line\r\n");
    screen.press("\x04");
    screen.see("ended");
    screen.see("prompt> ");
}

#[test]
fn after_it_a_script_still_has_the_terminal() {
    let script = format!("{} exec --init -- sh -c 'echo in''ner'; read x; echo got $x''.; exit 6", agent());
    let mut screen = Screen::start(&["sh", "-c", &script]);
    screen.see("inner");
    screen.press("line\n");
    screen.see("got line.");
    assert_eq!(screen.status(), Some(6));
}
