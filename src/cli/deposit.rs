//! Storing one value: the secret that has the name already gets a new version, otherwise a new one is made. What `set`,
//! `import` and `dev` share.

use super::error::CliError;
use super::pinned_keys::StoreAddress;
use super::{CliContext, pinned_keys, selector};
use crate::client::{CallError, Client, DepositError, Depositor};
use crate::crypto::random::Kernel;
use crate::domain::name::{Category, EnvName, PluginName, SecretName, refused};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::process::Exit;
use crate::wire::{CreateSecretRequest, ReplaceSecretRequest, SecretView, UpdateSecretRequest};

/// What is to be stored, its value apart. What is absent keeps its value when a secret is replaced.
#[derive(Clone, Debug)]
pub(crate) struct DepositSpec {
    pub(crate) name: SecretName,
    pub(crate) env: Option<EnvName>,
    pub(crate) scope: ScopeKind,
    pub(crate) kind: Option<Kind>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) auto_install: Option<bool>,
    pub(crate) plugin: Option<PluginName>,
    pub(crate) category: Option<Category>,
    pub(crate) allow_refused: bool,
}

impl DepositSpec {
    /// Nothing but a name.
    pub(crate) fn of(name: SecretName, scope: ScopeKind) -> Self {
        Self {
            name,
            env: None,
            scope,
            kind: None,
            delivery: None,
            auto_install: None,
            plugin: None,
            category: None,
            allow_refused: false,
        }
    }

    /// The name it will be exported as, when nothing of that name is there yet.
    pub(crate) fn exported(&self) -> EnvName {
        self.env.clone().unwrap_or_else(|| self.name.export())
    }

    /// Whether an administrator's word is missing for the exported name.
    pub(crate) fn check_refusal(&self) -> Result<(), CliError> {
        let env = self.exported();
        match refused(&env) {
            Some(refusal) if !self.allow_refused => {
                Err(CliError::refused(format_args!("{env} is refused: {} ({})", refusal.why, refusal.family))
                    .hint(
                        "choose another name with --as; an administrator who means it adds --allow-refused",
                    ))
            }
            _ => Ok(()),
        }
    }
}

/// A connection over which values are deposited.
pub(crate) struct DepositClient {
    client: Client,
    depositor: Depositor,
    identity: String,
}

impl DepositClient {
    /// Fetches the store's deposit key, which must be the one that is known here.
    pub(crate) async fn open(
        context: &CliContext,
        mut client: Client,
        place: &StoreAddress,
    ) -> Result<Self, CliError> {
        let status = client.status().await?;
        let expected = pinned_keys::expected(context, place, &status.store)?;
        let depositor = Depositor::open(&mut client, expected).await?;
        pinned_keys::remember(context, place, &status.store, &depositor.fingerprint())?;
        Ok(Self { client, depositor, identity: status.identity })
    }

    /// As [`DepositClient::open`], for a store that this process has just made: its key is nobody else's, and soon forgotten.
    pub(crate) async fn open_unknown(mut client: Client) -> Result<Self, CliError> {
        let depositor = Depositor::open(&mut client, None).await?;
        Ok(Self { client, depositor, identity: String::new() })
    }

    /// The secret that a deposit under this name would replace.
    pub(crate) async fn existing(
        &mut self,
        name: &SecretName,
        scope: ScopeKind,
    ) -> Result<Option<SecretView>, CliError> {
        selector::exactly(&mut self.client, name.as_str(), scope, &self.identity).await
    }

    /// The caller's name.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The longest value of a variable that the organization takes, in bytes.
    pub(crate) async fn variable_ceiling(&mut self) -> Result<u32, CliError> {
        Ok(self.client.deposit_info().await?.variable_ceiling)
    }

    /// The client, for what else there is to ask.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// A new secret.
    pub(crate) async fn create(
        &mut self,
        wanted: &DepositSpec,
        value: &SecretValue,
    ) -> Result<SecretView, CliError> {
        let secret = CreateSecretRequest {
            name: wanted.name.as_str().to_owned(),
            env: text(&wanted.env),
            scope: wanted.scope,
            kind: wanted.kind.unwrap_or(Kind::Encrypted),
            delivery: wanted.delivery.unwrap_or(Delivery::Variable),
            auto_install: wanted.auto_install.unwrap_or(true),
            plugin: text(&wanted.plugin),
            category: text(&wanted.category),
            value: None,
            value_base64: None,
            sealed: None,
            hint: None,
            allow_refused: wanted.allow_refused,
        };
        Ok(self.depositor.create(&mut self.client, secret, value, &mut Kernel).await?)
    }

    /// A new version of `existing`.
    pub(crate) async fn replace(
        &mut self,
        existing: &SecretView,
        wanted: &DepositSpec,
        value: &SecretValue,
        if_version: Option<&str>,
    ) -> Result<SecretView, CliError> {
        let change = UpdateSecretRequest {
            auto_install: wanted.auto_install,
            plugin: text(&wanted.plugin),
            category: text(&wanted.category),
        };
        let unchanged = change.auto_install.is_none() && change.plugin.is_none() && change.category.is_none();
        let replacement = ReplaceSecretRequest {
            value: None,
            value_base64: None,
            sealed: None,
            hint: None,
            env: text(&wanted.env),
            kind: wanted.kind,
            delivery: wanted.delivery,
            allow_refused: wanted.allow_refused,
            change: (!unchanged).then_some(change),
        };
        let (client, depositor) = (&mut self.client, &mut self.depositor);
        Ok(depositor.replace(client, existing, replacement, value, if_version, &mut Kernel).await?)
    }
}

impl From<DepositError> for CliError {
    fn from(error: DepositError) -> Self {
        let failure = |exit| Self::new(exit, &error).maybe_hint(error.hint());
        match &error {
            DepositError::Call(call) => Self::from(CallError::clone(call)),
            DepositError::KeyChanged { presented, .. } => {
                Self::new(Exit::Denied, &error).hint(pinned_keys::remedy(presented))
            }
            DepositError::Value(_) | DepositError::Name(_) => failure(Exit::Failed),
            DepositError::Suite(_) | DepositError::KeyUnusable | DepositError::SecretUnusable => {
                failure(Exit::Unreachable)
            }
        }
    }
}

fn text<T: AsRef<str>>(name: &Option<T>) -> Option<String> {
    name.as_ref().map(|name| name.as_ref().to_owned())
}
