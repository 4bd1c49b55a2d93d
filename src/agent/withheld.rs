//! What the store withheld although it would be installed, why, and how to allow it on this machine. Names only.

use crate::domain::receipt::Receipt;
use crate::domain::resolve::SkipReason;
use crate::domain::secret::ScopeKind;

/// A sentence for each secret that is withheld to protect a private one, or does not open, with what to do.
pub(crate) fn messages(receipt: &Receipt) -> impl Iterator<Item = (String, &'static str)> {
    receipt.skipped.iter().filter_map(|skipped| match skipped.reason {
        SkipReason::ForeignAddress => Some((
            format!(
                "the shared address {} is withheld: private secrets of this boot would go to it",
                skipped.env
            ),
            "list it in `allow_names` to allow it on this machine",
        )),
        SkipReason::PrivateWithheld => Some((
            format!(
                "{} is not set: the private secret is withheld, and no shared one takes its place",
                skipped.env
            ),
            "`dropsafe-agent explain` shows why the private secret is withheld",
        )),
        SkipReason::Unusable if skipped.scope_kind == ScopeKind::Private => Some((
            format!("the private secret {} cannot be opened or exported, and stops the boot", skipped.env),
            "deposit it again or delete it, or exclude it on this machine",
        )),
        SkipReason::Unusable => Some((
            format!("the shared secret {} is left out: it cannot be opened or exported", skipped.env),
            "its depositor or an administrator deposits it again or deletes it",
        )),
        // The other reasons are this machine's or the owner's own choice.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SecretId, VersionId};
    use crate::domain::name::{EnvName, SecretName};
    use crate::domain::resolve::Skipped;

    #[test]
    fn a_secret_that_does_not_open_is_named_with_what_it_does_and_what_helps() {
        let skipped = |scope_kind| Skipped {
            id: SecretId::from_bytes([1; 16]),
            name: SecretName::parse("db-url").unwrap(),
            env: EnvName::parse("DB_URL").unwrap(),
            scope_kind,
            version: VersionId::from_bytes([2; 16]),
            reason: SkipReason::Unusable,
        };
        let receipt = |scope| Receipt { skipped: vec![skipped(scope)], ..Receipt::default() };
        for (scope, effect) in [(ScopeKind::Private, "stops the boot"), (ScopeKind::Shared, "is left out")] {
            let receipt = receipt(scope);
            let (message, remedy) = messages(&receipt).next().unwrap();
            assert!(message.contains("DB_URL") && message.contains(effect), "{message}");
            assert!(remedy.contains("again"), "{remedy}");
        }
    }
}
