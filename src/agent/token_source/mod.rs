//! Where the tokens of an issuer come from that prove this machine's identity: the setting `token_from`.
//!
//! A token is fetched anew for each try, because it is valid for minutes and its file is replaced while the agent waits. It is never
//! written, logged or passed to the workload. Nothing of what a source says is quoted.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | the setting, and tokens of files and variables |
//! | [`command`] | programs that print a token |
//!
//! Services of clouds and of GitHub are in [`crate::client`], which has the connections.

mod command;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use zeroize::Zeroizing;

use self::command::TokenProgram;
use super::machine::{FileReadError, Files, RealFiles};
use crate::client::{
    CallOutage, CallRefusal, IssuerToken, MAX_TOKEN, TokenFault, TokenFuture, TokenProvider, TokenService,
};
use crate::settings::Environment;

/// Google's metadata server, and the variable with another one (as for Google's own libraries).
const GOOGLE: (&str, &str) = ("metadata.google.internal", "GCE_METADATA_HOST");
/// Azure's, and the variable with the URL of another one (as for Azure's own libraries).
const AZURE: (&str, &str) = ("169.254.169.254", "AZURE_POD_IDENTITY_AUTHORITY_HOST");
/// What a job of GitHub Actions with `id-token: write` has.
const GITHUB: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN");

/// The setting.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// A file that the platform keeps fresh, such as a projected token of Kubernetes.
    File(PathBuf),
    /// A variable of the agent's environment.
    Variable(String),
    /// GitHub Actions.
    Github,
    /// Google's metadata server.
    Google,
    /// Azure's metadata service, for the managed identity with this client id or the only one.
    Azure(Option<String>),
    /// A program and its arguments.
    Command(Vec<String>),
}

impl TokenSource {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let words = |rest: &str| rest.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let is_id = |id: &&str| id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        match (kind, rest.filter(|rest| !rest.trim().is_empty())) {
            ("file", Some(path)) => Ok(Self::File(path.into())),
            ("env", Some(name)) if !name.contains('=') => Ok(Self::Variable(name.to_owned())),
            ("command", Some(rest)) => Ok(Self::Command(words(rest))),
            ("github", None) => Ok(Self::Github),
            ("gcp", None) => Ok(Self::Google),
            ("azure", None) => Ok(Self::Azure(None)),
            ("azure", Some(id)) if is_id(&id) => Ok(Self::Azure(Some(id.to_owned()))),
            _ => Err(
                "write file:PATH, env:NAME, github, gcp, azure, azure:CLIENT_ID or command:PROGRAM ARGUMENT…",
            ),
        }
    }
}

/// Without the arguments of a program, which may hold a password.
impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Github => f.write_str("github"),
            Self::Google => f.write_str("gcp"),
            Self::Azure(_) => f.write_str("azure"),
            Self::Command(words) => write!(f, "command:{}", words.first().map_or("", String::as_str)),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a source cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenSourceError {
    #[error("token_from is not set")]
    Unset,
    /// A variable that the source consists of.
    #[error("the variable {0} is not set")]
    NoVariable(String),
    /// The variable holds something else.
    #[error("the variable {name}: {why}")]
    Variable { name: String, why: TokenFault },
    #[error("the address in {name} cannot be used: {why}")]
    Address { name: &'static str, why: Box<CallRefusal> },
    /// Azure issues tokens for registered applications only.
    #[error("token_audience is not set")]
    NoAudience,
}

impl TokenSourceError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unset => Some(
                "set token_from (--token-from, DROPSAFE_TOKEN_FROM) to file:PATH, env:NAME, github, gcp, azure or command:PROGRAM",
            ),
            Self::NoVariable(name) if name == GITHUB.0 || name == GITHUB.1 => {
                Some("give the job `permissions: {id-token: write}`, and pass the variable on to a container")
            }
            Self::NoVariable(_) | Self::Variable { .. } => Some("let the platform set it to a token"),
            Self::Address { .. } => {
                Some("use https://; plain http is for this machine and its metadata service alone")
            }
            Self::NoAudience => {
                Some("set it to the application's id URI, such as api://00000000-0000-0000-0000-000000000000")
            }
        }
    }
}

/// Fetches tokens from a source.
pub(crate) struct TokenReader {
    source: TokenSource,
    /// What the source consists of on this machine.
    origin: TokenOrigin,
}

enum TokenOrigin {
    File(PathBuf),
    Text(Zeroizing<String>),
    Service(Box<TokenService>),
    Program(TokenProgram),
}

impl TokenReader {
    pub(crate) fn new(
        source: Option<&TokenSource>,
        audience: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, TokenSourceError> {
        let source = source.ok_or(TokenSourceError::Unset)?;
        let service = |service: Result<TokenService, CallRefusal>, name| match service {
            Ok(service) => Ok(TokenOrigin::Service(Box::new(service))),
            Err(why) => Err(TokenSourceError::Address { name, why: Box::new(why) }),
        };
        let other = |name| environment.variable(name).and_then(OsStr::to_str);
        let origin = match source {
            TokenSource::File(path) => TokenOrigin::File(path.clone()),
            TokenSource::Variable(name) => {
                let text = Zeroizing::new(require(environment, name)?.to_owned());
                // Now, since it will not change.
                IssuerToken::parse(&text)
                    .map_err(|why| TokenSourceError::Variable { name: name.clone(), why })?;
                TokenOrigin::Text(text)
            }
            TokenSource::Github => {
                let (url, token) = (require(environment, GITHUB.0)?, require(environment, GITHUB.1)?);
                service(TokenService::github(url, token), GITHUB.0)?
            }
            TokenSource::Google => {
                service(TokenService::google(other(GOOGLE.1).unwrap_or(GOOGLE.0)), GOOGLE.1)?
            }
            TokenSource::Azure(client) => {
                if audience.is_none() {
                    return Err(TokenSourceError::NoAudience);
                }
                let url = other(AZURE.1).unwrap_or(AZURE.0);
                let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
                service(TokenService::azure(host, client.as_deref()), AZURE.1)?
            }
            TokenSource::Command(words) => TokenOrigin::Program(TokenProgram::new(words, environment)),
        };
        Ok(Self { source: source.clone(), origin })
    }

    /// The source, for people.
    pub(crate) fn source(&self) -> &TokenSource {
        &self.source
    }
}

impl TokenProvider for TokenReader {
    fn accepts_any_audience(&self) -> bool {
        matches!(self.source, TokenSource::Github | TokenSource::Google)
    }

    fn fetch<'a>(&'a self, audience: &'a str, limit: Duration) -> TokenFuture<'a> {
        Box::pin(async move {
            let token = match &self.origin {
                TokenOrigin::File(path) => read_file(path),
                TokenOrigin::Text(text) => IssuerToken::parse(text),
                TokenOrigin::Service(service) => service.fetch(audience, limit).await,
                // It blocks this thread, which has nothing else to do.
                TokenOrigin::Program(program) => program.run(audience, limit),
            };
            token.map_err(|why| {
                let from = self.source.to_string();
                match why.is_outage() {
                    true => CallOutage::Token { from, why }.into(),
                    false => CallRefusal::Token { from, why }.into(),
                }
            })
        })
    }
}

fn require<'a>(environment: &'a Environment, name: &str) -> Result<&'a str, TokenSourceError> {
    let value = environment.variable(name).and_then(OsStr::to_str);
    value.ok_or_else(|| TokenSourceError::NoVariable(name.to_owned()))
}

fn read_file(path: &Path) -> Result<IssuerToken, TokenFault> {
    // With room for blanks around it.
    let text = RealFiles.text(path, MAX_TOKEN + 64).map_err(|error| match error {
        FileReadError::Missing => TokenFault::NoFile,
        FileReadError::Denied => TokenFault::File(io::ErrorKind::PermissionDenied),
        FileReadError::TooLarge => TokenFault::TooLarge,
        FileReadError::NotText => TokenFault::NotAToken,
        FileReadError::Late => TokenFault::Empty,
        FileReadError::Io(errno) => TokenFault::File(io::Error::from(errno).kind()),
    })?;
    IssuerToken::parse(&text.text)
}

#[cfg(test)]
mod tests;
