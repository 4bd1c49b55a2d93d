//! Deposits: checks a value, seals it to the store's deposit key, and sends only the sealed form.
//!
//! A plain setting is sent unsealed, since the store may show it. Nothing is sealed to a deposit key that is not the pinned
//! one.

mod error;
mod import;
mod version_tag;

use data_encoding::BASE64;
pub(crate) use error::DepositError;
pub(crate) use import::{ImportEntry, ImportPlan, PlannedEntry};
pub(crate) use version_tag::VersionTagger;

use super::api_client::Client;
use super::error::CallError;
use crate::crypto::deposit::DepositKey;
use crate::crypto::generation::{Generation, leads_from};
use crate::crypto::random::Kernel;
use crate::crypto::value::WrappedKey;
use crate::crypto::{hpke, random, value as sealing};
use crate::domain::catalog::Presets;
use crate::domain::hint::Hint;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Kind, SecretValue, ValueWarning, check};
use crate::wire::{
    Code, CreateSecretRequest, DepositKeyView, GenerationView, MemberNameText, ReplaceSecretRequest,
    SealedBody, SecretView, Value, ValueBase64,
};

/// Deposits values with one store's deposit key.
#[derive(Debug)]
pub(crate) struct Depositor {
    info: DepositKeyView,
    key: DepositKey,
    fingerprint: String,
    pinned: Option<String>,
    /// The service that private deposits are for. None: the caller.
    owner: Option<String>,
}

impl Depositor {
    /// Fetches the store's deposit key. Fails if it has another fingerprint than `pinned`, unless the generation with that
    /// fingerprint endorses it.
    pub(crate) async fn open(client: &mut Client, pinned: Option<String>) -> Result<Self, DepositError> {
        Self::open_for(client, pinned, None).await
    }

    /// The same for deposits into the private scope of `owner`, a service that the caller manages.
    pub(crate) async fn open_for(
        client: &mut Client,
        pinned: Option<String>,
        owner: Option<String>,
    ) -> Result<Self, DepositError> {
        let info = client.deposit_info(owner.as_deref()).await?;
        let (key, fingerprint) = verify_key(&info, pinned.as_deref())?;
        Ok(Self { info, key, fingerprint, pinned, owner })
    }

    /// The fingerprint of the key in use, which the caller pins for the next time.
    pub(crate) fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// Deposits `value` as a new secret, and fills in the value's fields of `secret`. The result's warnings include those
    /// about the value.
    pub(crate) async fn create(
        &mut self,
        client: &mut Client,
        mut secret: CreateSecretRequest,
        value: &SecretValue,
    ) -> Result<SecretView, DepositError> {
        // The exported name is sealed into the value's context, so it has to be known here.
        let env = match &secret.env {
            Some(env) => EnvName::parse(env)?,
            None => SecretName::parse(&secret.name)?.export(),
        };
        // The store cannot read a sealed value, so a fault that is not found here would fail a boot.
        let mut warnings = check(value, &env, secret.delivery, self.info.variable_ceiling)?;
        warnings.extend(preset_warnings(&secret.name, &env, secret.kind, value));
        secret.owner = self.owner_in(secret.scope);
        let mut stale = false;
        loop {
            // Sealed again for each attempt, since the key may have changed in between.
            let id = SecretId::from_bytes(random::array(&mut Kernel));
            let target = SealTarget { id, scope: secret.scope, env: &env, version: random_version() };
            let fields = self.value_fields(secret.kind, &target, value)?;
            (secret.value, secret.value_base64) = (fields.value, fields.value_base64);
            (secret.sealed, secret.hint) = (fields.sealed, fields.hint);
            match client.create_secret(&secret).await {
                Ok(view) => return Ok(with_warnings(view, &warnings)),
                Err(error) => self.renew_once(client, error, &mut stale).await?,
            }
        }
    }

    /// Deposits `value` as a new version of `target`, and fills in the value's fields of `request`.
    pub(crate) async fn replace(
        &mut self,
        client: &mut Client,
        target: ReplaceTarget<'_>,
        mut request: ReplaceSecretRequest,
        value: &SecretValue,
    ) -> Result<SecretView, DepositError> {
        let ReplaceTarget { existing, if_version } = target;
        // What the request leaves out stays as it is, so the new value has to suit the existing settings.
        let env = match request.env.as_deref() {
            Some(env) => EnvName::parse(env)?,
            None => existing.env.clone(),
        };
        let delivery = request.delivery.unwrap_or(existing.delivery);
        let kind = match (request.kind, existing.kind) {
            (Some(stated), _) => stated,
            (None, Kind::Encrypted) => Kind::Encrypted,
            // Another member, or the store itself, may have made it plain: that must not decide whether a value is sealed.
            (None, Kind::Plain) => return Err(DepositError::PlainNotStated),
        };
        let mut warnings = check(value, &env, delivery, self.info.variable_ceiling)?;
        warnings.extend(preset_warnings(existing.name.as_str(), &env, kind, value));
        let (id, scope) = (existing.id, existing.scope);
        let mut stale = false;
        loop {
            let target = SealTarget { id, scope, env: &env, version: random_version() };
            let fields = self.value_fields(kind, &target, value)?;
            (request.value, request.value_base64) = (fields.value, fields.value_base64);
            (request.sealed, request.hint) = (fields.sealed, fields.hint);
            match client.replace_secret(existing.id, &request, if_version).await {
                Ok(view) => return Ok(with_warnings(view, &warnings)),
                Err(error) => self.renew_once(client, error, &mut stale).await?,
            }
        }
    }

    /// The owner that a request names: the store must use the scope that the value is sealed for.
    fn owner_in(&self, scope: ScopeKind) -> Option<MemberNameText> {
        self.owner.as_deref().filter(|_| scope == ScopeKind::Private).map(Into::into)
    }

    /// Fetches the new deposit key if `error` says that the current one is stale. Returns any other error, and the second
    /// stale key.
    async fn renew_once(
        &mut self,
        client: &mut Client,
        error: CallError,
        stale: &mut bool,
    ) -> Result<(), DepositError> {
        if *stale || error.code() != Some(Code::StaleGeneration) {
            return Err(error.into());
        }
        *stale = true;
        // With the same pin: a store that claims a stale key must not get around it.
        *self = Self::open_for(client, self.pinned.take(), self.owner.take()).await?;
        Ok(())
    }

    fn value_fields(
        &self,
        kind: Kind,
        target: &SealTarget<'_>,
        value: &SecretValue,
    ) -> Result<ValueFields, DepositError> {
        let mut fields = ValueFields::default();
        match kind {
            // As text if it is UTF-8, which is easier to read in a request; otherwise base64.
            Kind::Plain => {
                fields.value = Value::of(value);
                fields.value_base64 = fields.value.is_none().then(|| ValueBase64::of(value));
            }
            Kind::Encrypted => {
                fields.sealed = Some(self.seal(target, value)?);
                // An organization can turn hints off, and then not even a redacted part of a value leaves this process.
                fields.hint =
                    if self.info.hints { Hint::of(value).map(|hint| hint.as_str().to_owned()) } else { None };
            }
        }
        Ok(fields)
    }

    fn seal(&self, target: &SealTarget<'_>, value: &SecretValue) -> Result<SealedBody, DepositError> {
        let DepositKeyView { store, organization, member, .. } = &self.info;
        // These numbers are part of the format (`crypto::value`), unlike the order of the enum's variants.
        let (scope, owner) = match target.scope {
            ScopeKind::Shared => (0, None),
            ScopeKind::Private => (1, Some(member.as_bytes())),
        };
        let context = sealing::ValueContext {
            store: store.as_bytes(),
            org: organization.as_bytes(),
            scope,
            owner,
            secret: target.id.as_bytes(),
            env: target.env.as_str(),
            version: target.version.as_bytes(),
        };
        let sealed = sealing::seal(&self.key, &context, value.expose(), &mut Kernel)
            .map_err(|_| DepositError::KeyUnusable)?;
        // A data key is wrapped without HPKE only when the store settles it.
        let WrappedKey::Hpke { suite, enc, ct } = sealed.wrapped else {
            return Err(DepositError::KeyUnusable);
        };
        Ok(SealedBody {
            id: target.id.to_string().into(),
            version: target.version.to_string().into(),
            generation: sealed.generation,
            suite,
            enc: BASE64.encode(&enc),
            wrapped_key: BASE64.encode(&ct),
            nonce: BASE64.encode(&sealed.nonce),
            ciphertext: BASE64.encode(&sealed.ciphertext),
        })
    }
}

/// The secret that gets a new version.
pub(crate) struct ReplaceTarget<'a> {
    pub(crate) existing: &'a SecretView,
    /// The store refuses unless this is the current version.
    pub(crate) if_version: Option<&'a str>,
}

/// The parts of a sealed value's context that differ between two deposits.
struct SealTarget<'a> {
    id: SecretId,
    scope: ScopeKind,
    env: &'a EnvName,
    version: VersionId,
}

fn random_version() -> VersionId {
    VersionId::from_bytes(random::array(&mut Kernel))
}

/// The fields of a request that hold its value.
#[derive(Default)]
struct ValueFields {
    value: Option<Value>,
    value_base64: Option<ValueBase64>,
    sealed: Option<SealedBody>,
    hint: Option<String>,
}

/// The deposit key and its fingerprint.
fn verify_key(info: &DepositKeyView, pinned: Option<&str>) -> Result<(DepositKey, String), DepositError> {
    // First: a key of another suite has another length, and the suite is the better error.
    if info.suite != hpke::X25519 {
        return Err(DepositError::Suite(info.suite));
    }
    let unusable = DepositError::KeyUnusable;
    let key = parse_key(info.generation, &info.public_key).ok_or(unusable.clone())?;
    let chain: Option<Vec<Generation>> = info.chain.iter().map(parse_generation).collect();
    let chain = chain.ok_or(unusable.clone())?;
    // Computed, not read from `info`: the store's own claim about its key proves nothing.
    let presented = match chain.last() {
        Some(current) if current.deposit == key => current.fingerprint(),
        Some(_) => return Err(unusable),
        // A generation without a signing key.
        None => key.fingerprint(),
    };
    match pinned {
        Some(pinned) if pinned != presented && !leads_from(&chain, info.store.as_bytes(), pinned) => {
            Err(DepositError::KeyChanged { pinned: pinned.to_owned(), presented })
        }
        _ => Ok((key, presented)),
    }
}

fn parse_key(generation: u32, public: &str) -> Option<DepositKey> {
    Some(DepositKey::from_parts(generation, parse_bytes(public)?))
}

fn parse_generation(view: &GenerationView) -> Option<Generation> {
    let endorsement = view.endorsement.as_deref().map(|text| parse_bytes(text).ok_or(())).transpose();
    Some(Generation {
        deposit: parse_key(view.generation, &view.public_key)?,
        signing: parse_bytes(&view.signing_key)?,
        endorsement: endorsement.ok()?,
    })
}

fn parse_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Compares the value with this program's presets.
fn preset_warnings(name: &str, env: &EnvName, kind: Kind, value: &SecretValue) -> Vec<ValueWarning> {
    match SecretName::parse(name) {
        Ok(name) => Presets::builtin().judge(&name, env, kind, value),
        // The store refuses the name with its reason.
        Err(_) => Vec::new(),
    }
}

fn with_warnings(mut view: SecretView, warnings: &[ValueWarning]) -> SecretView {
    for warning in warnings.iter().map(ToString::to_string) {
        // The store reports the same about a value that it can read.
        if !view.warnings.contains(&warning) {
            view.warnings.push(warning);
        }
    }
    view
}

#[cfg(test)]
mod tests;
