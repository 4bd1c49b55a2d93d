//! OIDC providers that people sign in with: what the operator configured of them, and the exchanges with them. This server is the
//! client of the provider. A program that signs somebody in never talks to a provider itself, so that a token which the provider
//! issued to another client is worth nothing here.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | a provider as configured |
//! | `exchange` | one HTTP exchange: bounded, without redirects |
//! | `metadata` | the provider's endpoints and keys, cached |
//! | `code`, `device` | the two flows, up to a verified account |
//! | `id_token`, `claims` | from a token to an account and its roles |
//! | `pending` | what a client keeps between two requests |
//!
//! Never keeps a token of a provider, and never repeats what a provider says of an error.

mod claims;
mod code;
mod device;
mod error;
mod exchange;
mod id_token;
mod metadata;
mod pending;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::{ClientId, ClientSecret};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

pub(crate) use self::code::CodeAnswer;
pub(crate) use self::device::DevicePoll;
pub(crate) use self::error::ProviderError;
use self::exchange::ProviderHttp;
use self::metadata::{AuthMethod, MetadataCache, OidcClient, ProviderDocument};
pub(crate) use self::pending::{
    PendingFlow, PendingSignIn, SealedProof, SignInPurpose, decode_pending, encode_pending,
};
pub(crate) use self::settings::{
    ClientSettings, GroupRule, LoopbackRedirect, ProviderSettings, check_address,
};
use crate::client::{Roots, RootsError};
use crate::domain::name::{OrgName, ProviderName};

/// Exchanges with one provider at a time. More are strangers who make this server call it.
const EXCHANGES: usize = 16;

/// The providers of a server. Clones share everything.
#[derive(Clone, Default)]
pub struct Providers {
    url: Arc<str>,
    list: Arc<[Provider]>,
}

/// A provider, and what this process has cached of it.
pub(crate) struct Provider {
    settings: ProviderSettings,
    secrets: ClientSecrets,
    http: ProviderHttp,
    metadata: MetadataCache,
    exchanges: Semaphore,
}

/// The secrets of a provider's clients. A public client has none.
#[derive(Default)]
pub(crate) struct ClientSecrets {
    pub(crate) console: Option<Zeroizing<String>>,
    pub(crate) command_line: Option<Zeroizing<String>>,
}

/// A provider whose authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate authorities of the sign-in provider {provider}")]
pub struct ProviderSetupError {
    provider: ProviderName,
    #[source]
    why: RootsError,
}

impl ProviderSetupError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match &self.why {
            RootsError::Unreadable { .. } => {
                "check `ca_file` in server.yaml; the server must be able to read it"
            }
            RootsError::TooLarge { .. } | RootsError::Empty { .. } | RootsError::NoSystemBundle => {
                self.why.hint()
            }
        }
    }
}

/// Which of a provider's clients signs a person in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Console,
    CommandLine,
}

impl Providers {
    /// `url` is the console's address, to which providers redirect browsers.
    pub(crate) fn new(url: &str, list: Vec<Provider>) -> Self {
        Self { url: url.trim_end_matches('/').into(), list: list.into() }
    }

    /// The console's address, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn all(&self) -> &[Provider] {
        &self.list
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        self.list.iter().find(|provider| provider.name().as_str() == name)
    }
}

impl Provider {
    /// Reads the authorities that verify its certificate, if they are configured.
    pub(crate) fn new(
        settings: ProviderSettings,
        secrets: ClientSecrets,
    ) -> Result<Self, ProviderSetupError> {
        let roots = settings.ca_file.as_deref().map(|file| Roots::load(Some(file))).transpose();
        let roots = roots.map_err(|why| ProviderSetupError { provider: settings.name.clone(), why })?;
        Ok(Self {
            settings,
            secrets,
            http: ProviderHttp::new(roots),
            metadata: MetadataCache::default(),
            exchanges: Semaphore::new(EXCHANGES),
        })
    }

    pub(crate) fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// What people know it as.
    pub(crate) fn title(&self) -> &str {
        self.settings.title.as_str()
    }

    /// Whether people can sign in with a code that they enter on another device.
    pub(crate) fn has_device_flow(&self) -> bool {
        self.settings.device_flow
    }

    /// How long a token of the command line is valid.
    pub(crate) fn lifetime(&self) -> Duration {
        self.settings.lifetime
    }

    /// Where the provider redirects the browser of a command that listens on this port.
    pub(crate) fn loopback_redirect(&self, port: u16) -> String {
        self.settings.loopback.with_port(port)
    }

    /// The organizations that its groups decide about.
    pub(crate) fn governed(&self) -> BTreeSet<OrgName> {
        self.settings.groups.iter().map(|rule| rule.org.clone()).collect()
    }

    /// Takes one of the places for exchanges. It never waits: a queue of strangers would keep people out.
    fn enter(&self) -> Result<SemaphorePermit<'_>, ProviderError> {
        self.exchanges.try_acquire().map_err(|_| ProviderError::Busy)
    }

    /// The library's client for one of this provider's clients.
    fn client(&self, document: &ProviderDocument, kind: ClientKind) -> OidcClient {
        // Never the secret of one client with the id of the other.
        let (settings, secret) = match (kind, &self.settings.command_line) {
            (ClientKind::CommandLine, Some(own)) => (own, &self.secrets.command_line),
            (ClientKind::Console, _) | (ClientKind::CommandLine, None) => {
                (&self.settings.client, &self.secrets.console)
            }
        };
        // The library keeps its copy in memory that is not wiped. The secret proves this server, and no person.
        let secret = secret.as_ref().map(|secret| ClientSecret::new(secret.to_string()));
        let client =
            OidcClient::from_provider_metadata(document.clone(), ClientId::new(settings.id.clone()), secret);
        client.set_auth_type(AuthMethod::of(document).into())
    }
}
