//! How far a boot came, and when it is over. One function decides the state that people see.

use crate::domain::text;
use crate::domain::time::Timestamp;

text::text_enum! {
    /// How far a boot came.
    pub(crate) enum BootState, "a boot's state: released, confirmed or failed" {
        /// The store answered; the agent has not reported back.
        Released = "released",
        /// The agent reported that it started the workload.
        Confirmed = "confirmed",
        /// The agent reported that it did not start the workload.
        Failed = "failed",
    }
}

text::text_enum! {
    /// The state of a boot, as people see it.
    pub enum BootStatus, "running, presumed_running, ended or failed" {
        /// The agent reported that it started the workload, and nothing reported its end.
        Running = "running",
        /// The values were released, and the agent has not reported back.
        PresumedRunning = "presumed_running",
        /// The workload has ended.
        Ended = "ended",
        /// The workload was not started.
        Failed = "failed",
    }
}

text::text_enum! {
    /// Who or what says that a boot is over.
    pub enum EndSource, "agent, platform, admin or lifetime" {
        /// The boot's own end credential, which only its machine has.
        Agent = "agent",
        /// The member that the boot acts for, or the author of its ticket, over the API.
        Platform = "platform",
        /// An admin, after the member that the boot acts for was removed.
        Admin = "admin",
        /// The lifetime that its ticket declares has passed.
        Lifetime = "lifetime",
    }
}

/// The end of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootEnd {
    /// When it was reported, or when the lifetime passed.
    pub at: Timestamp,
    /// Who or what says so.
    pub source: EndSource,
    /// The exit status of the workload, if it was reported.
    pub status: Option<u8>,
}

/// What the state of a boot depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootLife {
    pub(crate) state: BootState,
    /// A reported end.
    pub(crate) end: Option<BootEnd>,
    /// When the lifetime that the ticket declares passes.
    pub(crate) lifetime_ends_at: Option<Timestamp>,
}

impl BootStatus {
    /// Whether the workload may still hold what it received.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::PresumedRunning)
    }

    /// The words for people.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::PresumedRunning => "presumed running",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

impl BootLife {
    /// The state at `now`.
    pub(crate) fn status(&self, now: Timestamp) -> BootStatus {
        match (self.state, self.end_at(now)) {
            // A workload that was never started has no end, whatever its ticket's lifetime is.
            (BootState::Failed, _) => BootStatus::Failed,
            (_, Some(_)) => BootStatus::Ended,
            (BootState::Confirmed, None) => BootStatus::Running,
            (BootState::Released, None) => BootStatus::PresumedRunning,
        }
    }

    /// The end, if the boot is over at `now`.
    pub(crate) fn end_at(&self, now: Timestamp) -> Option<BootEnd> {
        // A reported end says more than the lifetime, also when the report came later.
        self.end.or_else(|| {
            let at = self.lifetime_ends_at.filter(|at| *at <= now)?;
            Some(BootEnd { at, source: EndSource::Lifetime, status: None })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1000)
    }

    fn life(state: BootState, end: Option<EndSource>, lifetime: Option<i64>) -> BootLife {
        let end = end.map(|source| BootEnd { at: now(), source, status: Some(3) });
        BootLife { state, end, lifetime_ends_at: lifetime.map(Timestamp::from_millis) }
    }

    #[test]
    fn the_state_follows_from_reports_and_time() {
        use BootState::*;
        for (life, expected) in [
            (life(Released, None, None), BootStatus::PresumedRunning),
            (life(Confirmed, None, None), BootStatus::Running),
            (life(Confirmed, None, Some(1001)), BootStatus::Running),
            (life(Confirmed, None, Some(1000)), BootStatus::Ended),
            (life(Released, Some(EndSource::Agent), None), BootStatus::Ended),
            (life(Failed, None, None), BootStatus::Failed),
            (life(Failed, None, Some(1)), BootStatus::Failed),
        ] {
            assert_eq!(life.status(now()), expected, "{life:?}");
        }
    }

    #[test]
    fn a_reported_end_says_more_than_the_lifetime() {
        let both = life(BootState::Confirmed, Some(EndSource::Agent), Some(1)).end_at(now()).unwrap();
        assert_eq!((both.source, both.status), (EndSource::Agent, Some(3)));
        let over = life(BootState::Confirmed, None, Some(1)).end_at(now()).unwrap();
        assert_eq!((over.source, over.at), (EndSource::Lifetime, Timestamp::from_millis(1)));
    }
}
