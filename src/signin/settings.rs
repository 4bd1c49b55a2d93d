//! A provider as the operator configured it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Endpoint, EndpointKind};
use crate::domain::name::{Label, OrgName, ProviderIssuer, ProviderName};
use crate::domain::role::Role;

/// A provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) name: ProviderName,
    /// What people know it as.
    pub(crate) title: Label,
    pub(crate) issuer: ProviderIssuer,
    /// The client of the console, and of the command line unless that has its own.
    pub(crate) client: ClientSettings,
    pub(crate) command_line: Option<ClientSettings>,
    /// Where the provider redirects the browser of a command.
    pub(crate) loopback: LoopbackRedirect,
    /// Whether people can sign in with a code that they enter on another device.
    pub(crate) device_flow: bool,
    /// What is asked for beside `openid`.
    pub(crate) scopes: Vec<String>,
    /// Where the person's groups are.
    pub(crate) groups_claim: ClaimPath,
    /// What the groups give. The first rule of an organization that applies decides.
    pub(crate) groups: Vec<GroupRule>,
    /// Where the name of a new member is; else its usual places.
    pub(crate) name_claim: Option<ClaimPath>,
    /// How long a token of the command line is valid.
    pub(crate) lifetime: Duration,
    /// The authorities that verify the provider's certificate. None: the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// A client that the operator registered at a provider.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) id: String,
    /// None: a public client, which PKCE alone protects.
    pub(crate) secret_file: Option<PathBuf>,
}

/// What a group gives.
#[derive(Clone, Debug)]
pub(crate) struct GroupRule {
    pub(crate) group: String,
    pub(crate) org: OrgName,
    pub(crate) role: Role,
}

/// Where a claim is in a token: the name of one, or a JSON Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimPath(String);

impl ClaimPath {
    /// Returns the claim.
    pub(crate) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        claims.pointer(&self.0)
    }

    /// The name of the outermost claim, as it is written in JSON.
    pub(crate) fn first(&self) -> String {
        let first = self.0[1..].split('/').next().unwrap_or_default();
        first.replace("~1", "/").replace("~0", "~")
    }
}

impl FromStr for ClaimPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // A pointer to the whole document, or to the claim without a name, is a slip.
        match text {
            "" | "/" => Err("expected the name of a claim, or a JSON Pointer such as /realm_access/roles"),
            _ if text.len() > 200 => Err("must be at most 200 bytes long"),
            _ if text.starts_with('/') => Ok(Self(text.to_owned())),
            // Names of claims are often URLs, whose slashes a pointer would read as steps.
            name => Ok(Self(format!("/{}", name.replace('~', "~0").replace('/', "~1")))),
        }
    }
}

/// A redirect URI on loopback (RFC 8252, section 7.3), without the port, which differs at each sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoopbackRedirect {
    host: String,
    path: String,
}

impl LoopbackRedirect {
    pub(super) fn with_port(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host, self.path)
    }
}

impl Default for LoopbackRedirect {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), path: "/callback".to_owned() }
    }
}

impl FromStr for LoopbackRedirect {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let expected = "expected http://127.0.0.1 or http://localhost and a path, without a port";
        let rest = text.strip_prefix("http://").ok_or(expected)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
        // The command listens on this address alone, which both names lead to.
        if !matches!(host, "127.0.0.1" | "localhost") || !is_plain || path.len() > 100 {
            return Err(expected);
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }
}

/// Refuses an address of a provider that is not HTTPS, unless it is on this machine.
pub(crate) fn check_address(url: &str) -> Result<(), &'static str> {
    let expected = "expected https:// and a host; http:// only for 127.0.0.1, [::1] and localhost";
    let (scheme, rest) = url.split_once("://").ok_or(expected)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match Endpoint::parse(&format!("{scheme}://{authority}")).map(|endpoint| endpoint.kind) {
        Ok(EndpointKind::Tls { pins: None, .. } | EndpointKind::Loopback { .. }) => Ok(()),
        Ok(EndpointKind::Tls { .. } | EndpointKind::Unix { .. }) | Err(_) => Err(expected),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_a_name_or_a_pointer() {
        let claims =
            json!({ "groups": ["a"], "realm_access": { "roles": ["b"] }, "https://x/y~z": ["c"], "": 1 });
        let find = |text: &str| text.parse::<ClaimPath>().unwrap().find(&claims).cloned();
        assert_eq!(find("groups"), Some(json!(["a"])));
        assert_eq!(find("/realm_access/roles"), Some(json!(["b"])));
        assert_eq!(find("https://x/y~z"), Some(json!(["c"])));
        assert_eq!(find("roles"), None);
        assert_eq!("https://x/y~z".parse::<ClaimPath>().unwrap().first(), "https://x/y~z");
        assert_eq!("/realm_access/roles".parse::<ClaimPath>().unwrap().first(), "realm_access");
        assert!("".parse::<ClaimPath>().is_err() && "/".parse::<ClaimPath>().is_err());
    }

    #[test]
    fn a_loopback_redirect_gets_its_port_and_leads_nowhere_else() {
        let redirect = |text: &str| text.parse::<LoopbackRedirect>().map(|redirect| redirect.with_port(5));
        assert_eq!(LoopbackRedirect::default().with_port(5), "http://127.0.0.1:5/callback");
        assert_eq!(redirect("http://localhost"), Ok("http://localhost:5".to_owned()));
        assert_eq!(redirect("http://127.0.0.1/a/b"), Ok("http://127.0.0.1:5/a/b".to_owned()));
        for text in
            ["https://localhost", "http://localhost:1", "http://evil.example/", "http://127.0.0.1@evil", "x"]
        {
            assert!(redirect(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in ["https://id.example", "https://id.example:8443/realms/a", "http://127.0.0.1:1/x"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "http://id.example",
            "https://",
            "unix:/x",
            "https://me@id.example/",
            "ftp://id.example",
            "http://127.0.0.1.evil.example/",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
