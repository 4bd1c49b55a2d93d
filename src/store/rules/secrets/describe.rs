//! What the audit log records of a secret and of a change of it: names, ids and lengths, never a value.

use crate::domain::audit::{AuditEvent, AuditText, DetailKey};
use crate::domain::secret::SecretMeta;
use crate::store::rules::audit::EventBuilder;

/// Adds what the audit log records of a secret.
pub(crate) fn describe_secret(event: AuditEvent, meta: &SecretMeta) -> AuditEvent {
    let SecretMeta { env, scope, kind, version, value_len, .. } = meta;
    let event = event
        .detail(DetailKey::Env, env)
        .detail(DetailKey::Scope, scope.kind())
        .detail(DetailKey::Type, AuditText::word(kind.as_str()))
        .detail(DetailKey::Version, *version)
        .detail(DetailKey::Bytes, AuditText::number(u64::from(*value_len)));
    match scope.owner() {
        Some(owner) => event.detail(DetailKey::Owner, owner),
        None => event,
    }
}

/// Adds what the audit log records of a change: the secret as it is now, and the names of what changed.
pub(crate) fn describe_change(event: AuditEvent, before: &SecretMeta, after: &SecretMeta) -> AuditEvent {
    let mut event = describe_secret(event, after);
    if before.version != after.version {
        event = event.detail(DetailKey::Previous, before.version);
    }
    // Named apart, because a secret that becomes plain can be read from then on.
    if before.kind != after.kind {
        event = event.detail(DetailKey::PreviousType, AuditText::word(before.kind.as_str()));
    }
    let own = [
        ("type", before.kind != after.kind),
        ("env", before.env != after.env),
        ("delivery", before.delivery != after.delivery),
    ];
    let own = own.into_iter().filter_map(|(name, changed)| changed.then_some(name));
    let changed: Vec<&'static str> = own.chain(after.attributes.changes(&before.attributes)).collect();
    match changed.is_empty() {
        true => event,
        false => event.detail(DetailKey::Changed, AuditText::words(&changed)),
    }
}
