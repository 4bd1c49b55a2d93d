//! Finds the boot ticket. Of several places the first that has one counts, and it is said that there were more. The ticket is
//! never printed, and nothing of it is quoted when it cannot be read.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, unlink};
use zeroize::Zeroizing;

use super::config::Settings;
use super::failure::Failure;
use super::machine::{Files, ReadError, Text};
use crate::domain::ticket::{BootTicket, TicketError};
use crate::settings::{Environment, SettingOrigin};

/// A ticket with eight of the longest addresses has less than 7 KiB.
const MAX_TICKET: usize = 16 << 10;
/// The kernel keeps at most 4 KiB of its command line on most machines.
const MAX_COMMAND_LINE: usize = 64 << 10;
const COMMAND_LINE: &str = "/proc/cmdline";
const WORD: &str = "dropsafe.ticket=";
/// As systemd reads it (systemd.system-credentials(7)).
const FIRMWARE_WORD: &str = "io.systemd.credential:dropsafe.ticket=";
/// Machines have one of this kind, or none.
const MAX_STRUCTURES: usize = 4;
const MAX_STRUCTURE: usize = 64 << 10;

/// A place where a ticket may be, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file that a flag, a variable or the configuration names.
    File {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: SettingOrigin,
    },
    /// `DROPSAFE_TICKET` itself.
    Variable,
    /// systemd's credential `dropsafe.ticket`, which may come from SMBIOS (systemd.exec(5), `LoadCredential=`).
    Credential(PathBuf),
    /// The same credential as the firmware has it, for machines whose init system is another.
    Firmware,
    /// `dropsafe.ticket=` on the kernel's command line, which everybody on the machine can read.
    CommandLine,
}

impl fmt::Display for Place {
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

/// A ticket, and where it was.
#[derive(Debug)]
pub(crate) struct Found {
    /// The ticket.
    pub(crate) ticket: BootTicket,
    /// Where it was.
    pub(crate) place: Place,
    /// What is odd and no fault.
    pub(crate) warnings: Vec<String>,
}

impl Found {
    /// The file that it came from, if the machine's configuration names it; no other may be deleted.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File { path, .. } => Some(path),
            Place::Variable | Place::Credential(_) | Place::Firmware | Place::CommandLine => None,
        }
    }

    /// That file, where it is to go with the boot.
    pub(crate) fn leaving(&self, settings: &Settings) -> Leaving<'_> {
        Leaving(self.file().filter(|_| settings.delete_ticket_file))
    }
}

/// The ticket's file, if it is to be deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving<'a>(Option<&'a Path>);

impl Leaving<'_> {
    /// Whether it could be deleted, asked before a use of the ticket is spent.
    ///
    /// # Errors
    /// The folder may not be changed.
    pub(crate) fn check(self) -> Result<(), Failure> {
        self.with(deletable)
    }

    /// Deletes it, once the release is here: a boot that failed before can be tried again.
    ///
    /// # Errors
    /// The system's; that it is gone already is none.
    pub(crate) fn delete(self) -> Result<(), Failure> {
        self.with(delete)
    }

    fn with(self, act: fn(&Path) -> Result<(), Errno>) -> Result<(), Failure> {
        let Some(path) = self.0 else { return Ok(()) };
        act(path).map_err(|errno| Failure::Keep { path: path.to_owned(), errno })
    }
}

fn deletable(file: &Path) -> Result<(), Errno> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(folder, AccessFlags::W_OK)
}

fn delete(file: &Path) -> Result<(), Errno> {
    match unlink(file) {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Nowhere.
    #[error("there is no boot ticket")]
    None,
    /// The first place cannot be read.
    #[error("the ticket in {place}: {why}")]
    Unreadable {
        /// Where it should be.
        place: Place,
        /// Why it is not.
        why: ReadError,
    },
    /// What is there is no ticket.
    #[error("{place}: {why}")]
    Invalid {
        /// Where it is.
        place: Place,
        /// What is wrong.
        why: TicketError,
    },
}

impl IdentityError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::None => Some(
                "make one with `dropsafe ticket new` and set DROPSAFE_TICKET or DROPSAFE_TICKET_FILE, or give the unit \
                 the credential dropsafe.ticket",
            ),
            Self::Unreadable { .. } => None,
            Self::Invalid { why, .. } => why.hint(),
        }
    }
}

/// Finds it: a file named by `--ticket-file` or `DROPSAFE_TICKET_FILE`, then `DROPSAFE_TICKET`, then a file that the configuration
/// names, the systemd credential, the firmware, and the kernel's command line.
///
/// # Errors
/// There is none, or the first place has none that can be read; the next is not tried then, since it may be another's.
pub(crate) fn find(
    settings: &Settings,
    environment: &Environment,
    files: &dyn Files,
) -> Result<Found, IdentityError> {
    let mut places = places(settings, environment).into_iter().filter_map(|place| {
        let read = read(&place, environment, files)?;
        Some((place, read))
    });
    let (place, text) = places.next().ok_or(IdentityError::None)?;
    let text = match text {
        Ok(text) => text,
        Err(why) => return Err(IdentityError::Unreadable { place, why }),
    };
    let ticket = match BootTicket::parse(text.text.trim()) {
        Ok(ticket) => ticket,
        Err(why) => return Err(IdentityError::Invalid { place, why }),
    };
    let mut warnings = Vec::new();
    if let (true, Place::File { path, .. }) = (text.open_to_others, &place) {
        let path = path.display();
        warnings.push(format!("others may read the ticket in {path}: chmod 0600 {path}"));
    }
    // systemd makes the firmware's a credential: that is one ticket and not two.
    let same = |other: &Result<Text, ReadError>| {
        other.as_ref().is_ok_and(|other| other.text.trim() == text.text.trim())
    };
    let others: Vec<String> =
        places.filter(|(_, other)| !same(other)).map(|(place, _)| place.to_string()).collect();
    if !others.is_empty() {
        warnings.push(format!("the ticket in {place} is used; there is another in {}", others.join(", ")));
    }
    Ok(Found { ticket, place, warnings })
}

/// Where to look, in order. Whether there is anything is another question.
fn places(settings: &Settings, environment: &Environment) -> Vec<Place> {
    let file = settings.ticket_file.clone();
    let configured = file.as_ref().is_some_and(|file| matches!(file.origin, SettingOrigin::Line { .. }));
    let mut file = file.map(|file| Place::File { path: file.value, origin: file.origin });
    let mut places = Vec::new();
    places.extend(file.take_if(|_| !configured));
    places.push(Place::Variable);
    places.extend(file);
    if let Some(folder) = environment.variable("CREDENTIALS_DIRECTORY") {
        places.push(Place::Credential(Path::new(folder).join("dropsafe.ticket")));
    }
    places.extend([Place::Firmware, Place::CommandLine]);
    places
}

/// What is there; `None` when nothing is, and nobody said that there would be.
fn read(place: &Place, environment: &Environment, files: &dyn Files) -> Option<Result<Text, ReadError>> {
    let private = |text: &str| Text { text: Zeroizing::new(text.to_owned()), open_to_others: false };
    match place {
        Place::File { path, .. } => Some(files.text(path, MAX_TICKET)),
        Place::Variable => {
            let value = environment.variable("DROPSAFE_TICKET")?;
            Some(value.to_str().map(private).ok_or(ReadError::NotText))
        }
        Place::Credential(path) => match files.text(path, MAX_TICKET) {
            Err(ReadError::Missing) => None,
            read => Some(read),
        },
        Place::Firmware => {
            firmware(files).map(|ticket| str::from_utf8(&ticket).map(private).map_err(|_| ReadError::NotText))
        }
        Place::CommandLine => {
            let line = files.text(Path::new(COMMAND_LINE), MAX_COMMAND_LINE).ok()?;
            let word = line.text.split_ascii_whitespace().find_map(|word| word.strip_prefix(WORD))?;
            Some(Ok(private(word)))
        }
    }
}

/// What the hypervisor was given as an "OEM string": root alone may read it, and nobody in a container.
fn firmware(files: &dyn Files) -> Option<Zeroizing<Vec<u8>>> {
    (0..MAX_STRUCTURES).find_map(|number| {
        let path = format!("/sys/firmware/dmi/entries/11-{number}/raw");
        let (structure, _) = files.bytes(Path::new(&path), MAX_STRUCTURE).ok()?;
        // The formatted part has its length in its second byte; strings follow, each with its NUL (DMTF DSP0134, 6.1.3).
        let formatted = structure.get(1).map_or(0, |length| usize::from(*length));
        let mut strings = structure.get(formatted..)?.split(|byte| *byte == 0);
        strings
            .find_map(|string| string.strip_prefix(FIRMWARE_WORD.as_bytes()))
            .map(|found| found.to_vec().into())
    })
}

#[cfg(test)]
mod tests {
    use super::super::config;
    use super::super::flags::Options;
    use super::super::machine::fake::FakeFiles;
    use super::*;
    use crate::domain::credential::{Credential, CredentialKind};

    fn ticket(id: u8) -> String {
        let credential = Credential::new(CredentialKind::Ticket, [id; 16], Zeroizing::new([7; 32]));
        let ticket = BootTicket::new(vec!["https://store.example".into()], None, credential).unwrap();
        ticket.to_text().to_string()
    }

    /// Looks with these variables and files; tells the id of the ticket, its place and the warnings.
    fn look(
        variables: &[(&str, &str)],
        files: FakeFiles,
    ) -> Result<(u8, String, Vec<String>), IdentityError> {
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let (settings, _) = config::read(&Options::default(), &environment, &files).unwrap();
        let found = find(&settings, &environment, &files)?;
        Ok((found.ticket.credential().id[0], found.place.to_string(), found.warnings))
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
    fn the_firmware_is_asked_where_no_init_system_has_done_it() {
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
        assert_eq!(look(&[], cut), Err(IdentityError::None));
    }

    #[test]
    fn a_file_open_to_others_is_told() {
        let files = FakeFiles::default().with_open("/t", &ticket(1));
        let (_, _, warnings) = look(&[("DROPSAFE_TICKET_FILE", "/t")], files).unwrap();
        assert_eq!(warnings, ["others may read the ticket in /t: chmod 0600 /t"]);
    }

    #[test]
    fn a_bad_ticket_is_not_passed_over_and_never_quoted() {
        let whole = ticket(1);
        for (text, told) in [
            ("hunter2", "DROPSAFE_TICKET: this is not a boot ticket: it does not start with dst_"),
            (&whole[..whole.len() - 9], "DROPSAFE_TICKET: the boot ticket is cut short"),
            (
                &whole.replacen('a', "b", 1),
                "DROPSAFE_TICKET: the boot ticket is mistyped: its checksum does not match",
            ),
        ] {
            let files = FakeFiles::default().with("/proc/cmdline", &format!("dropsafe.ticket={}", ticket(5)));
            let error = look(&[("DROPSAFE_TICKET", text)], files).unwrap_err();
            assert_eq!(error.to_string(), told);
        }
        let error = look(&[("DROPSAFE_TICKET_FILE", "/gone")], FakeFiles::default()).unwrap_err();
        assert_eq!(error.to_string(), "the ticket in /gone (DROPSAFE_TICKET_FILE): there is no such file");
        assert_eq!(look(&[("DROPSAFE_TICKET", "")], FakeFiles::default()), Err(IdentityError::None));
    }
}
