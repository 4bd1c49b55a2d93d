//! Why a call to the store failed, by what a program does about it: it retries after an outage, and fails at a refusal.
//!
//! No variant holds bytes of a body. Of the server's text, only the bounded and sanitized fields of a [`Problem`] are kept.

mod faults;
mod outage;
mod refusal;

pub use faults::TokenFault;
pub(crate) use faults::{CallStage, CertificateFault, ProgramEnd, ResponseFault, TlsFault};
pub use outage::CallOutage;
pub use refusal::CallRefusal;
pub(crate) use refusal::MORE_DESCRIPTORS;
use thiserror::Error;

use crate::wire::{Code, Problem};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// It may pass: retry until the deadline.
    #[error(transparent)]
    Outage(#[from] CallOutage),
    /// A retry cannot change it: fail now.
    #[error(transparent)]
    Refused(#[from] CallRefusal),
}

impl CallError {
    /// The store's error code, if the response has one.
    pub(crate) fn code(&self) -> Option<Code> {
        self.problem().map(|problem| problem.code)
    }

    /// The store's problem, if the response has a readable one.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Outage(CallOutage::Status { problem, .. }) => problem.as_deref(),
            Self::Refused(CallRefusal::Problem(problem)) => Some(problem),
            Self::Outage(_) | Self::Refused(_) => None,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Outage(outage) => outage.hint(),
            Self::Refused(refused) => refused.hint(),
        }
    }
}

fn after_status(problem: Option<&Problem>) -> String {
    problem.map(|problem| format!(": {}", summarize(problem))).unwrap_or_default()
}

fn after_code(code: Option<Code>) -> String {
    // This program's own words, because somebody in between may have chosen the code.
    code.map(|code| format!(": {}", code.title())).unwrap_or_default()
}

/// A problem in one line: its title, detail and field errors, without repetitions.
fn summarize(problem: &Problem) -> String {
    let title = match problem.code {
        // A newer store has codes that this program does not know; then the title is all there is.
        Code::Unknown => &problem.title,
        // The detail names what does not exist, so the title would only repeat it.
        Code::NotFound if !problem.detail.is_empty() => "",
        // This program's own words for a known code: a title comes from the server and may be anything.
        code => code.title(),
    };
    let mut line = title.to_owned();
    let faults = problem.errors.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
    for part in std::iter::once(problem.detail.clone()).chain(faults) {
        // The store repeats a single field error as the detail.
        if !part.is_empty() && !line.contains(&part) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&part);
        }
    }
    line
}
