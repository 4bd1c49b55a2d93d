//! The agent's report on its own boot.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::boot::BootState;
use crate::domain::code::Code;
use crate::domain::id::BootId;
use crate::domain::role::Action;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::Report;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

impl Store {
    /// Stores the agent's report on its own boot. Repeating it changes nothing. Another digest than the boot's is a conflict.
    pub async fn report(&self, caller: &Caller, boot: BootId, report: Report) -> Result<(), Error> {
        let audit_action = AuditAction::BootReport;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let not_found = || Error::NotFound { what: "boot" };
        let key = self.records().boot(org, boot);
        // The permission depends on the ticket of the boot.
        let found = self.records().get(&key).await?.ok_or_else(not_found)?;
        self.permit(caller, Action::ReportBoot(found.ticket), audit_action, Some(target::boot(boot))).await?;
        let event = caller.event(audit_action).about(target::boot(boot));
        let event = event.detail(DetailKey::Count, AuditText::number(report.variables.into()));
        let caller = caller.clone();
        let reported = self.journal().run(vec![key.to_vec()], move |tx| {
            tx.require_first_execution(&caller)?;
            let mut record = tx.get(&key)?.ok_or_else(not_found)?;
            // A retry after a lost response is no second report.
            if record.confirmed_at.is_some() {
                return Ok(());
            }
            // The agent received something else than what was released: worth an entry of its own.
            if !record.released(&report.digest) {
                tx.audit(event.clone().failed(Code::Conflict));
                return Err(Error::Conflict { why: "the digest differs from that of the release" }.into());
            }
            record.confirmed_at = Some(tx.now());
            record.variables = Some(report.variables);
            record.state = BootState::Confirmed;
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(())
        });
        reported.await.map(|_| ())
    }
}
