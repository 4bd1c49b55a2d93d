//! Verification of the audit log, on request.

use std::collections::BTreeMap;

use crate::domain::audit::{AuditAction, AuditText, DetailKey, Outcome};
use crate::domain::role::Action;
use crate::store::engine::audit::row_sums::{RowFaultKind, RowReport};
use crate::store::engine::audit::verify::{Coverage, Pace, Verification, verify};
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables;

impl Store {
    /// Verifies every chain, and finds every changed, moved or missing entry and every missing chain. With `state`, it also finds
    /// every row of the store that is not what the log says (the operator).
    pub async fn verify_audit(&self, caller: &Caller, state: bool) -> Result<Verification, Error> {
        // The rows are those of all organizations, and reading them slows down everybody.
        let action = if state { Action::VerifyState } else { Action::VerifyAudit };
        self.permit(caller, action, AuditAction::AuditVerify, None).await?;
        let verification = match state {
            // What it finds counts as what the regular verification finds.
            true => self.check_state(Pace::Full).await?,
            false => verify(self.records(), Coverage::Log, Pace::Full).await?,
        };
        self.record_verification(caller, AuditAction::AuditVerify, &verification).await?;
        Ok(verification)
    }

    pub(crate) async fn record_verification(
        &self,
        caller: &Caller,
        action: AuditAction,
        verification: &Verification,
    ) -> Result<(), Failure> {
        let event = caller.event(action).about(target::store());
        let mut event = event.detail(DetailKey::Count, AuditText::number(verification.entries));
        // A failed verification is itself a fact for the log, and no error of the request.
        if !verification.ok {
            event.outcome = Outcome::Failed;
        }
        self.journal().record(vec![event]).await
    }
}

impl RowReport {
    /// Counts the faults by the table's name and what happened.
    pub fn by_table(&self) -> BTreeMap<(&'static str, RowFaultKind), u64> {
        let mut counts = BTreeMap::new();
        for fault in &self.faults {
            *counts.entry((tables::name_of(fault.letter), fault.kind)).or_default() += 1;
        }
        counts
    }
}
