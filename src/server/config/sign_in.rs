//! The providers that people sign in with: the section `sign_in` of DIR/server.yaml. Every fault is reported with its line, in our
//! own words. Providers are configured nowhere else: who could add one could sign in as anybody.
//!
//! ```yaml
//! sign_in:
//!   url: https://vault.example:7373        # the console's address (default: the first one that tickets carry)
//!   providers:
//!     - name: keycloak                     # in addresses and commands
//!       title: Acme account                # on the button (default: the name)
//!       issuer: https://id.example/realms/acme
//!       client_id: dropsafe
//!       client_secret_file: keycloak.secret   # absent: a public client
//!       command_line: {client_id: dropsafe-cli}   # default: the same client
//!       loopback_redirect: http://127.0.0.1/callback   # default
//!       device_flow: false                 # default
//!       scopes: [profile, email]           # default; `openid` always
//!       groups_claim: groups               # default; a name, or a JSON Pointer
//!       groups:                            # the first one of an organization that applies
//!         - {group: vault-admins, organization: acme, role: admin}
//!         - {group: staff, organization: acme}      # default: member
//!       name_claim: preferred_username     # of a new member (default: the usual claims)
//!       token_lifetime: 12h                # default; of `dropsafe login --oidc`
//!       ca_file: ca.pem                    # default: the system's authorities
//! ```

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::node_reader::{NodeReader, entry};
use crate::domain::name::{Label, ProviderIssuer, ProviderName};
use crate::domain::role::Role;
use crate::settings::parse::ExpectedForm;
use crate::settings::{SettingErrors, YamlEntry, YamlFile, YamlNode, parse};
use crate::signin::{ClientSettings, GroupRule, LoopbackRedirect, ProviderSettings, check_address};

/// The field of server.yaml.
pub(crate) const FIELD: &str = "sign_in";

const SECTION_KEYS: &[&str] = &["url", "providers"];
const PROVIDER_KEYS: &[&str] = &[
    "name",
    "title",
    "issuer",
    "client_id",
    "client_secret_file",
    "command_line",
    "loopback_redirect",
    "device_flow",
    "scopes",
    "groups_claim",
    "groups",
    "name_claim",
    "token_lifetime",
    "ca_file",
];
const CLIENT_KEYS: &[&str] = &["client_id", "client_secret_file"];
const RULE_KEYS: &[&str] = &["group", "organization", "role"];

/// What providers usually give for people to recognize each other. `openid` is always asked for.
const SCOPES: [&str; 2] = ["profile", "email"];
/// As long as a session of the console.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
const TOKEN_LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5 * 60)..=Duration::from_secs(30 * 24 * 3600);

/// How people sign in.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignInConfig {
    /// The console's address. None: the first one that tickets carry.
    pub(crate) url: Option<String>,
    pub(crate) providers: Vec<ProviderSettings>,
}

/// Reads the section. Paths are relative to `data`.
pub(crate) fn read(file: &YamlFile, data: &Path, faults: &mut SettingErrors) -> SignInConfig {
    let mut config = SignInConfig::default();
    let Some(node) = file.node(FIELD) else { return config };
    let mut reader = NodeReader { file, faults, field: FIELD };
    let Some(entries) = reader.mapping(node, SECTION_KEYS) else { return config };
    config.url = reader.optional(entries, "url", parse_url);
    let Some(list) = entry(entries, "providers") else {
        reader.fault(node, "`providers` is missing");
        return config;
    };
    for item in reader.list(list) {
        let Some(provider) = read_provider(&mut reader, item, data) else { continue };
        // The name is in the redirect URI: two providers that share it could be taken for each other.
        if config.providers.iter().any(|other| other.name == provider.name) {
            reader.fault(item, "another provider has this name");
        }
        config.providers.push(provider);
    }
    config
}

fn read_provider<'a>(
    reader: &mut NodeReader<'a>,
    node: &'a YamlNode,
    data: &Path,
) -> Option<ProviderSettings> {
    let entries = reader.mapping(node, PROVIDER_KEYS)?;
    // All parts are read before the first missing one ends this, so that every fault is reported.
    let before = reader.faults.len();
    // In the order of the documentation.
    let name: Option<ProviderName> = reader.required(node, entries, "name");
    let title: Option<Label> = match entry(entries, "title") {
        Some(_) => reader.optional(entries, "title", str::parse),
        None => name.as_ref().and_then(|name| name.as_str().parse().ok()),
    };
    let issuer = read_issuer(reader, node, entries);
    let client = read_client(reader, node, entries, data);
    let command_line = match entry(entries, "command_line") {
        Some(own) => match reader.mapping(own, CLIENT_KEYS) {
            Some(entries) => read_client(reader, own, entries, data),
            None => None,
        },
        None => None,
    };
    let loopback = reader.optional(entries, "loopback_redirect", LoopbackRedirect::from_str);
    let device_flow = reader.optional(entries, "device_flow", parse::boolean);
    let scopes = match entry(entries, "scopes") {
        Some(node) => read_scopes(reader, node),
        None => SCOPES.map(str::to_owned).into(),
    };
    let groups_claim = match entry(entries, "groups_claim") {
        Some(_) => reader.optional(entries, "groups_claim", str::parse),
        None => "groups".parse().ok(),
    };
    let groups = match entry(entries, "groups") {
        Some(node) => reader.list(node).iter().filter_map(|rule| read_rule(reader, rule)).collect(),
        None => Vec::new(),
    };
    let name_claim = reader.optional(entries, "name_claim", str::parse);
    let lifetime = reader.optional(entries, "token_lifetime", parse_lifetime);
    let ca_file = reader.optional(entries, "ca_file", parse::path);
    let provider = ProviderSettings {
        name: name?,
        title: title?,
        issuer: issuer?,
        client: client?,
        command_line,
        loopback: loopback.unwrap_or_default(),
        device_flow: device_flow.unwrap_or(false),
        scopes,
        groups_claim: groups_claim?,
        groups,
        name_claim,
        lifetime: lifetime.unwrap_or(TOKEN_LIFETIME),
        ca_file: ca_file.map(|path| data.join(path)),
    };
    (reader.faults.len() == before).then_some(provider)
}

fn read_issuer<'a>(
    reader: &mut NodeReader<'a>,
    node: &'a YamlNode,
    entries: &'a [YamlEntry],
) -> Option<ProviderIssuer> {
    let issuer: ProviderIssuer = reader.required(node, entries, "issuer")?;
    match check_address(issuer.as_str()) {
        Ok(()) => Some(issuer),
        Err(expected) => {
            reader.fault(entry(entries, "issuer").unwrap_or(node), expected);
            None
        }
    }
}

fn read_client<'a>(
    reader: &mut NodeReader<'a>,
    node: &'a YamlNode,
    entries: &'a [YamlEntry],
    data: &Path,
) -> Option<ClientSettings> {
    if entry(entries, "client_id").is_none() {
        reader.fault(node, "`client_id` is missing");
    }
    let id = reader.optional(entries, "client_id", parse_client_id);
    let secret_file: Option<PathBuf> = reader.optional(entries, "client_secret_file", parse::path);
    Some(ClientSettings { id: id?, secret_file: secret_file.map(|path| data.join(path)) })
}

fn read_scopes<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Vec<String> {
    let mut scopes = Vec::new();
    for item in reader.list(node) {
        let Some(text) = reader.text(item) else { continue };
        // RFC 6749, section 3.3.
        let is_scope = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || text.len() > 200 || !text.bytes().all(is_scope) {
            reader.fault(item, "expected a scope: 1 to 200 visible ASCII characters");
        }
        scopes.push(text.to_owned());
    }
    scopes
}

fn read_rule<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Option<GroupRule> {
    let entries = reader.mapping(node, RULE_KEYS)?;
    if entry(entries, "group").is_none() {
        reader.fault(node, "`group` is missing");
    }
    let group = reader.optional(entries, "group", parse_group);
    let org = reader.required(node, entries, "organization");
    let role = match entry(entries, "role") {
        Some(_) => reader.optional(entries, "role", str::parse),
        None => Some(Role::Member),
    };
    Some(GroupRule { group: group?, org: org?, role: role? })
}

fn parse_url(text: &str) -> Result<String, ExpectedForm> {
    check_address(text)?;
    let authority = text.trim_end_matches('/').split_once("://").map_or("", |(_, rest)| rest);
    // The console has a fixed path below its address.
    if authority.contains(['/', '?', '#']) {
        return Err("expected an address without a path");
    }
    Ok(text.to_owned())
}

fn parse_client_id(text: &str) -> Result<String, ExpectedForm> {
    match text.len() {
        1..=300 if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err("expected 1 to 300 visible ASCII characters"),
    }
}

fn parse_group(text: &str) -> Result<String, ExpectedForm> {
    match text.len() {
        1..=300 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("expected a group: 1 to 300 bytes without control characters"),
    }
}

fn parse_lifetime(text: &str) -> Result<Duration, ExpectedForm> {
    let lifetime = parse::duration(text)?;
    if TOKEN_LIFETIMES.contains(&lifetime) { Ok(lifetime) } else { Err("expected 5m to 30d") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SignInConfig, SettingErrors> {
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("server.yaml", text, &mut faults);
        let config = read(&file, Path::new("/data"), &mut faults);
        faults.or(config)
    }

    #[test]
    fn a_provider_needs_little_and_can_say_everything() {
        let least = parsed(
            "sign_in: {providers: [{name: corp, issuer: 'https://id.example', client_id: dropsafe}]}\n",
        )
        .unwrap();
        let [corp] = least.providers.as_slice() else { panic!("{least:?}") };
        assert_eq!((corp.title.as_str(), corp.scopes.as_slice()), ("corp", &SCOPES.map(str::to_owned)[..]));
        assert!(!corp.device_flow && corp.client.secret_file.is_none() && corp.groups.is_empty());
        assert_eq!(corp.lifetime, TOKEN_LIFETIME);

        let text = "sign_in:\n  url: https://vault.example:7373\n  providers:\n    - name: corp\n      title: Acme account\n      \
                    issuer: http://127.0.0.1:8080/realms/acme\n      client_id: dropsafe\n      client_secret_file: corp.secret\n      \
                    command_line: {client_id: dropsafe-cli}\n      loopback_redirect: http://localhost\n      device_flow: true\n      \
                    scopes: [groups]\n      groups_claim: /realm_access/roles\n      groups:\n        \
                    - {group: admins, organization: acme, role: admin}\n        - {group: staff, organization: acme}\n      \
                    name_claim: email\n      token_lifetime: 8h\n      ca_file: /etc/ca.pem\n";
        let all = parsed(text).unwrap();
        assert_eq!(all.url.as_deref(), Some("https://vault.example:7373"));
        let corp = &all.providers[0];
        assert_eq!(corp.client.secret_file.as_deref(), Some(Path::new("/data/corp.secret")));
        assert_eq!(corp.command_line.as_ref().unwrap().id, "dropsafe-cli");
        assert_eq!(corp.groups[1].role, Role::Member);
        assert_eq!(corp.lifetime, Duration::from_secs(8 * 3600));
        assert_eq!(corp.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert!(parsed("").unwrap().providers.is_empty());
    }

    #[test]
    fn every_fault_is_reported_with_its_line_and_quotes_nothing() {
        let text = "sign_in:\n  url: https://canary.example/canary\n  providers:\n    - name: Canary\n      issuer: http://canary.example\n      \
                    client_secret_file: ''\n    - canary\n    - name: a\n      issuer: https://id.example?canary\n      client_id: a canary\n      \
                    scopes: ['a canary']\n      groups: [{group: '', organization: Canary, role: canary}, {grop: canary}]\n      \
                    token_lifetime: 1m\n      device_flow: canary\n      command_line: canary\n      loopback_redirect: https://canary\n";
        let faults = parsed(text).unwrap_err();
        let told = faults.to_string();
        assert!(!told.to_lowercase().contains("canary"), "{told}");
        assert!(told.contains("did you mean `group`?") && told.contains("`client_id` is missing"), "{told}");
        assert!(faults.len() >= 16, "{} faults:\n{told}", faults.len());
    }

    #[test]
    fn two_providers_have_two_names() {
        let text = "sign_in: {providers: [{name: a, issuer: 'https://a.example', client_id: x}, \
                    {name: a, issuer: 'https://b.example', client_id: x}]}\n";
        assert!(parsed(text).unwrap_err().to_string().contains("another provider has this name"));
        assert!(parsed("sign_in: {}\n").is_err(), "a section without providers");
    }
}
