//! Responses with a secret.

use http::{HeaderName, header};

use crate::domain::secret::Scope;
use crate::domain::value::{SecretValue, ValueWarning};
use crate::store::Secret;
use crate::wire::{SecretView, Value};

/// Renders the version as an entity tag (RFC 9110 section 8.8.3).
pub(crate) fn etag(secret: &Secret) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{}\"", secret.meta.version))]
}

/// Renders everything but an encrypted value.
pub(crate) fn view(secret: Secret, warnings: &[ValueWarning]) -> SecretView {
    let Secret { meta, owner, author, plain, generation: _ } = secret;
    SecretView {
        id: meta.id,
        name: meta.name,
        env: meta.env,
        scope: meta.scope.kind(),
        owner: owner.filter(|_| meta.scope != Scope::Shared),
        kind: meta.kind,
        delivery: meta.delivery,
        attributes: meta.attributes,
        version: meta.version,
        created_at: meta.created_at,
        updated_at: meta.updated_at,
        author,
        hint: meta.hint,
        // The store returns the value of a plain secret only.
        value: plain.and_then(|text| Value::of(&SecretValue::new(text.into_bytes()))),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        holders: None,
    }
}
