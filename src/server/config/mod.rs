//! The server's settings: flags, environment and DIR/server.yaml. All faults are reported at once, before anything is opened. This
//! module opens no file itself.

mod address;
mod flags;
mod keys;
pub(crate) mod listeners;
mod node_reader;
mod presets;
mod role;
mod sign_in;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use address::{AdvertisedUrl, derive_urls};
use address::{parse_listen, parse_loopback};
pub use flags::ServeFlags;
use listeners::TerminatedListener;
pub(crate) use role::ServerRole;
use sign_in::SignInConfig;

use super::connection::ConnectionTimeouts;
use super::data_dir;
use super::log::{LogLevel, ServerLogFormat};
use crate::api::limits::LimitSettings;
use crate::domain::catalog::Presets;
use crate::domain::cidr::Cidr;
use crate::domain::epoch::RestoreEpoch;
use crate::kv;
use crate::settings::parse::ExpectedForm;
use crate::settings::{
    Environment, Setting, SettingErrors, SettingOrigin, SettingReader, SettingSource, YamlFile, parse,
};

/// By default the server is reachable from this machine alone.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7373";
/// The most connections at a time. One with TLS takes about 40 KiB, so all of them take 80 MiB. More would not serve a crowd sooner:
/// a connection that finds no place waits in the kernel's queue.
const CONNECTIONS: usize = 2048;
/// How long requests may take to finish when the server stops. Less than systemd's TimeoutStopSec of 90 s.
const DRAIN: Duration = Duration::from_secs(25);

/// What opens a key slot at startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnlockSource {
    /// A file with a passphrase; one newline at its end does not count.
    PassphraseFile(PathBuf),
    KeyFile(PathBuf),
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where the records are.
    pub(crate) store: kv::Url,
    pub(crate) role: ServerRole,
    /// Addresses with TLS.
    pub(crate) listen: Vec<SocketAddr>,
    /// Addresses without TLS, on loopback only.
    pub(crate) plain: Vec<SocketAddr>,
    /// Addresses for load balancers that terminate TLS.
    pub(crate) terminated: Vec<TerminatedListener>,
    /// The Unix socket; `None` turns it off.
    pub(crate) socket: Option<PathBuf>,
    /// 0600, or 0660 for a group.
    pub(crate) socket_mode: u32,
    /// The certificate chain, PEM.
    pub(crate) cert: PathBuf,
    /// The certificate's key, PEM.
    pub(crate) key: PathBuf,
    /// The addresses that new tickets carry; if empty, they are derived from `listen`.
    pub(crate) advertise: Vec<String>,
    /// The load balancers whose connections begin with a PROXY header.
    pub(crate) proxies: Vec<Cidr>,
    /// Private networks that issuers of tokens may be in.
    pub(crate) issuer_networks: Vec<Cidr>,
    /// `None` starts locked, unless there is a systemd credential.
    pub(crate) unlock: Option<UnlockSource>,
    pub(crate) log_format: ServerLogFormat,
    pub(crate) log_level: LogLevel,
    /// The most connections at a time.
    pub(crate) connections: usize,
    pub(crate) limits: LimitSettings,
    /// How long requests may take to finish when the server stops.
    pub(crate) drain: Duration,
    /// The built-in presets and the operator's own.
    /// Whether the server locks itself when the verification finds a fault.
    pub(crate) lock_on_fault: bool,
    pub(crate) presets: Presets,
    /// The providers that people sign in with.
    pub(crate) sign_in: SignInConfig,
    pub(crate) timeouts: ConnectionTimeouts,
    /// The restore that the operator accepts.
    pub(crate) accept_restore: Option<RestoreEpoch>,
    /// The folder with this service's systemd credentials.
    pub(crate) credentials: Option<PathBuf>,
    /// systemd's notification socket.
    pub(crate) notify: Option<std::ffi::OsString>,
}

impl ServeConfig {
    /// Reads all settings. `file` is the text of DIR/server.yaml.
    ///
    /// # Errors
    /// All faults, each with its place.
    pub fn read(
        data: &Path,
        flags: &ServeFlags,
        environment: &Environment,
        file: &str,
    ) -> Result<Self, SettingErrors> {
        let mut errors = SettingErrors::default();
        let path = data.join(data_dir::CONFIG).display().to_string();
        let yaml = parse_file(&path, file, &mut errors);
        let presets = presets::read(&yaml, &mut errors);
        let terminated = listeners::read(&yaml, &mut errors);
        let sign_in = sign_in::read(&yaml, data, &mut errors);
        let sources: [&dyn SettingSource; 3] = [flags, environment, &yaml];
        let mut reader = SettingReader::new(&sources, &mut errors);
        // Paths in the file are relative to its folder, so that the folder can be moved.
        let in_data = |text: &str| parse::path(text).map(|path| data.join(path));
        let tls = |name: &str| data.join(data_dir::TLS).join(name);
        let url = |text: &str| text.parse::<kv::Url>().map(|url| url.in_folder(data));
        let text = |text: &str| Ok::<_, ExpectedForm>(text.to_owned());
        let advertised = |text: &str| text.parse().map(|advertised: AdvertisedUrl| advertised.url);
        let passphrase_file = reader.one(&keys::PASSPHRASE_FILE, in_data);
        let key_file = reader.one(&keys::KEY_FILE, in_data);
        let config = Self {
            store: value(reader.one(&keys::STORE, url))
                .unwrap_or_else(|| kv::Url::Sqlite(data.join(data_dir::STORE))),
            role: value(reader.one(&keys::ROLE, str::parse)).unwrap_or_default(),
            listen: value(reader.list(&keys::LISTEN, parse_listen))
                .unwrap_or_else(|| parse_listen(DEFAULT_LISTEN).into_iter().collect()),
            plain: value(reader.list(&keys::PLAIN, parse_loopback)).unwrap_or_default(),
            terminated,
            socket: match value(reader.one(&keys::SOCKET, text)).as_deref() {
                Some("off") => None,
                path => Some(data.join(path.unwrap_or(data_dir::SOCKET))),
            },
            socket_mode: value(reader.one(&keys::SOCKET_MODE, parse_socket_mode)).unwrap_or(0o600),
            cert: value(reader.one(&keys::CERT, in_data)).unwrap_or_else(|| tls("cert.pem")),
            key: value(reader.one(&keys::TLS_KEY, in_data)).unwrap_or_else(|| tls("key.pem")),
            advertise: value(reader.list(&keys::ADVERTISE, advertised)).unwrap_or_default(),
            proxies: value(reader.list(&keys::PROXIES, str::parse)).unwrap_or_default(),
            issuer_networks: value(reader.list(&keys::ISSUER_NETWORKS, str::parse)).unwrap_or_default(),
            unlock: unlock_source(passphrase_file.as_ref(), key_file.as_ref()),
            log_format: value(reader.one(&keys::LOG_FORMAT, str::parse)).unwrap_or_default(),
            log_level: value(reader.one(&keys::LOG_LEVEL, str::parse)).unwrap_or_default(),
            connections: value(reader.one(&keys::CONNECTIONS, parse_count)).unwrap_or(CONNECTIONS),
            limits: read_limits(&mut reader),
            drain: value(reader.one(&keys::DRAIN, parse::duration)).unwrap_or(DRAIN),
            lock_on_fault: value(reader.one(&keys::ON_FAULT, parse_fault_response)).unwrap_or_default(),
            presets,
            sign_in,
            timeouts: ConnectionTimeouts::default(),
            accept_restore: flags.accept_restore,
            credentials: environment.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            notify: environment.variable("NOTIFY_SOCKET").map(ToOwned::to_owned),
            data: data.to_owned(),
        };
        config.check(passphrase_file, key_file, &path, &mut errors);
        errors.or(config)
    }

    /// Reports settings that contradict each other.
    fn check(
        &self,
        passphrase_file: Option<Setting<PathBuf>>,
        key_file: Option<Setting<PathBuf>>,
        path: &str,
        errors: &mut SettingErrors,
    ) {
        if let (Some(_), Some(file)) = (&passphrase_file, &key_file) {
            errors.push(
                file.origin.clone(),
                "a key file and a passphrase file are both set; remove one of them",
            );
        }
        if let (ServerRole::Deposit, Some(file)) = (self.role, passphrase_file.or(key_file)) {
            errors.push(file.origin, "a server with the role deposit is never unlocked; remove this");
        }
        let has_address =
            [self.listen.is_empty(), self.plain.is_empty(), self.terminated.is_empty()].contains(&false);
        if !has_address && self.socket.is_none() {
            errors.push(SettingOrigin::File(path.into()), "no address and no socket to listen on");
        }
        // A provider sends browsers to one address, and refuses every other one.
        let no_url = self.sign_in.url.is_none() && self.ticket_urls(Some("localhost")).is_empty();
        if no_url && !self.sign_in.providers.is_empty() {
            errors.push(
                SettingOrigin::File(path.into()),
                "people cannot sign in: `sign_in.url` must say at which address they open the console",
            );
        }
    }

    /// The folder with the TLS keys that `init` creates, if the server uses these.
    pub(crate) fn own_tls(&self) -> Option<PathBuf> {
        let folder = self.data.join(data_dir::TLS);
        (self.cert == folder.join("cert.pem") && self.key == folder.join("key.pem")).then_some(folder)
    }

    /// The console's address, to which providers redirect browsers.
    pub(crate) fn console_url(&self, ticket_urls: &[String]) -> String {
        self.sign_in.url.clone().or_else(|| ticket_urls.first().cloned()).unwrap_or_default()
    }

    /// The addresses that new tickets carry with the server's own pins.
    pub(crate) fn ticket_urls(&self, host: Option<&str>) -> Vec<String> {
        match self.advertise.is_empty() {
            // Machines behind a load balancer cannot reach what is derived here.
            true if !self.terminated_urls().is_empty() => Vec::new(),
            true => derive_urls(&self.listen, host),
            false => self.advertise.clone(),
        }
    }

    /// The addresses of load balancers, which new tickets carry without a pin.
    pub(crate) fn terminated_urls(&self) -> Vec<String> {
        self.terminated.iter().flat_map(|listener| listener.advertise.iter().cloned()).collect()
    }
}

fn parse_file(path: &str, file: &str, errors: &mut SettingErrors) -> YamlFile {
    let yaml = YamlFile::parse(path, file, errors);
    let sections = [presets::FIELD, listeners::FIELD, sign_in::FIELD];
    let known: Vec<&str> = keys::ALL.iter().map(|key| key.field).chain(sections).collect();
    // A misspelled setting must not be ignored: it may be the one that restricts access.
    yaml.refuse_unknown(&known, errors);
    yaml
}

fn unlock_source(
    passphrase_file: Option<&Setting<PathBuf>>,
    key_file: Option<&Setting<PathBuf>>,
) -> Option<UnlockSource> {
    match (passphrase_file, key_file) {
        (Some(file), _) => Some(UnlockSource::PassphraseFile(file.value.clone())),
        (None, Some(file)) => Some(UnlockSource::KeyFile(file.value.clone())),
        (None, None) => None,
    }
}

fn read_limits(reader: &mut SettingReader<'_>) -> LimitSettings {
    let default = LimitSettings::default();
    let mut small = |key| value(reader.one(key, parse_count)).and_then(|count| u32::try_from(count).ok());
    let guesses = small(&keys::GUESSES).unwrap_or(default.guesses);
    let boots_per_minute = small(&keys::BOOT_RATE).unwrap_or(default.boots_per_minute);
    let writes_per_minute = small(&keys::WRITE_RATE).unwrap_or(default.writes_per_minute);
    let exports_per_minute = small(&keys::EXPORT_RATE).unwrap_or(default.exports_per_minute);
    LimitSettings {
        in_flight: value(reader.one(&keys::REQUESTS, parse_count)).unwrap_or(default.in_flight),
        boots_waiting: value(reader.one(&keys::BOOTS, parse_count)).unwrap_or(default.boots_waiting),
        boot_wait: value(reader.one(&keys::BOOT_WAIT, parse::duration)).unwrap_or(default.boot_wait),
        guesses,
        boots_per_minute,
        writes_per_minute,
        exports_per_minute,
        // The other limits protect the server itself and cannot be set.
        ..default
    }
}

fn value<T>(setting: Option<Setting<T>>) -> Option<T> {
    setting.map(|setting| setting.value)
}

/// Whether to lock.
fn parse_fault_response(text: &str) -> Result<bool, ExpectedForm> {
    match text {
        "alarm" => Ok(false),
        "lock" => Ok(true),
        _ => Err("expected alarm or lock"),
    }
}

fn parse_socket_mode(text: &str) -> Result<u32, ExpectedForm> {
    // Nothing wider: anybody who can open the socket can try passphrases and tokens.
    match text {
        "0600" | "600" => Ok(0o600),
        "0660" | "660" => Ok(0o660),
        _ => Err("expected 0600 or 0660"),
    }
}

fn parse_count(text: &str) -> Result<usize, ExpectedForm> {
    match text.parse() {
        Ok(count) if (1..=1_000_000).contains(&count) => Ok(count),
        _ => Err("expected a number from 1 to 1000000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<ServeConfig, SettingErrors> {
        ServeConfig::read(Path::new("/data"), &ServeFlags::default(), &Environment::default(), file)
    }

    #[test]
    fn the_defaults_are_a_private_server() {
        let config = read("").unwrap();
        assert_eq!(config.listen, [DEFAULT_LISTEN.parse().unwrap()]);
        assert_eq!(config.socket.as_deref(), Some(Path::new("/data/dropsafe.sock")));
        assert_eq!(config.store, kv::Url::Sqlite("/data/store.db".into()));
        assert_eq!(config.unlock, None);
        assert_eq!(config.ticket_urls(Some("vault")), ["https://127.0.0.1:7373"]);
    }

    #[test]
    fn a_flag_overrides_the_file() {
        let flags = ServeFlags {
            listen: vec!["[::1]:1".to_owned()],
            log_format: Some("json".to_owned()),
            ..ServeFlags::default()
        };
        let file = "listen: 0.0.0.0:7373\nadvertise: [vault.example:7373]\nsocket: off\ntls: {cert: a.pem, key: /b.pem}\n";
        let config = ServeConfig::read(Path::new("/data"), &flags, &Environment::default(), file).unwrap();
        assert_eq!(config.listen, ["[::1]:1".parse().unwrap()]);
        assert_eq!(config.advertise, ["https://vault.example:7373"]);
        assert_eq!(config.socket, None);
        assert_eq!((config.cert, config.key), ("/data/a.pem".into(), "/b.pem".into()));
        assert_eq!(config.log_format, ServerLogFormat::Json);
    }

    #[test]
    fn the_rates_of_a_credential_can_be_set() {
        let limits = read("limits: {boots_per_minute: 7, writes_per_minute: 8}\n").unwrap().limits;
        let default = LimitSettings::default().exports_per_minute;
        let rates = (limits.boots_per_minute, limits.writes_per_minute, limits.exports_per_minute);
        assert_eq!(rates, (7, 8, default));
        assert_eq!(read("limits: {exports_per_minute: 0}\n").unwrap_err().len(), 1);
    }

    #[test]
    fn a_load_balancer_that_terminates_tls_takes_the_place_of_derived_addresses() {
        let file = "listeners: [{address: 0.0.0.0:7380, tls: terminated, advertise: [vault.example:443]}]\n";
        let config = read(file).unwrap();
        assert_eq!(config.ticket_urls(None), [""; 0]);
        assert_eq!(config.terminated_urls(), ["https://vault.example:443"]);
        let config =
            read(&format!("{file}advertise: direct.example:7373\nlisten: []\nsocket: off\n")).unwrap();
        assert_eq!(config.ticket_urls(None), ["https://direct.example:7373"]);
        assert_eq!(config.terminated.len(), 1);
    }

    #[test]
    fn load_balancers_are_networks() {
        let config = read("proxy_protocol: {from: [10.0.0.0/28, '2001:db8::1']}\n").unwrap();
        assert_eq!(config.proxies, ["10.0.0.0/28".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
        let errors = read("proxy_protocol: {from: [balancer.example, 10.0.0.1/8]}\n").unwrap_err();
        assert_eq!(errors.len(), 2, "{errors}");
    }

    #[test]
    fn a_server_for_deposits_is_not_unlocked() {
        assert_eq!(read("role: release\n").unwrap().role, ServerRole::Release);
        assert_eq!(read("role: deposit\n").unwrap().role, ServerRole::Deposit);
        let errors = read("role: deposit\nunlock: {key_file: k}\n").unwrap_err();
        assert_eq!(errors.len(), 1, "{errors}");
        assert!(read("role: canary\n").is_err());
    }

    #[test]
    fn all_faults_are_reported_at_once_and_quote_nothing() {
        let file = "listen: canary\nlisten_plain: 0.0.0.0:80\nlissten: canary\nstore: canary\nlog: {level: canary}\n\
                    unlock: {passphrase_file: a, key_file: b}\nsocket_mode: 777\nlimits: {requests: 0}\nadvertise: 'a b:c'\n";
        let errors = read(file).unwrap_err();
        assert!(errors.len() >= 8, "{errors}");
        assert!(!errors.to_string().contains("canary"), "{errors}");
    }
}
