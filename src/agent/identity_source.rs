//! Locates the machine's identity: a boot ticket or a store card. The first source that has one counts, and a warning names the
//! others. A ticket is never printed, and nothing is quoted that cannot be read.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::boot_identity::{BootIdentity, TokenIdentity};
use super::config::{AgentSettings, OnOutage};
use super::machine::{FileReadError, Files, TextFile};
use super::ticket_file::{TicketFile, TicketFileError};
use super::token_source::{TokenReader, TokenSourceError};
use crate::domain::card::{CardError, StoreCard};
use crate::domain::ticket::{BootTicket, TicketError};
use crate::settings::{Environment, Setting, SettingOrigin};

/// A ticket with eight addresses of the maximal length has less than 7 KiB.
const MAX_TEXT: usize = 16 << 10;
/// Most architectures limit the kernel's command line to 4 KiB or less.
const MAX_COMMAND_LINE: usize = 64 << 10;
const COMMAND_LINE: &str = "/proc/cmdline";
const TICKET_VARIABLE: &str = "DROPSAFE_TICKET";
/// Hypervisors write one structure of OEM strings.
const MAX_STRUCTURES: usize = 4;
const MAX_STRUCTURE: usize = 64 << 10;

/// What a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdentityForm {
    Ticket,
    Card,
}

impl IdentityForm {
    /// In the order in which they are looked for at one place.
    const ALL: [Self; 2] = [Self::Ticket, Self::Card];

    fn noun(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Card => "card",
        }
    }

    /// Of the systemd credential, and of the word on the kernel's command line.
    fn name(self) -> &'static str {
        match self {
            Self::Ticket => "dropsafe.ticket",
            Self::Card => "dropsafe.card",
        }
    }
}

/// A place where an identity may be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum IdentityPlace {
    /// A file that a flag, a variable or the configuration names.
    File { path: PathBuf, origin: SettingOrigin },
    /// `DROPSAFE_TICKET`, or the setting `card`.
    Setting(SettingOrigin),
    /// systemd's credential, which may come from SMBIOS (systemd.exec(5), `LoadCredential=`).
    Credential(PathBuf),
    /// The same credential in the firmware, for machines without systemd.
    Firmware,
    /// A word of the kernel's command line, which every user of the machine can read.
    CommandLine,
}

/// Where an identity was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentitySource {
    form: IdentityForm,
    place: IdentityPlace,
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            IdentityPlace::File { path, origin } => write!(f, "{} ({origin})", path.display()),
            IdentityPlace::Setting(origin) => origin.fmt(f),
            IdentityPlace::Credential(path) => write!(f, "the credential {}", path.display()),
            IdentityPlace::Firmware => f.write_str("the firmware (SMBIOS)"),
            IdentityPlace::CommandLine => f.write_str("the kernel's command line"),
        }
    }
}

/// An identity and its source.
pub(crate) struct LocatedIdentity {
    pub(crate) identity: BootIdentity,
    pub(crate) source: IdentitySource,
    /// Findings that are probably mistakes and stop nothing.
    pub(crate) warnings: Vec<String>,
}

impl LocatedIdentity {
    /// The file that the ticket came from, if the configuration says to delete it.
    ///
    /// # Errors
    /// It cannot be deleted. No use of the ticket is spent yet.
    pub(crate) fn file_to_delete(
        &self,
        settings: &AgentSettings,
    ) -> Result<Option<TicketFile>, TicketFileError> {
        match (&self.source.place, self.source.form) {
            (IdentityPlace::File { path, .. }, IdentityForm::Ticket) if settings.delete_ticket_file => {
                TicketFile::open(path).map(Some)
            }
            // A card is not secret, credentials belong to the service manager, and the rest are no files.
            _ => Ok(None),
        }
    }
}

/// Why there is no identity that can boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("there is no boot ticket and no store card")]
    None,
    /// The first source cannot be read.
    #[error("the {} in {origin}: {why}", origin.form.noun())]
    Unreadable { origin: IdentitySource, why: FileReadError },
    /// The first source holds something else.
    #[error("{origin}: {why}")]
    Ticket { origin: IdentitySource, why: TicketError },
    /// The same for a card.
    #[error("{origin}: {why}")]
    Card { origin: IdentitySource, why: CardError },
    /// The machine's tokens have no usable source.
    #[error("the card in {origin} needs tokens of an issuer: {why}")]
    Tokens { origin: IdentitySource, why: TokenSourceError },
    /// What is cached is sealed with the secret of a ticket.
    #[error("on_outage cannot be cache with the card in {origin}")]
    Cache { origin: IdentitySource },
}

impl IdentityError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::None => Some(
                "create a ticket with `dropsafe ticket new` and set DROPSAFE_TICKET or DROPSAFE_TICKET_FILE, or give the \
                 unit the credential dropsafe.ticket; a machine that has tokens of an issuer needs a card (DROPSAFE_CARD)",
            ),
            Self::Unreadable { .. } => None,
            Self::Ticket { why, .. } => why.hint(),
            Self::Card { why, .. } => Some(why.hint()),
            Self::Tokens { why, .. } => why.hint(),
            Self::Cache { .. } => Some(
                "set on_outage to fail or start-without: the cache is sealed with the secret of a ticket, and this machine has none",
            ),
        }
    }
}

/// Locates the identity in the files that `--ticket-file` and `--card-file` or their variables name, `DROPSAFE_TICKET`, `--card` or its
/// variable, what the configuration names, the systemd credentials, the firmware, and the kernel's command line, in this order.
///
/// # Errors
/// There is none, or the first source has one that cannot be used. The next source is not tried then, since its identity may be
/// another member's.
pub(crate) fn locate(
    settings: &AgentSettings,
    environment: &Environment,
    files: &dyn Files,
) -> Result<LocatedIdentity, IdentityError> {
    let reader = IdentityReader { settings, environment, files };
    let mut found = reader.sources().into_iter().filter_map(|source| {
        let text = reader.read(&source)?;
        Some((source, text))
    });
    let (source, text) = found.next().ok_or(IdentityError::None)?;
    let text = match text {
        Ok(text) => text,
        Err(why) => return Err(IdentityError::Unreadable { origin: source, why }),
    };
    let identity = reader.parse(&source, text.text.trim())?;
    let (noun, mut warnings) = (source.form.noun(), Vec::new());
    if let (true, IdentityForm::Ticket, IdentityPlace::File { path, .. }) =
        (text.open_to_others, source.form, &source.place)
    {
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
        warnings.push(format!("the {noun} in {source} is used; there is another in {}", others.join(", ")));
    }
    Ok(LocatedIdentity { identity, source, warnings })
}

/// Where identities are looked for.
struct IdentityReader<'a> {
    settings: &'a AgentSettings,
    environment: &'a Environment,
    files: &'a dyn Files,
}

impl IdentityReader<'_> {
    /// The sources in order, whether or not they hold anything.
    fn sources(&self) -> Vec<IdentitySource> {
        let settings = self.settings;
        let file = |form, setting: &Option<Setting<PathBuf>>| {
            let setting = setting.clone()?;
            let place = IdentityPlace::File { path: setting.value, origin: setting.origin };
            Some(IdentitySource { form, place })
        };
        let variable = SettingOrigin::Variable(TICKET_VARIABLE.into());
        let named = [
            file(IdentityForm::Ticket, &settings.ticket_file),
            file(IdentityForm::Card, &settings.card_file),
            Some(IdentitySource { form: IdentityForm::Ticket, place: IdentityPlace::Setting(variable) }),
            settings.card.as_ref().map(|card| {
                let place = IdentityPlace::Setting(card.origin.clone());
                IdentitySource { form: IdentityForm::Card, place }
            }),
        ];
        // The configuration may be part of an image; what was set for this start of the machine or container is closer to it.
        let (configured, mut sources): (Vec<_>, Vec<_>) =
            named.into_iter().flatten().partition(IdentitySource::is_configured);
        sources.extend(configured);
        let mut both = |place: &dyn Fn(IdentityForm) -> IdentityPlace| {
            sources.extend(IdentityForm::ALL.map(|form| IdentitySource { form, place: place(form) }));
        };
        if let Some(folder) = self.environment.variable("CREDENTIALS_DIRECTORY") {
            both(&|form| IdentityPlace::Credential(Path::new(folder).join(form.name())));
        }
        both(&|_| IdentityPlace::Firmware);
        both(&|_| IdentityPlace::CommandLine);
        sources
    }

    /// The text of a source. `None` if it is empty and the configuration does not require it.
    fn read(&self, source: &IdentitySource) -> Option<Result<TextFile, FileReadError>> {
        let private = |text: &str| TextFile { text: Zeroizing::new(text.to_owned()), open_to_others: false };
        match (&source.place, source.form) {
            (IdentityPlace::File { path, .. }, _) => Some(self.files.text(path, MAX_TEXT)),
            (IdentityPlace::Setting(_), IdentityForm::Ticket) => {
                let value = self.environment.variable(TICKET_VARIABLE)?;
                Some(value.to_str().map(private).ok_or(FileReadError::NotText))
            }
            // It was read with the settings, so that its faults are reported with theirs.
            (IdentityPlace::Setting(_), IdentityForm::Card) => {
                self.settings.card.as_ref().map(|card| Ok(private(&card.value.to_string())))
            }
            // A unit that loads other credentials has the folder and not this file.
            (IdentityPlace::Credential(path), _) => match self.files.text(path, MAX_TEXT) {
                Err(FileReadError::Missing) => None,
                read => Some(read),
            },
            (IdentityPlace::Firmware, form) => self
                .read_firmware(form)
                .map(|text| str::from_utf8(&text).map(private).map_err(|_| FileReadError::NotText)),
            (IdentityPlace::CommandLine, form) => {
                let line = self.files.text(Path::new(COMMAND_LINE), MAX_COMMAND_LINE).ok()?;
                let mut words = line.text.split_ascii_whitespace();
                let word = words.find_map(|word| word.strip_prefix(form.name())?.strip_prefix('='))?;
                Some(Ok(private(word)))
            }
        }
    }

    /// The identity among the OEM strings that the hypervisor was given.
    fn read_firmware(&self, form: IdentityForm) -> Option<Zeroizing<Vec<u8>>> {
        // The form in which systemd reads credentials from SMBIOS (systemd.system-credentials(7)).
        let prefix = format!("io.systemd.credential:{}=", form.name());
        // Only root may read these files, and containers do not have them. That they cannot be read means that there is nothing.
        (0..MAX_STRUCTURES).find_map(|number| {
            let path = format!("/sys/firmware/dmi/entries/11-{number}/raw");
            let (structure, _) = self.files.bytes(Path::new(&path), MAX_STRUCTURE).ok()?;
            // The second byte is the length of the formatted part; strings follow, each with its NUL (DMTF DSP0134, 6.1.3).
            let formatted = structure.get(1).map_or(0, |length| usize::from(*length));
            let mut strings = structure.get(formatted..)?.split(|byte| *byte == 0);
            strings
                .find_map(|string| string.strip_prefix(prefix.as_bytes()))
                .map(|found| found.to_vec().into())
        })
    }

    fn parse(&self, source: &IdentitySource, text: &str) -> Result<BootIdentity, IdentityError> {
        let origin = || source.clone();
        match source.form {
            IdentityForm::Ticket => BootTicket::parse(text)
                .map(BootIdentity::Ticket)
                .map_err(|why| IdentityError::Ticket { origin: origin(), why }),
            IdentityForm::Card => {
                let card: StoreCard =
                    text.parse().map_err(|why| IdentityError::Card { origin: origin(), why })?;
                if self.settings.on_outage == OnOutage::Cache {
                    return Err(IdentityError::Cache { origin: origin() });
                }
                let audience = self.settings.token_audience.clone();
                let source = self.settings.token_from.as_ref().map(|setting| &setting.value);
                let tokens = TokenReader::new(source, audience.as_deref(), self.environment)
                    .map_err(|why| IdentityError::Tokens { origin: origin(), why })?;
                Ok(BootIdentity::Token(Box::new(TokenIdentity::new(card, audience, tokens))))
            }
        }
    }
}

impl IdentitySource {
    /// Whether the configuration file names it.
    fn is_configured(&self) -> bool {
        match &self.place {
            IdentityPlace::File { origin, .. } | IdentityPlace::Setting(origin) => {
                matches!(origin, SettingOrigin::Line { .. })
            }
            IdentityPlace::Credential(_) | IdentityPlace::Firmware | IdentityPlace::CommandLine => false,
        }
    }

    /// `ticket` or `card`.
    pub(crate) fn noun(&self) -> &'static str {
        self.form.noun()
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::SettingArgs;
    use super::super::config;
    use super::super::machine::fake::FakeFiles;
    use super::*;
    use crate::domain::credential::{Credential, CredentialKind};
    use crate::domain::id::{IdentityId, StoreId};
    use crate::domain::location::{AnswerKey, StoreLocation};

    fn ticket(id: u8) -> String {
        let credential = Credential::new(CredentialKind::Ticket, [id; 16], Zeroizing::new([7; 32]));
        let ticket = BootTicket::new(vec!["https://store.example".into()], None, credential).unwrap();
        ticket.to_text().to_string()
    }

    fn card(id: u8) -> StoreCard {
        let urls = vec!["https://store.example".into()];
        let location = StoreLocation::new(urls, None, Some(AnswerKey([5; 32]))).unwrap();
        StoreCard::new(StoreId::from_bytes([1; 16]), IdentityId::from_bytes([id; 16]), location).unwrap()
    }

    /// The first byte of its id.
    fn id_of(identity: &BootIdentity) -> u8 {
        match identity {
            BootIdentity::Ticket(ticket) => ticket.credential().id[0],
            BootIdentity::Token(_) => identity.id().parse::<IdentityId>().unwrap().as_bytes()[0],
        }
    }

    /// The id of the ticket or the identity, its source and the warnings, with these variables and files.
    fn look(
        variables: &[(&str, &str)],
        files: FakeFiles,
    ) -> Result<(u8, String, Vec<String>), IdentityError> {
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let (settings, _) = config::read(&SettingArgs::default(), &environment, &files).unwrap();
        let found = locate(&settings, &environment, &files)?;
        Ok((id_of(&found.identity), found.source.to_string(), found.warnings))
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
        assert_eq!(look(&[], cut), Err(IdentityError::None));
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
        assert_eq!(look(&[("DROPSAFE_TICKET", "")], FakeFiles::default()), Err(IdentityError::None));
    }

    #[test]
    fn a_card_is_found_where_a_ticket_is() {
        let token = ("DROPSAFE_TOKEN_FROM", "file:/token");
        let (one, two) = (card(1).to_string(), card(2).to_string());
        let raw = format!("\u{b}\u{5}\0\u{b}\u{2}io.systemd.credential:dropsafe.card={one}\0\0");
        let none = FakeFiles::default;
        for (variables, files, source) in [
            (vec![("DROPSAFE_CARD", one.as_str())], none(), "DROPSAFE_CARD"),
            (
                vec![("DROPSAFE_CARD_FILE", "/c")],
                none().with("/c", &format!("{one}\n")),
                "/c (DROPSAFE_CARD_FILE)",
            ),
            (
                vec![("CREDENTIALS_DIRECTORY", "/d")],
                none().with("/d/dropsafe.card", &one),
                "the credential /d/dropsafe.card",
            ),
            (vec![], none().with("/sys/firmware/dmi/entries/11-0/raw", &raw), "the firmware (SMBIOS)"),
            (
                vec![],
                none().with("/proc/cmdline", &format!("ro dropsafe.card={one}")),
                "the kernel's command line",
            ),
            (
                vec![],
                none().with("/etc/dropsafe/agent.yaml", &format!("card: {one}")),
                "/etc/dropsafe/agent.yaml:1 card",
            ),
        ] {
            let variables = [&variables[..], &[token]].concat();
            assert_eq!(look(&variables, files), Ok((1, source.into(), vec![])));
        }
        // A ticket comes first at one place, and a variable before the configuration.
        let both = [("DROPSAFE_TICKET", ticket(7)), ("DROPSAFE_CARD", one.clone())];
        let both = both.each_ref().map(|(name, value)| (*name, value.as_str()));
        let warning = "the ticket in DROPSAFE_TICKET is used; there is another in DROPSAFE_CARD";
        assert_eq!(look(&both, none()), Ok((7, "DROPSAFE_TICKET".into(), vec![warning.into()])));
        let files = none().with("/etc/dropsafe/agent.yaml", "ticket_file: /t").with("/t", &ticket(7));
        assert_eq!(look(&[("DROPSAFE_CARD", &two), token], files).map(|found| found.0), Ok(2));
    }

    #[test]
    fn a_card_alone_does_not_boot() {
        let text = card(1).to_string();
        let error = |more: &[(&str, &str)]| {
            let variables = [&[("DROPSAFE_CARD", text.as_str())], more].concat();
            look(&variables, FakeFiles::default()).unwrap_err()
        };
        let message = "the card in DROPSAFE_CARD needs tokens of an issuer: token_from is not set";
        assert_eq!(error(&[]).to_string(), message);
        let cached = error(&[("DROPSAFE_TOKEN_FROM", "file:/token"), ("DROPSAFE_ON_OUTAGE", "cache")]);
        assert_eq!(cached.to_string(), "on_outage cannot be cache with the card in DROPSAFE_CARD");
        assert!(cached.hint().unwrap().contains("start-without"));
        let file = FakeFiles::default().with("/c", &ticket(1));
        let error = look(&[("DROPSAFE_CARD_FILE", "/c")], file).unwrap_err();
        assert_eq!(error.to_string(), "/c (DROPSAFE_CARD_FILE): this is a boot ticket, not a store card");
    }
}
