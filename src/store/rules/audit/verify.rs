//! Verification of the audit log, on request.

use crate::domain::audit::{AuditAction, AuditText, DetailKey, Outcome};
use crate::domain::role::Action;
use crate::store::engine::audit::verify::{Verification, verify};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

impl Store {
    /// Verifies every chain, and finds every changed, moved or missing entry and every missing chain.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<Verification, Error> {
        self.permit(caller, Action::VerifyAudit, AuditAction::AuditVerify, None).await?;
        let verification = verify(self.records()).await?;
        let event = caller.event(AuditAction::AuditVerify).about(target::store());
        let mut event = event.detail(DetailKey::Count, AuditText::number(verification.entries));
        // A failed verification is itself a fact for the log, and no error of the request.
        if !verification.ok {
            event.outcome = Outcome::Failed;
        }
        self.journal().record(vec![event]).await?;
        Ok(verification)
    }
}
