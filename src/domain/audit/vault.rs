//! The actions of the audit log in the seven words of vault clients. An action that is no access to a secret has none.

use super::AuditAction;
use crate::domain::text;

text::text_enum! {
    /// What was done, in the vault's words.
    pub enum VaultAction, "an action of the vault" {
        /// A new value was stored for a secret that was there.
        Encrypt = "encrypt",
        /// Values were released to a boot.
        Decrypt = "decrypt",
        /// A secret was deleted.
        Delete = "delete",
        /// A secret, or all of them, were sealed again.
        Rotate = "rotate",
        /// Secrets were moved without a new value: other attributes, an import, a restored backup.
        Migrate = "migrate",
        /// Metadata were read, or a reading was refused.
        Read = "read",
        /// A secret was deposited for the first time.
        Create = "create",
    }
}

impl VaultAction {
    /// The actions of the audit log that this word stands for.
    pub(crate) fn actions(self) -> &'static [AuditAction] {
        match self {
            Self::Create => &[AuditAction::SecretCreate],
            Self::Encrypt => &[AuditAction::SecretReplace],
            Self::Decrypt => &[AuditAction::Boot],
            Self::Delete => &[AuditAction::SecretDelete],
            Self::Rotate => {
                &[AuditAction::SecretReEncrypt, AuditAction::ReEncryptStart, AuditAction::ReEncryptFinish]
            }
            Self::Migrate => &[AuditAction::SecretEdit, AuditAction::SecretImport],
            Self::Read => &[AuditAction::SecretRead, AuditAction::SecretList, AuditAction::BootExplain],
        }
    }

    /// The word for an action, if it has one.
    pub(crate) fn of(action: AuditAction) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.actions().contains(&action))
    }
}
