//! The report that a boot has ended, with a credential that can end this boot and nothing else.
//!
//! The process that fetches the secrets is not the one that sees the end. It passes on a *note* of what the report needs
//! ([`super::end_note`]): to the supervisor of `exec --init` through a pipe, where it stays until the workload has ended, or to
//! `dropsafe-agent ended` in a file. A note has no ticket and no value. A report takes at most 2 s, and its failure changes nothing.

use std::io;
use std::io::PipeReader;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use super::supervisor_pipe::{PipeEnds, SupervisorPipe};
use super::{runtime, supervisor_pipe};
use crate::client;
use crate::client::EndTarget;
use crate::domain::credential::{Credential, CredentialKind};
use crate::wire::EndBootRequest;

/// The longest note: a ticket has at most eight addresses.
pub(crate) const MAX_NOTE: usize = 16 << 10;
/// How long a report may hold up the end of this process, and with it that of a container or a machine.
const LIMIT: Duration = Duration::from_secs(2);

/// The line that follows the note if the workload was not started.
const FAILED: &str = "failed";

/// In the process that becomes the workload of a supervisor: where its note goes.
static TO_SUPERVISOR: SupervisorPipe = SupervisorPipe::new();

/// The pipe through which the supervisor gets the note. Made before the fork.
#[derive(Debug)]
pub(crate) struct EndPipe(PipeEnds);

/// The supervisor's side.
#[derive(Debug)]
pub(crate) struct PendingEnd(PipeReader);

impl EndPipe {
    /// Returns `None` if the kernel is out of descriptors. Then nothing is reported.
    pub(crate) fn new() -> Option<Self> {
        PipeEnds::new().map(Self)
    }

    /// In the process that becomes the workload.
    pub(crate) fn become_writer(self) {
        self.0.become_writer(&TO_SUPERVISOR);
    }

    /// In the supervisor. The caller must not close the descriptor before the report.
    pub(crate) fn become_reader(self) -> PendingEnd {
        PendingEnd(self.0.become_reader())
    }
}

impl AsRawFd for PendingEnd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Reports that the workload, and all that it left behind, has ended with `status`, which it returns.
pub(crate) fn report_after(status: u8, end: Option<PendingEnd>) -> u8 {
    end.into_iter().for_each(|end| end.report(status));
    status
}

impl PendingEnd {
    fn report(self, status: u8) {
        // execve(2), or the end of the process that had the writing end, has closed it.
        let note = supervisor_pipe::read_now(self.0, MAX_NOTE);
        // A supervisor prints nothing: its messages would mix with those of the workload.
        let _ = str::from_utf8(&note).map(|note| report(note, Some(status)));
    }
}

/// Whether a supervisor reports the end of this boot.
pub(crate) fn has_supervisor() -> bool {
    TO_SUPERVISOR.is_open()
}

/// Whether the end of this boot is reported. `by_ended` says whether a unit or script runs `dropsafe-agent ended`.
pub(crate) fn is_reported(by_ended: bool) -> bool {
    by_ended || has_supervisor()
}

/// Passes the note to the supervisor.
pub(crate) fn pass_to_supervisor(note: &str) -> io::Result<()> {
    TO_SUPERVISOR.send(note.as_bytes())
}

/// Tells the supervisor, which has the note, that the workload is not started. The supervisor is the only one that reports it: two
/// reports of two processes could arrive in either order.
pub(crate) fn pass_failure_to_supervisor() {
    // The supervisor is the parent. If it is gone, so is whoever could report.
    let _ = pass_to_supervisor(&format!("{FAILED}\n"));
}

/// Sends the report. A note has one field per line: what the boot is the end of (ignored here), the credential, the file of certificate
/// authorities (may be empty), the store's answer key (absent from notes of older versions), the store's addresses with their pins, and
/// possibly [`FAILED`].
pub(crate) fn report(note: &str, status: Option<u8>) -> Result<(), String> {
    let mut lines = note.lines().skip(1);
    let credential = lines.next().and_then(|text| Credential::parse(text).ok());
    let credential = credential.filter(|credential| credential.kind == CredentialKind::Boot);
    let (Some(credential), Some(authorities)) = (credential, lines.next()) else {
        return Err("the note has no credential of a boot".to_owned());
    };
    let authorities = (!authorities.is_empty()).then(|| Path::new(authorities));
    let mut lines = lines.peekable();
    let answer_key = lines.peek().and_then(|line| line.parse().ok());
    let mut addresses: Vec<&str> = lines.skip(usize::from(answer_key.is_some())).collect();
    let failed = addresses.pop_if(|line| *line == FAILED).is_some();
    let report = EndBootRequest { status: status.filter(|_| !failed), failed };
    let target = EndTarget { addresses, authorities, answer_key };
    let ended = client::end_boot(&target, &credential, &report, LIMIT);
    let ended = runtime::start().and_then(|runtime| runtime::run(&runtime, ended));
    ended.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn what_is_no_note_reports_nothing() {
        let ticket = Credential::new(CredentialKind::Ticket, [1; 16], Zeroizing::new([2; 32]));
        let ticket = format!("workload\n{}\n\nhttp://127.0.0.1:1\n", *ticket.to_text());
        for note in ["", "workload\n", "workload\ncanary\n\nhttp://127.0.0.1:1\n", &ticket] {
            assert_eq!(report(note, None), Err("the note has no credential of a boot".to_owned()));
        }
    }
}
