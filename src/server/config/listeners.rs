//! Listeners that need more than an address: the list `listeners` of DIR/server.yaml.
//!
//! ```yaml
//! listeners:
//!   - address: 10.0.0.5:7380
//!     tls: terminated              # plain HTTP from a load balancer that terminates TLS
//!     people: false                # default: machines that prove themselves, and health checks
//!     advertise: [vault.example:443]   # the addresses of the load balancer, for new tickets
//! ```

use std::net::SocketAddr;

use super::address::{AdvertisedUrl, parse_listen};
use super::node_reader::{NodeReader, entry};
use crate::api::TlsTerminated;
use crate::settings::parse::ExpectedForm;
use crate::settings::{SettingErrors, YamlFile, YamlNode, parse};

/// The field of server.yaml.
pub(crate) const FIELD: &str = "listeners";

const KEYS: &[&str] = &["address", "tls", "people", "advertise"];

/// An address for a load balancer that terminates TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TerminatedListener {
    pub(crate) address: SocketAddr,
    pub(crate) terminated: TlsTerminated,
    /// Under which clients reach it. Empty: new tickets do not name it.
    pub(crate) advertise: Vec<String>,
}

/// The listeners of the file.
pub(crate) fn read(file: &YamlFile, faults: &mut SettingErrors) -> Vec<TerminatedListener> {
    let Some(node) = file.node(FIELD) else { return Vec::new() };
    let mut reader = NodeReader { file, faults, field: FIELD };
    reader.list(node).iter().filter_map(|item| read_listener(&mut reader, item)).collect()
}

fn read_listener<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Option<TerminatedListener> {
    let entries = reader.mapping(node, KEYS)?;
    let address = reader.optional(entries, "address", parse_listen);
    for key in ["address", "tls"] {
        if entry(entries, key).is_none() {
            reader.fault(node, format_args!("`{key}` is missing"));
        }
    }
    let terminated = reader.optional(entries, "tls", parse_tls);
    let people = reader.optional(entries, "people", parse::boolean).unwrap_or(false);
    let advertise = match entry(entries, "advertise") {
        None => Vec::new(),
        Some(node) => reader.list(node).iter().filter_map(|item| read_url(reader, item)).collect(),
    };
    terminated?;
    Some(TerminatedListener { address: address?, terminated: TlsTerminated { people }, advertise })
}

fn read_url<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Option<String> {
    match reader.text(node)?.parse() {
        Ok(AdvertisedUrl { url, .. }) => Some(url),
        Err(expected) => {
            reader.fault(node, expected);
            None
        }
    }
}

fn parse_tls(text: &str) -> Result<(), ExpectedForm> {
    // Addresses with TLS of the server's own are in `listen`.
    if text == "terminated" { Ok(()) } else { Err("expected `terminated`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<TerminatedListener>, SettingErrors> {
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("server.yaml", text, &mut faults);
        let listeners = read(&file, &mut faults);
        faults.or(listeners)
    }

    #[test]
    fn a_listener_serves_no_people_unless_it_says_so() {
        let text = "listeners:\n  - address: 0.0.0.0:7380\n    tls: terminated\n    advertise: [vault.example:443]\n  - \
                    {address: '[::1]:1', tls: terminated, people: true}\n";
        let [first, second] = parsed(text).unwrap().try_into().unwrap();
        assert_eq!(first.address, "0.0.0.0:7380".parse().unwrap());
        assert_eq!(first.advertise, ["https://vault.example:443"]);
        assert!(!first.terminated.people && second.terminated.people);
        assert_eq!(second.advertise, [""; 0]);
        assert_eq!(parsed("").unwrap(), []);
    }

    #[test]
    fn every_fault_is_reported_and_quotes_nothing() {
        let text = "listeners:\n  - {address: canary, tls: canary, people: canary, advertise: ['a b']}\n  - {}\n  - \
                    {address: 127.0.0.1:1, tls: terminated, canary: 1}\n  - canary\n";
        let faults = parsed(text).unwrap_err();
        assert_eq!(faults.len(), 8, "{faults}");
        assert!(!faults.to_string().contains("canary"), "{faults}");
    }
}
