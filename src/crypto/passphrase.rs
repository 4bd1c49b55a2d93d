//! Keys from passphrases: Argon2id version 1.3 (RFC 9106).
//!
//! New parameters have a floor, because memory and time are the attacker's cost; stored ones have caps, because a slot could
//! ask for any amount of either. At most [`MAX_CONCURRENT`] derivations run at a time in this process, as each takes
//! memory of its own. A derivation blocks: an async caller uses a blocking thread.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::memory::{Key32, wipe_stack_after};

/// The number of derivations that may run at the same time.
pub(crate) const MAX_CONCURRENT: u32 = 2;

/// A passphrase that is not empty.
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// Takes the bytes as they are.
    pub fn new(bytes: SecretBytes) -> Result<Self, EmptyPassphrase> {
        // Neither trimmed nor normalized: a rule that changed between versions would lock a store for good.
        if bytes.is_empty() { Err(EmptyPassphrase) } else { Ok(Self(bytes)) }
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([redacted])")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is empty")]
pub struct EmptyPassphrase;

/// The cost of a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Params {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl Argon2Params {
    /// The second recommended option of RFC 9106 (section 4), and the floor for new slots: 64 MiB, 3 passes, 4 lanes.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// The cap for stored slots: 1 GiB, 16 passes, 16 lanes.
    pub(crate) const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

    /// Parameters for a lasting slot, none of them below [`Argon2Params::DEFAULT`].
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, Argon2ParamsError> {
        let params = Self { memory_kib, passes, lanes };
        // Each of the three on its own: more passes do not make up for memory, which is what special hardware lacks.
        if !Self::DEFAULT.is_at_most(params) {
            return Err(Argon2ParamsError::TooWeak);
        }
        params.check_caps()
    }

    /// The cheapest parameters, for a store that lives as long as one process (`dropsafe dev`) and for tests. They protect
    /// nothing against somebody who has the slot.
    pub const fn for_throwaway_stores() -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1 }
    }

    pub(crate) fn costs(&self) -> (u32, u32, u32) {
        (self.memory_kib, self.passes, self.lanes)
    }

    fn check_caps(self) -> Result<Self, Argon2ParamsError> {
        if self.is_at_most(Self::MAX) { Ok(self) } else { Err(Argon2ParamsError::TooCostly) }
    }

    fn is_at_most(self, other: Self) -> bool {
        self.memory_kib <= other.memory_kib && self.passes <= other.passes && self.lanes <= other.lanes
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Argon2ParamsError {
    #[error("the parameters are weaker than 64 MiB, 3 passes and 4 lanes")]
    TooWeak,
    #[error("the parameters ask for more than 1 GiB, 16 passes or 16 lanes")]
    TooCostly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The parameters exceed the caps, or Argon2 does not allow them.
    #[error("the key slot has Argon2 parameters outside the limits of this program")]
    Params,
    #[error("not enough memory for the key slot's Argon2id parameters")]
    Memory,
}

/// Derives the key of a passphrase. Waits while [`MAX_CONCURRENT`] other derivations run.
pub(crate) fn derive(passphrase: &[u8], salt: &[u8; 16], params: Argon2Params) -> Result<Key32, DeriveError> {
    // Stored parameters did not come through `new`, and an attacker may have chosen them.
    let (memory_kib, passes, lanes) = params.check_caps().map_err(|_| DeriveError::Params)?.costs();
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| DeriveError::Params)?;
    let _permit = Permit::acquire();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    // Its hash function copies the passphrase into blocks on the stack.
    wipe_stack_after(|| argon2id(&argon2, passphrase, salt))
}

pub(crate) fn argon2id(argon2: &Argon2<'_>, passphrase: &[u8], salt: &[u8]) -> Result<Key32, DeriveError> {
    let count = argon2.params().block_count();
    // In memory of our own: argon2 does not wipe the memory that it allocates itself, and aborts if there is too little.
    let mut blocks = Zeroizing::new(Vec::<Block>::new());
    blocks.try_reserve_exact(count).map_err(|_| DeriveError::Memory)?;
    blocks.resize(count, Block::default());
    let mut outcome = Ok(());
    let key = Key32::fill_with(|key| {
        outcome = argon2.hash_password_into_with_memory(passphrase, salt, key, &mut **blocks);
    });
    outcome.map(|()| key).map_err(|_| DeriveError::Params)
}

static RUNNING: Mutex<u32> = Mutex::new(0);
static FINISHED: Condvar = Condvar::new();

/// The right to run a derivation: one of [`MAX_CONCURRENT`].
struct Permit;

impl Permit {
    fn acquire() -> Self {
        // A condition variable and not a tokio semaphore: a derivation blocks its thread anyway, and needs no runtime.
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = FINISHED
            .wait_while(running, |running| *running >= MAX_CONCURRENT)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Also when a derivation panics, so that a defect does not use up the permits.
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FINISHED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn new_parameters_have_a_floor_and_caps() {
        let (memory, passes, lanes) = Argon2Params::DEFAULT.costs();
        assert_eq!((memory, passes, lanes), (65_536, 3, 4));
        assert_eq!(Argon2Params::new(memory, passes, lanes), Ok(Argon2Params::DEFAULT));
        for (memory, passes, lanes) in [(memory - 1, 3, 4), (memory, 2, 4), (memory, 3, 3)] {
            assert_eq!(Argon2Params::new(memory, passes, lanes), Err(Argon2ParamsError::TooWeak));
        }
        let (memory, passes, lanes) = Argon2Params::MAX.costs();
        assert_eq!(Argon2Params::new(memory, passes, lanes), Ok(Argon2Params::MAX));
        for (memory, passes, lanes) in [(memory + 1, 16, 16), (memory, 17, 16), (memory, 16, 17)] {
            assert_eq!(Argon2Params::new(memory, passes, lanes), Err(Argon2ParamsError::TooCostly));
        }
    }

    #[test]
    fn stored_parameters_are_capped_before_any_memory_is_taken() {
        for (memory_kib, passes, lanes) in [
            (u32::MAX, 1, 1),
            (8, u32::MAX, 1),
            (u32::MAX, 1, 16),
            (8, 1, 17),
            (0, 1, 1),
            (8, 0, 1),
            (8, 1, 0),
            (8, 1, 2),
        ] {
            let params = Argon2Params { memory_kib, passes, lanes };
            assert_eq!(derive(b"passphrase", &[0; 16], params).map(drop), Err(DeriveError::Params));
        }
    }

    #[test]
    fn at_most_two_derivations_run_at_once() {
        let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _permit = Permit::acquire();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= MAX_CONCURRENT);
    }
}
