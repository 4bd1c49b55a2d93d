//! Locates the boot ticket. The first source that has one counts, and a warning names the others. The ticket is never printed, and
//! none of it is quoted when it cannot be read.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::config::AgentSettings;
use super::machine::{FileReadError, Files, TextFile};
use super::ticket_file::{TicketFile, TicketFileError};
use crate::domain::ticket::{BootTicket, TicketError};
use crate::settings::{Environment, SettingOrigin};

/// A ticket with eight addresses of the maximal length has less than 7 KiB.
const MAX_TICKET: usize = 16 << 10;
/// Most architectures limit the kernel's command line to 4 KiB or less.
const MAX_COMMAND_LINE: usize = 64 << 10;
const COMMAND_LINE: &str = "/proc/cmdline";
const COMMAND_LINE_WORD: &str = "dropsafe.ticket=";
/// The form in which systemd reads credentials from SMBIOS (systemd.system-credentials(7)).
const FIRMWARE_STRING: &str = "io.systemd.credential:dropsafe.ticket=";
/// Hypervisors write one structure of OEM strings.
const MAX_STRUCTURES: usize = 4;
const MAX_STRUCTURE: usize = 64 << 10;

/// A place where a ticket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TicketSource {
    /// A file that a flag, a variable or the configuration names.
    File { path: PathBuf, origin: SettingOrigin },
    /// `DROPSAFE_TICKET` itself.
    Variable,
    /// systemd's credential `dropsafe.ticket`, which may come from SMBIOS (systemd.exec(5), `LoadCredential=`).
    Credential(PathBuf),
    /// The same credential in the firmware, for machines without systemd.
    Firmware,
    /// `dropsafe.ticket=` on the kernel's command line, which every user of the machine can read.
    CommandLine,
}

impl fmt::Display for TicketSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, origin } => write!(f, "{} ({origin})", path.display()),
            Self::Variable => f.write_str("DROPSAFE_TICKET"),
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
            Self::Firmware => f.write_str("the firmware (SMBIOS)"),
            Self::CommandLine => f.write_str("the kernel's command line"),
        }
    }
}

/// A ticket and its source.
#[derive(Debug)]
pub(crate) struct LocatedTicket {
    pub(crate) ticket: BootTicket,
    pub(crate) source: TicketSource,
    /// Findings that are probably mistakes and stop nothing.
    pub(crate) warnings: Vec<String>,
}

impl LocatedTicket {
    /// The file that the ticket came from, if the configuration says to delete it.
    ///
    /// # Errors
    /// It cannot be deleted. No use of the ticket is spent yet.
    pub(crate) fn file_to_delete(
        &self,
        settings: &AgentSettings,
    ) -> Result<Option<TicketFile>, TicketFileError> {
        match &self.source {
            TicketSource::File { path, .. } if settings.delete_ticket_file => {
                TicketFile::open(path).map(Some)
            }
            // Credentials belong to the service manager, and the rest are no files.
            _ => Ok(None),
        }
    }
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TicketSourceError {
    #[error("there is no boot ticket")]
    None,
    /// The first source cannot be read.
    #[error("the ticket in {origin}: {why}")]
    Unreadable { origin: TicketSource, why: FileReadError },
    /// The first source holds something else.
    #[error("{origin}: {why}")]
    Invalid { origin: TicketSource, why: TicketError },
}

impl TicketSourceError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::None => Some(
                "create one with `dropsafe ticket new` and set DROPSAFE_TICKET or DROPSAFE_TICKET_FILE, or give the \
                 unit the credential dropsafe.ticket",
            ),
            Self::Unreadable { .. } => None,
            Self::Invalid { why, .. } => why.hint(),
        }
    }
}

/// Locates the ticket in the file that `--ticket-file` or `DROPSAFE_TICKET_FILE` names, `DROPSAFE_TICKET`, the file that the
/// configuration names, the systemd credential, the firmware, and the kernel's command line, in this order.
///
/// # Errors
/// There is no ticket, or the first source has one that cannot be read. The next source is not tried then, since its ticket may be
/// another member's.
pub(crate) fn locate(
    settings: &AgentSettings,
    environment: &Environment,
    files: &dyn Files,
) -> Result<LocatedTicket, TicketSourceError> {
    let mut found = sources(settings, environment).into_iter().filter_map(|source| {
        let text = read(&source, environment, files)?;
        Some((source, text))
    });
    let (source, text) = found.next().ok_or(TicketSourceError::None)?;
    let text = match text {
        Ok(text) => text,
        Err(why) => return Err(TicketSourceError::Unreadable { origin: source, why }),
    };
    let ticket = match BootTicket::parse(text.text.trim()) {
        Ok(ticket) => ticket,
        Err(why) => return Err(TicketSourceError::Invalid { origin: source, why }),
    };
    let mut warnings = Vec::new();
    if let (true, TicketSource::File { path, .. }) = (text.open_to_others, &source) {
        let path = path.display();
        warnings.push(format!("other users may read the ticket in {path}: run chmod 0600 {path}"));
    }
    // systemd makes a credential of the string in the firmware: that is one ticket in two places, and no mistake.
    let same = |other: &Result<TextFile, FileReadError>| {
        other.as_ref().is_ok_and(|other| other.text.trim() == text.text.trim())
    };
    let others: Vec<String> =
        found.filter(|(_, other)| !same(other)).map(|(source, _)| source.to_string()).collect();
    if !others.is_empty() {
        warnings.push(format!("the ticket in {source} is used; there is another in {}", others.join(", ")));
    }
    Ok(LocatedTicket { ticket, source, warnings })
}

/// The sources in order, whether or not they hold anything.
fn sources(settings: &AgentSettings, environment: &Environment) -> Vec<TicketSource> {
    let file = settings.ticket_file.clone();
    // The configuration may be part of an image; what was set for this start of the machine or container is closer to it.
    let configured = file.as_ref().is_some_and(|file| matches!(file.origin, SettingOrigin::Line { .. }));
    let mut file = file.map(|file| TicketSource::File { path: file.value, origin: file.origin });
    let mut sources = Vec::new();
    sources.extend(file.take_if(|_| !configured));
    sources.push(TicketSource::Variable);
    sources.extend(file);
    if let Some(folder) = environment.variable("CREDENTIALS_DIRECTORY") {
        sources.push(TicketSource::Credential(Path::new(folder).join("dropsafe.ticket")));
    }
    sources.extend([TicketSource::Firmware, TicketSource::CommandLine]);
    sources
}

/// The text of a source. `None` if it is empty and the configuration does not require it.
fn read(
    source: &TicketSource,
    environment: &Environment,
    files: &dyn Files,
) -> Option<Result<TextFile, FileReadError>> {
    let private = |text: &str| TextFile { text: Zeroizing::new(text.to_owned()), open_to_others: false };
    match source {
        TicketSource::File { path, .. } => Some(files.text(path, MAX_TICKET)),
        TicketSource::Variable => {
            let value = environment.variable("DROPSAFE_TICKET")?;
            Some(value.to_str().map(private).ok_or(FileReadError::NotText))
        }
        // A unit that loads other credentials has the folder and not this file.
        TicketSource::Credential(path) => match files.text(path, MAX_TICKET) {
            Err(FileReadError::Missing) => None,
            read => Some(read),
        },
        TicketSource::Firmware => read_firmware(files)
            .map(|ticket| str::from_utf8(&ticket).map(private).map_err(|_| FileReadError::NotText)),
        TicketSource::CommandLine => {
            let line = files.text(Path::new(COMMAND_LINE), MAX_COMMAND_LINE).ok()?;
            let word =
                line.text.split_ascii_whitespace().find_map(|word| word.strip_prefix(COMMAND_LINE_WORD))?;
            Some(Ok(private(word)))
        }
    }
}

/// The ticket among the OEM strings that the hypervisor was given.
fn read_firmware(files: &dyn Files) -> Option<Zeroizing<Vec<u8>>> {
    // Only root may read these files, and containers do not have them. That they cannot be read means that there is no ticket.
    (0..MAX_STRUCTURES).find_map(|number| {
        let path = format!("/sys/firmware/dmi/entries/11-{number}/raw");
        let (structure, _) = files.bytes(Path::new(&path), MAX_STRUCTURE).ok()?;
        // The second byte is the length of the formatted part; strings follow, each with its NUL (DMTF DSP0134, 6.1.3).
        let formatted = structure.get(1).map_or(0, |length| usize::from(*length));
        let mut strings = structure.get(formatted..)?.split(|byte| *byte == 0);
        strings
            .find_map(|string| string.strip_prefix(FIRMWARE_STRING.as_bytes()))
            .map(|found| found.to_vec().into())
    })
}

#[cfg(test)]
mod tests {
    use super::super::arguments::SettingArgs;
    use super::super::config;
    use super::super::machine::fake::FakeFiles;
    use super::*;
    use crate::domain::credential::{Credential, CredentialKind};

    fn ticket(id: u8) -> String {
        let credential = Credential::new(CredentialKind::Ticket, [id; 16], Zeroizing::new([7; 32]));
        let ticket = BootTicket::new(vec!["https://store.example".into()], None, credential).unwrap();
        ticket.to_text().to_string()
    }

    /// The id of the ticket, its source and the warnings, with these variables and files.
    fn look(
        variables: &[(&str, &str)],
        files: FakeFiles,
    ) -> Result<(u8, String, Vec<String>), TicketSourceError> {
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let (settings, _) = config::read(&SettingArgs::default(), &environment, &files).unwrap();
        let found = locate(&settings, &environment, &files)?;
        Ok((found.ticket.credential().id[0], found.source.to_string(), found.warnings))
    }

    #[test]
    fn the_first_place_counts_and_the_others_are_named() {
        let files = || {
            FakeFiles::default()
                .with("/etc/dropsafe/agent.yaml", "ticket_file: /configured")
                .with("/configured", &ticket(3))
                .with("/named", &format!("{}\n", ticket(1)))
                .with("/run/credentials/dropsafe.ticket", &ticket(4))
                .with("/proc/cmdline", &format!("ro quiet dropsafe.ticket={} x=y\n", ticket(5)))
        };
        let variables = [
            ("DROPSAFE_TICKET_FILE", "/named"),
            ("DROPSAFE_TICKET", &ticket(2)),
            ("CREDENTIALS_DIRECTORY", "/run/credentials"),
        ];
        assert_eq!(
            look(&variables[1..], files().with("/named", "")),
            Ok((
                2,
                "DROPSAFE_TICKET".into(),
                vec![
                    "the ticket in DROPSAFE_TICKET is used; there is another in /configured \
                     (/etc/dropsafe/agent.yaml:1 ticket_file), the credential /run/credentials/dropsafe.ticket, \
                     the kernel's command line"
                        .into()
                ]
            ))
        );
        assert_eq!(look(&variables, files()).map(|found| found.0), Ok(1));
        assert_eq!(look(&variables[2..], files()).map(|found| found.0), Ok(3));
        let files = files().with("/etc/dropsafe/agent.yaml", "");
        assert_eq!(look(&variables[2..], files).map(|found| found.0), Ok(4));
        let files = FakeFiles::default().with("/proc/cmdline", &format!("dropsafe.ticket={}", ticket(5)));
        assert_eq!(look(&variables[2..], files), Ok((5, "the kernel's command line".into(), vec![])));
    }

    #[test]
    fn the_firmware_is_read_where_no_init_system_has_done_it() {
        let raw = |ticket: &str| {
            format!("\u{b}\u{5}\0\u{b}\u{2}first=1\0io.systemd.credential:dropsafe.ticket={ticket}\0\0")
        };
        let files =
            |ticket: &str| FakeFiles::default().with("/sys/firmware/dmi/entries/11-0/raw", &raw(ticket));
        assert_eq!(look(&[], files(&ticket(6))), Ok((6, "the firmware (SMBIOS)".into(), vec![])));
        // systemd has done it: one ticket in two places is no reason to warn.
        let both = files(&ticket(6)).with("/c/dropsafe.ticket", &ticket(6));
        let found = look(&[("CREDENTIALS_DIRECTORY", "/c")], both);
        assert_eq!(found, Ok((6, "the credential /c/dropsafe.ticket".into(), vec![])));
        let cut = FakeFiles::default().with("/sys/firmware/dmi/entries/11-0/raw", "\u{b}");
        assert_eq!(look(&[], cut), Err(TicketSourceError::None));
    }

    #[test]
    fn a_file_open_to_others_is_a_warning() {
        let files = FakeFiles::default().with_open("/t", &ticket(1));
        let (_, _, warnings) = look(&[("DROPSAFE_TICKET_FILE", "/t")], files).unwrap();
        assert_eq!(warnings, ["other users may read the ticket in /t: run chmod 0600 /t"]);
    }

    #[test]
    fn a_bad_ticket_is_not_passed_over_and_never_quoted() {
        let whole = ticket(1);
        for (text, message) in [
            ("hunter2", "DROPSAFE_TICKET: this is not a boot ticket: it does not start with dst_"),
            (&whole[..whole.len() - 9], "DROPSAFE_TICKET: the boot ticket is cut short"),
            (
                &whole.replacen('a', "b", 1),
                "DROPSAFE_TICKET: the boot ticket is mistyped: its checksum does not match",
            ),
        ] {
            let files = FakeFiles::default().with("/proc/cmdline", &format!("dropsafe.ticket={}", ticket(5)));
            let error = look(&[("DROPSAFE_TICKET", text)], files).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let error = look(&[("DROPSAFE_TICKET_FILE", "/gone")], FakeFiles::default()).unwrap_err();
        assert_eq!(error.to_string(), "the ticket in /gone (DROPSAFE_TICKET_FILE): there is no such file");
        assert_eq!(look(&[("DROPSAFE_TICKET", "")], FakeFiles::default()), Err(TicketSourceError::None));
    }
}
