//! The note with which the end of a boot is reported ([`super::boot_end`]): written by the process that fetched the secrets, for the
//! supervisor of `exec --init` or, in a file, for `dropsafe-agent ended`.
#![expect(clippy::disallowed_methods, reason = "removes the file of the note")]

use std::{fs, io, path};

use nix::sys::signal::Signal;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::arguments::SettingArgs;
use super::boot_end::MAX_NOTE;
use super::config::AgentSettings;
use super::fetch::PendingReport;
use super::folder::{FileAccess, Folder};
use super::local_variables::LocalVariables;
use super::secret_files::{SecretFileError, failed, require_safe};
use super::{boot_end, config};
use crate::domain::credential::Credential;
use crate::domain::location::StoreLocation;
use crate::process::Exit;
use crate::settings::Environment;

/// The file of the note, beside the receipt.
const FILE: &str = "end";

/// What ends together with the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOf {
    /// A workload, whose status `ended` finds in its environment.
    Workload,
    /// A machine, which has no status.
    Machine,
}

impl EndOf {
    fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Machine => "machine",
        }
    }
}

/// Passes the note to the supervisor, or writes it to the file that `ended` reads. Does nothing if nobody reports the end or the
/// store has sent no credential. It cannot fail: a boot does not depend on it.
pub(crate) fn deliver(
    of: EndOf,
    pending: Option<&mut PendingReport>,
    store: &StoreLocation,
    settings: &AgentSettings,
) {
    let Some(pending) = pending.filter(|_| boot_end::is_reported(settings.report_end)) else { return };
    let Some(credential) = pending.end() else { return };
    let note = format_note(of, store, credential, settings);
    let kept = match boot_end::has_supervisor() {
        true => boot_end::pass_to_supervisor(&note)
            .map(|()| pending.leave_to_supervisor())
            .map_err(|error| error.to_string()),
        false => write_file(settings, &note).map_err(|error| error.to_string()),
    };
    if let Err(error) = kept {
        warn!("the end of this boot will not be reported: {error}");
    }
}

/// Formats the note, which [`boot_end::report`] reads.
fn format_note(
    of: EndOf,
    store: &StoreLocation,
    credential: &Credential,
    settings: &AgentSettings,
) -> Zeroizing<String> {
    // Absolute, since the process that reports may run in another folder.
    let authorities = settings.authorities.as_deref().and_then(|path| path::absolute(path).ok());
    let authorities = authorities.map(|path| path.display().to_string()).unwrap_or_default();
    // Reserved in full: a string that grows leaves copies behind that are not wiped.
    let mut note = Zeroizing::new(String::with_capacity(MAX_NOTE));
    let mut line = |text: &str| note.extend([text, "\n"]);
    line(of.as_str());
    line(&credential.to_text());
    line(&authorities);
    // Public, and needed wherever an address has no pin.
    if let Some(key) = store.answer_key() {
        line(&key.to_string());
    }
    for url in store.urls() {
        match store.pins() {
            Some(pins) if url.starts_with("https:") && !url.contains('#') => line(&format!("{url}#{pins}")),
            _ => line(url),
        }
    }
    note
}

fn write_file(settings: &AgentSettings, note: &str) -> Result<(), SecretFileError> {
    let path = &settings.files_dir;
    let failed = |error: io::Error| failed(path, &error);
    let folder = Folder::create(path, 0o700).map_err(failed)?;
    require_safe(&folder, path, settings.allow_disk, None)?;
    folder.replace(FILE.as_ref(), note.as_bytes(), FileAccess::OWNER, false).map_err(failed)
}

/// `ended`: reports the end of the boot whose note is in the folder for files. It always succeeds: a unit's stop must not fail
/// because of it. If the settings have faults (`None`), the folder comes from the flags and the environment alone.
pub(crate) fn run(
    settings: Option<(AgentSettings, LocalVariables)>,
    args: &SettingArgs,
    environment: &Environment,
) -> Exit {
    let folder = settings.map(|(settings, _)| settings.files_dir);
    let folder = folder.unwrap_or_else(|| config::read_files_dir(args, environment));
    let path = folder.join(FILE);
    let read = Folder::open(&folder).and_then(|folder| folder.read_own(FILE.as_ref(), MAX_NOTE as u64));
    let reported = match read {
        Ok(bytes) => {
            let note = str::from_utf8(&bytes).unwrap_or_default();
            let has_status = note.starts_with(EndOf::Workload.as_str());
            boot_end::report(note, if has_status { exit_status(environment) } else { None })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            debug!("no end is to be reported: there is no {}", path.display());
            return Exit::Success;
        }
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    match reported {
        // A second report would change nothing.
        Ok(()) => drop(fs::remove_file(&path)),
        Err(error) => warn!("the end of this boot is not reported: {error}"),
    }
    Exit::Success
}

/// The status of the workload, as a shell counts, from what systemd passes to `ExecStop=` and `ExecStopPost=` (systemd.exec(5)).
fn exit_status(environment: &Environment) -> Option<u8> {
    let word = |name| environment.variable(name).and_then(|value| value.to_str());
    let status = word("EXIT_STATUS")?;
    match word("EXIT_CODE")? {
        "exited" => status.parse().ok(),
        // By its name without SIG. Those of real-time signals are left out.
        _ => {
            let signal = Signal::iterator().find(|signal| signal.as_str().get(3..) == Some(status))?;
            u8::try_from(128 + signal as i32).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_systemd() {
        for (code, status, expected) in [
            ("exited", "7", Some(7)),
            ("exited", "0", Some(0)),
            ("killed", "TERM", Some(143)),
            ("dumped", "SEGV", Some(139)),
            ("killed", "RTMIN+1", None),
            ("exited", "256", None),
        ] {
            let pairs = [("EXIT_CODE", code), ("EXIT_STATUS", status)];
            let environment = Environment::new(pairs.map(|(name, value)| (name.into(), value.into())));
            assert_eq!(exit_status(&environment), expected, "{code} {status}");
        }
        assert_eq!(exit_status(&Environment::default()), None);
    }
}
