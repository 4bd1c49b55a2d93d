//! Where a store on etcd is: `etcd://HOST:PORT[,HOST:PORT…]/PREFIX[?NAME=VALUE[&…]]`. Opens nothing, and never holds a
//! password: only the path of the file it is in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Operations in one transaction that etcd accepts by default (`--max-txn-ops`).
const MAX_TXN_OPS: usize = 128;
/// A store needs at least this many: a few records and their audit entries in one commit.
const MIN_TXN_OPS: usize = 64;
const MAX_CONFIGURABLE_TXN_OPS: usize = 4096;
/// Bytes of a prefix, at most: each key of a commit starts with it.
const MAX_PREFIX: usize = 64;
/// etcd itself has seven members at most; more are a mistake.
const MAX_MEMBERS: usize = 32;
const DEFAULT_PORT: &str = ":2379";

/// Where a store on etcd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `HOST:PORT`, each once, in the order in which they are tried.
    pub members: Vec<String>,
    /// The prefix of all keys. Never empty, and without slashes at its ends.
    pub prefix: String,
    /// Certificates and credentials.
    pub access: EtcdAccess,
    /// Operations in one transaction that the members accept.
    pub max_txn_ops: usize,
}

/// Certificates and credentials for etcd's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdAccess {
    /// The authorities (PEM) that sign the members' certificates. `None`: without TLS.
    pub ca: Option<PathBuf>,
    /// This program's certificate (PEM), and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A user's name and the file with the password.
    pub user: Option<(String, PathBuf)>,
}

/// Why a text is not the address of a store on etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No member before the slash, or an empty one between commas.
    #[error("the address of an etcd store lacks a member's host")]
    NoMember,
    /// Not a host and a port.
    #[error("a member of an etcd store is not HOST:PORT")]
    BadMember,
    /// A member is named twice, or there are too many.
    #[error("an etcd store names a member twice, or more than 32 members")]
    TooMany,
    /// No prefix.
    #[error("the address of an etcd store lacks the prefix of its keys")]
    NoPrefix,
    /// A prefix with other characters, or too long.
    #[error("the prefix of an etcd store is more than 64 bytes, or not of letters, digits and - _ . /")]
    BadPrefix,
    /// A parameter that does not exist, appears twice or has no value.
    #[error("a parameter of an etcd store's address is unknown, empty or repeated")]
    BadParameter,
    /// A number out of bounds.
    #[error("max-txn-ops is not a number from 64 to 4096")]
    BadCount,
    /// One of two parameters that belong together.
    #[error("cert and key belong together, and so do user and password-file: one of them is missing")]
    Half,
    /// A client certificate needs TLS.
    #[error("an etcd store with a client certificate lacks ca")]
    NoCa,
}

impl Address {
    /// Resolves the paths of its files against `folder`.
    pub fn in_folder(mut self, folder: &Path) -> Address {
        let access = &mut self.access;
        let identity = access.identity.iter_mut().flat_map(|(cert, key)| [cert, key]);
        // `join` keeps absolute paths as they are.
        for path in access.ca.iter_mut().chain(identity).chain(access.user.iter_mut().map(|(_, path)| path)) {
            *path = folder.join(&*path);
        }
        self
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads what follows `etcd://`.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        let (place, parameters) = text.split_once('?').map_or((text, None), |(p, q)| (p, Some(q)));
        let (hosts, prefix) = place.split_once('/').unwrap_or((place, ""));
        let mut members = Vec::new();
        for host in hosts.split(',') {
            let member = member(host)?;
            // A member that is named twice would be tried twice before the pause, and is probably a typing mistake.
            if members.contains(&member) || members.len() == MAX_MEMBERS {
                return Err(AddressError::TooMany);
            }
            members.push(member);
        }
        let mut address = Address {
            members,
            prefix: self::prefix(prefix)?,
            access: EtcdAccess::default(),
            max_txn_ops: MAX_TXN_OPS,
        };
        address.apply(AddressParameters::read(parameters)?)?;
        Ok(address)
    }
}

impl Address {
    fn apply(&mut self, parameters: AddressParameters<'_>) -> Result<(), AddressError> {
        if let Some(count) = parameters.max_txn_ops {
            self.max_txn_ops = count
                .parse()
                .ok()
                .filter(|count| (MIN_TXN_OPS..=MAX_CONFIGURABLE_TXN_OPS).contains(count))
                .ok_or(AddressError::BadCount)?;
        }
        let pair = |one: Option<_>, other: Option<_>| match (one, other) {
            (Some(one), Some(other)) => Ok(Some((one, other))),
            (None, None) => Ok(None),
            _ => Err(AddressError::Half),
        };
        self.access = EtcdAccess {
            ca: parameters.ca.map(PathBuf::from),
            identity: pair(parameters.cert, parameters.key)?.map(|(cert, key)| (cert.into(), key.into())),
            user: pair(parameters.user, parameters.password_file)?
                .map(|(user, file)| (user.to_owned(), file.into())),
        };
        // Without a CA the connection has no TLS, and the certificate would silently not be used.
        match self.access.identity.is_some() && self.access.ca.is_none() {
            true => Err(AddressError::NoCa),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd://{}/{}", self.members.join(","), self.prefix)?;
        let EtcdAccess { ca, identity, user } = &self.access;
        let mut parameters = Vec::new();
        parameters.extend(ca.iter().map(|path| format!("ca={}", path.display())));
        if let Some((cert, key)) = identity {
            parameters.push(format!("cert={}&key={}", cert.display(), key.display()));
        }
        if let Some((user, file)) = user {
            parameters.push(format!("user={user}&password-file={}", file.display()));
        }
        // The default is left out, so that an address reads back as it was written.
        if self.max_txn_ops != MAX_TXN_OPS {
            parameters.push(format!("max-txn-ops={}", self.max_txn_ops));
        }
        match parameters.is_empty() {
            true => Ok(()),
            false => write!(f, "?{}", parameters.join("&")),
        }
    }
}

fn member(text: &str) -> Result<String, AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoMember);
    }
    let has_port = match text.rsplit_once(':') {
        // An IPv6 address is in brackets, and so are its colons.
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => false,
        Some((_, port)) => port.parse::<u16>().map_err(|_| AddressError::BadMember)? > 0,
        None => false,
    };
    let member = if has_port { text.to_owned() } else { format!("{text}{DEFAULT_PORT}") };
    // An authority may carry a user and a password, which belong into a file.
    match member.parse::<http::uri::Authority>() {
        Ok(authority) if !authority.host().is_empty() && !member.contains('@') => Ok(member),
        _ => Err(AddressError::BadMember),
    }
}

fn prefix(text: &str) -> Result<String, AddressError> {
    let prefix = text.trim_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    match prefix {
        "" => Err(AddressError::NoPrefix),
        _ if prefix.len() > MAX_PREFIX || !prefix.bytes().all(plain) => Err(AddressError::BadPrefix),
        _ => Ok(prefix.to_owned()),
    }
}

#[derive(Default)]
struct AddressParameters<'a> {
    ca: Option<&'a str>,
    cert: Option<&'a str>,
    key: Option<&'a str>,
    user: Option<&'a str>,
    password_file: Option<&'a str>,
    max_txn_ops: Option<&'a str>,
}

impl<'a> AddressParameters<'a> {
    fn read(text: Option<&'a str>) -> Result<Self, AddressError> {
        let mut all = Self::default();
        for one in text.into_iter().flat_map(|text| text.split('&')) {
            let (name, value) = one.split_once('=').ok_or(AddressError::BadParameter)?;
            let place = match name {
                "ca" => &mut all.ca,
                "cert" => &mut all.cert,
                "key" => &mut all.key,
                "user" => &mut all.user,
                "password-file" => &mut all.password_file,
                "max-txn-ops" => &mut all.max_txn_ops,
                _ => return Err(AddressError::BadParameter),
            };
            // A later value must not replace an earlier one in silence.
            if value.is_empty() || value.contains('\0') || place.replace(value).is_some() {
                return Err(AddressError::BadParameter);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_a_store_is_and_says_it_again() {
        for text in [
            "etcd://a:2379/dropsafe",
            "etcd://a:1,10.0.0.1:2,[::1]:3/site/one",
            "etcd://a:2379/d?ca=tls/ca.pem&cert=c.pem&key=k.pem&user=dropsafe&password-file=p&max-txn-ops=1024",
        ] {
            let address: Address = text.strip_prefix("etcd://").unwrap().parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let address: Address = "a,b:7,[::1]/d/?ca=ca.pem".parse().unwrap();
        assert_eq!(address.members, ["a:2379", "b:7", "[::1]:2379"]);
        assert_eq!((address.prefix.as_str(), address.max_txn_ops), ("d", 128));
        assert_eq!(
            address.in_folder(Path::new("/data")).access.ca.as_deref(),
            Some(Path::new("/data/ca.pem"))
        );
    }

    #[test]
    fn refuses_the_rest() {
        for (text, error) in [
            ("", AddressError::NoMember),
            ("/d", AddressError::NoMember),
            ("a,/d", AddressError::NoMember),
            ("a:b/d", AddressError::BadMember),
            ("user:password@a:1/d", AddressError::BadMember),
            ("a b/d", AddressError::BadMember),
            ("a,a:2379/d", AddressError::TooMany),
            ("a", AddressError::NoPrefix),
            ("a//", AddressError::NoPrefix),
            ("a/d e", AddressError::BadPrefix),
            ("a/d?tls=yes", AddressError::BadParameter),
            ("a/d?ca=", AddressError::BadParameter),
            ("a/d?ca=1&ca=2", AddressError::BadParameter),
            ("a/d?max-txn-ops=1", AddressError::BadCount),
            ("a/d?cert=c&ca=a", AddressError::Half),
            ("a/d?user=u", AddressError::Half),
            ("a/d?cert=c&key=k", AddressError::NoCa),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
