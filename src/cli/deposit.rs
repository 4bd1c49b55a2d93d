//! Storing one value: a secret that already has the name gets a new version, otherwise a new secret is created. `set`, `import`
//! and `dev` share this.

use super::context::CliContext;
use super::error::CliError;
use super::holder_wait::boots;
use super::pinned_keys::StoreAddress;
use super::{connect, output, pinned_keys, selector};
use crate::client::{
    CallError, Client, DepositError, Depositor, ImportEntry, ImportPlan, PlannedEntry, ReplaceTarget,
    VersionTagger,
};
use crate::domain::attributes::AttributesPatch;
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::process::Exit;
use crate::wire::{
    AttributesRequest, CreateSecretRequest, EnvNameText, ReplaceSecretRequest, SecretView,
    UpdateSecretRequest,
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
        check_refused_name(&self.exported_name(), self.allow_refused)
    }
}

pub(crate) fn check_refused_name(env: &EnvName, allow_refused: bool) -> Result<(), CliError> {
    match refused(env) {
        Some(refusal) if !allow_refused => {
            Err(CliError::failed(format_args!("{env} is refused: {} ({})", refusal.why, refusal.family))
                .hint(
                    "choose another name with --as; an administrator can override this with --allow-refused",
                ))
        }
        _ => Ok(()),
    }
}

/// A client that deposits values, sealed to a verified key.
pub(crate) struct DepositClient {
    client: Client,
    depositor: Depositor,
    identity: String,
}

impl DepositClient {
    /// Fetches the store's deposit key, which must be the pinned one, and pins it on first use. `owner` is a service that the caller
    /// manages, whose private scope gets the deposits; `None` is the caller.
    pub(crate) async fn open(
        context: &CliContext,
        mut client: Client,
        address: &StoreAddress,
        owner: Option<String>,
    ) -> Result<Self, CliError> {
        let status = client.status().await?;
        let expected = pinned_keys::lookup(context, address, status.store)?;
        let identity = owner.clone().unwrap_or_else(|| status.identity.clone());
        let depositor = Depositor::open_for(&mut client, expected, owner).await?;
        // Only now: a key that was refused must not replace the pinned one.
        pinned_keys::pin(context, address, status.store, &depositor.fingerprint())?;
        connect::follow_pins(context, &status)?;
        Ok(Self { client, depositor, identity })
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

    /// Plans an import, and sends no value.
    pub(crate) async fn plan_import(
        &mut self,
        scope: ScopeKind,
        entries: Vec<ImportEntry>,
        tagger: VersionTagger,
    ) -> Result<ImportPlan, CliError> {
        Ok(self.depositor.plan_import(&mut self.client, scope, entries, tagger).await?)
    }

    /// Stores a planned import, and prints the warnings about its values.
    pub(crate) async fn store_import(
        &mut self,
        plan: &mut ImportPlan,
        stored: &mut dyn FnMut(usize),
    ) -> Result<(), CliError> {
        let done = self.depositor.store_import(&mut self.client, plan, stored).await;
        for PlannedEntry { entry, view, .. } in plan.entries.iter().filter(|planned| planned.stored) {
            print_warnings(&entry.name, &view.warnings);
        }
        Ok(done?)
    }

    /// Creates a secret.
    pub(crate) async fn create(
        &mut self,
        spec: &DepositSpec,
        value: &SecretValue,
    ) -> Result<SecretView, CliError> {
        let request = CreateSecretRequest {
            name: spec.name.as_str().into(),
            env: env_text(spec),
            scope: spec.scope,
            // The depositor knows whom it seals for.
            owner: None,
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
        Ok(self.depositor.create(&mut self.client, request, value).await?)
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
            env: env_text(spec),
            kind: spec.kind,
            delivery: spec.delivery,
            allow_refused: spec.allow_refused,
            // In the same request: the new value must not be released for a moment with the old attributes.
            change: Some(UpdateSecretRequest::from(&spec.attributes)),
        };
        let (client, depositor) = (&mut self.client, &mut self.depositor);
        Ok(depositor.replace(client, ReplaceTarget { existing, if_version }, request, value).await?)
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
            DepositError::Value(_) | DepositError::Name(_) | DepositError::PlainNotStated => {
                with(Exit::Failed)
            }
            // The store answered with something that no store of this version sends.
            DepositError::Suite(_) | DepositError::KeyUnusable | DepositError::PlanUnusable => {
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

/// Says how many boots still hold an older value, and what to do.
pub(crate) fn note_holders(context: &mut CliContext, stored: &SecretView) {
    let Some(holders) = &stored.holders else { return };
    if holders.incomplete {
        context.output.note("boots of an older version are still being counted");
    }
    // The id of a secret in another scope: its name also stands for other secrets.
    let by_name = stored.scope == ScopeKind::Shared;
    let secret = if by_name { stored.name.to_string() } else { stored.id.to_string() };
    if holders.outdated > 0 {
        let count = boots(holders.outdated);
        context.output.note(format!(
            "{count} still {} an older value; `dropsafe boots {secret} --wait` waits for the end",
            if holders.outdated == 1 { "holds" } else { "hold" }
        ));
    }
}

/// Prints what was noticed about a value.
pub(crate) fn print_warnings(name: &SecretName, warnings: &[String]) {
    for warning in warnings {
        output::warn(format!("{name}: {}", output::escape_control(warning)));
    }
}

fn env_text(spec: &DepositSpec) -> Option<EnvNameText> {
    spec.env.as_ref().map(|env| env.as_str().into())
}
