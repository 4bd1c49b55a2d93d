//! Storing one value: a secret that already has the name gets a new version, otherwise a new secret is created. `set`, `import`
//! and `dev` share this.

use super::context::CliContext;
use super::error::CliError;
use super::pinned_keys::StoreAddress;
use super::{output, pinned_keys, selector};
use crate::client::{CallError, Client, DepositError, Depositor};
use crate::crypto::random::Kernel;
use crate::domain::attributes::AttributesPatch;
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::process::Exit;
use crate::wire::{
    AttributesRequest, CreateSecretRequest, ReplaceSecretRequest, SecretView, UpdateSecretRequest,
};

/// Everything about a deposit but its value. When a secret is replaced, what is `None` keeps its current setting.
#[derive(Clone, Debug)]
pub(crate) struct DepositSpec {
    pub(crate) name: SecretName,
    pub(crate) env: Option<EnvName>,
    pub(crate) scope: ScopeKind,
    pub(crate) kind: Option<Kind>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) attributes: AttributesPatch,
    pub(crate) allow_refused: bool,
}

impl DepositSpec {
    /// A deposit without any attributes.
    pub(crate) fn new(name: SecretName, scope: ScopeKind) -> Self {
        Self {
            name,
            env: None,
            scope,
            kind: None,
            delivery: None,
            attributes: AttributesPatch::default(),
            allow_refused: false,
        }
    }

    /// The name that a new secret will be exported as.
    pub(crate) fn exported_name(&self) -> EnvName {
        self.env.clone().unwrap_or_else(|| self.name.export())
    }

    /// Fails if the exported name is a refused one and that is not allowed. The store checks it again.
    pub(crate) fn check_refused_name(&self) -> Result<(), CliError> {
        let env = self.exported_name();
        match refused(&env) {
            Some(refusal) if !self.allow_refused => Err(CliError::failed(format_args!(
                "{env} is refused: {} ({})",
                refusal.why, refusal.family
            ))
            .hint("choose another name with --as; an administrator can override this with --allow-refused")),
            _ => Ok(()),
        }
    }
}

/// A client that deposits values, sealed to a verified key.
pub(crate) struct DepositClient {
    client: Client,
    depositor: Depositor,
    identity: String,
}

impl DepositClient {
    /// Fetches the store's deposit key, which must be the pinned one, and pins it on first use.
    pub(crate) async fn open(
        context: &CliContext,
        mut client: Client,
        address: &StoreAddress,
    ) -> Result<Self, CliError> {
        let status = client.status().await?;
        let expected = pinned_keys::lookup(context, address, &status.store)?;
        let depositor = Depositor::open(&mut client, expected).await?;
        // Only now: a key that was refused must not replace the pinned one.
        pinned_keys::pin(context, address, &status.store, &depositor.fingerprint())?;
        Ok(Self { client, depositor, identity: status.identity })
    }

    /// As [`DepositClient::open`], but without pinning: for a store in this process, which ends with it.
    pub(crate) async fn open_unpinned(mut client: Client) -> Result<Self, CliError> {
        let depositor = Depositor::open(&mut client, None).await?;
        Ok(Self { client, depositor, identity: String::new() })
    }

    /// Finds the secret that a deposit under this name would replace.
    pub(crate) async fn find_existing(
        &mut self,
        name: &SecretName,
        scope: ScopeKind,
    ) -> Result<Option<SecretView>, CliError> {
        selector::find_exact(&mut self.client, name.as_str(), scope, &self.identity).await
    }

    /// The caller's name.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The longest value of a variable that the organization accepts, in bytes.
    pub(crate) async fn variable_ceiling(&mut self) -> Result<u32, CliError> {
        Ok(self.client.deposit_info().await?.variable_ceiling)
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Creates a secret.
    pub(crate) async fn create(
        &mut self,
        spec: &DepositSpec,
        value: &SecretValue,
    ) -> Result<SecretView, CliError> {
        let request = CreateSecretRequest {
            name: spec.name.as_str().to_owned(),
            env: text(&spec.env),
            scope: spec.scope,
            kind: spec.kind.unwrap_or(Kind::Encrypted),
            delivery: spec.delivery.unwrap_or(Delivery::Variable),
            attributes: AttributesRequest::from(&spec.attributes.to_attributes()),
            // The depositor fills in the value and the hint, sealed or plain according to the type.
            value: None,
            value_base64: None,
            sealed: None,
            hint: None,
            allow_refused: spec.allow_refused,
        };
        Ok(self.depositor.create(&mut self.client, request, value, &mut Kernel).await?)
    }

    /// Stores a new version of `existing`.
    pub(crate) async fn replace(
        &mut self,
        existing: &SecretView,
        spec: &DepositSpec,
        value: &SecretValue,
        if_version: Option<&str>,
    ) -> Result<SecretView, CliError> {
        let request = ReplaceSecretRequest {
            value: None,
            value_base64: None,
            sealed: None,
            hint: None,
            env: text(&spec.env),
            kind: spec.kind,
            delivery: spec.delivery,
            allow_refused: spec.allow_refused,
            // In the same request: the new value must not be released for a moment with the old attributes.
            change: Some(UpdateSecretRequest::from(&spec.attributes)),
        };
        let (client, depositor) = (&mut self.client, &mut self.depositor);
        Ok(depositor.replace(client, existing, request, value, if_version, &mut Kernel).await?)
    }
}

impl From<DepositError> for CliError {
    fn from(error: DepositError) -> Self {
        let with = |exit| Self::new(exit, &error).optional_hint(error.hint());
        match &error {
            DepositError::Call(call) => Self::from(CallError::clone(call)),
            DepositError::KeyChanged { presented, .. } => {
                Self::new(Exit::Denied, &error).hint(pinned_keys::key_changed_hint(presented))
            }
            DepositError::Value(_) | DepositError::Name(_) => with(Exit::Failed),
            // The store answered with something that no store of this version sends.
            DepositError::Suite(_) | DepositError::KeyUnusable | DepositError::SecretUnusable => {
                with(Exit::Unreachable)
            }
        }
    }
}

/// One line about a stored secret.
pub(crate) fn summarize(stored: &SecretView, new: bool) -> String {
    let mut about = vec![stored.scope.to_string(), if new { "new" } else { "replaced" }.to_owned()];
    if stored.kind == Kind::Plain {
        about.push("plain".to_owned());
    }
    if stored.delivery == Delivery::File {
        about.push("as a file".to_owned());
    }
    if !stored.attributes.auto_install {
        about.push("not auto-installed".to_owned());
    }
    about.push(format!("version {}", stored.version));
    format!("{} is exported as {} ({})", stored.name, stored.env, about.join(", "))
}

/// Prints what the store noticed about a value.
pub(crate) fn print_warnings(stored: &SecretView) {
    for warning in &stored.warnings {
        output::warn(format!("{}: {}", stored.name, output::escape_control(warning)));
    }
}

fn text<T: AsRef<str>>(name: &Option<T>) -> Option<String> {
    name.as_ref().map(|name| name.as_ref().to_owned())
}
