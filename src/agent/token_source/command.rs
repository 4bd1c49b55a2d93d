//! A program that prints a token, for platforms that this agent does not know. It is started without a shell, has nothing of the
//! agent's own variables, and is killed with everything that it started if it takes too long or prints too much.
#![expect(clippy::disallowed_methods, reason = "starts the program that prints a token")]

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use crate::agent::config::keys::is_agent_variable;
use crate::client::{IssuerToken, MAX_TOKEN, ProgramEnd, TokenFault};
use crate::settings::Environment;

/// What the program finds the audience in that its token is for.
const AUDIENCE: &str = "DROPSAFE_TOKEN_AUDIENCE";
/// A token with blanks around it.
const MAX_OUTPUT: usize = MAX_TOKEN + 64;
/// How often the end of a program is looked for that has closed its output.
const TICK: Duration = Duration::from_millis(5);

/// A program with its arguments and its environment.
pub(super) struct TokenProgram {
    words: Vec<String>,
    environment: Vec<(OsString, OsString)>,
}

impl TokenProgram {
    pub(super) fn new(words: &[String], environment: &Environment) -> Self {
        let own = environment.iter().filter(|(name, _)| !is_agent_variable(name.as_encoded_bytes()));
        let environment = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { words: words.to_vec(), environment }
    }

    /// Runs the program, and reads the token that it prints.
    pub(super) fn run(&self, audience: &str, limit: Duration) -> Result<IssuerToken, TokenFault> {
        let deadline = Instant::now() + limit;
        let Some((program, arguments)) = self.words.split_first() else { return Err(TokenFault::Empty) };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env(AUDIENCE, audience).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|error| TokenFault::Start(error.kind()))?;
        let mut running = RunningProgram { child, is_over: false };
        let output = running.read(deadline)?;
        running.wait(deadline)?;
        IssuerToken::parse(str::from_utf8(&output).map_err(|_| TokenFault::NotAToken)?)
    }
}

/// A program that is killed unless it has ended.
struct RunningProgram {
    child: Child,
    is_over: bool,
}

impl RunningProgram {
    /// Everything that it prints.
    fn read(&mut self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, TokenFault> {
        let Some(mut stdout) = self.child.stdout.take() else { return Err(TokenFault::Empty) };
        // In full, and never grown: a vector that grows leaves a copy of the token behind.
        let mut output = Zeroizing::new(vec![0; MAX_OUTPUT]);
        let mut length = 0;
        loop {
            wait_readable(stdout.as_fd(), deadline)?;
            if length == output.len() {
                return Err(TokenFault::TooLarge);
            }
            match stdout.read(&mut output[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(TokenFault::Empty),
            }
        }
        output.truncate(length);
        Ok(output)
    }

    /// Waits for its end, which follows that of its output in most cases at once.
    fn wait(&mut self, deadline: Instant) -> Result<(), TokenFault> {
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    // A sleep: there is nothing to poll.
                    let _ = poll(&mut [], timeout(TICK));
                }
                Ok(None) => return Err(TokenFault::Late),
                Ok(Some(status)) => {
                    self.is_over = true;
                    let end = status.signal().map(ProgramEnd::Signal);
                    let end = end.or(status.code().filter(|code| *code != 0).map(ProgramEnd::Status));
                    return end.map_or(Ok(()), |end| Err(TokenFault::Ended(end)));
                }
                // Where SIGCHLD is ignored, the kernel has reaped it. What it printed tells whether it succeeded.
                Err(_) => {
                    self.is_over = true;
                    return Ok(());
                }
            }
        }
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // It leads a process group of its own, so that what it has started ends too.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn wait_readable(fd: std::os::fd::BorrowedFd<'_>, deadline: Instant) -> Result<(), TokenFault> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout(left)) {
            Ok(0) => return Err(TokenFault::Late),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(_) => return Err(TokenFault::Late),
        }
    }
}

fn timeout(time: Duration) -> PollTimeout {
    // Rounded up, so that a short rest is no busy loop.
    PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
}
