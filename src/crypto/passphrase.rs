//! Passphrases to keys: Argon2id version 1.3 (RFC 9106).
//!
//! Memory and time are what an attacker pays, so new parameters have a floor; a stored slot could ask for any amount of
//! either, so they have caps when they are read. Derivations never run more than [`AT_ONCE`] at a time in this process: they
//! would multiply its memory. They block: an async caller goes through a blocking thread.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::memory::Key32;

/// Derivations that may run at once.
pub const AT_ONCE: u32 = 2;

/// A passphrase: any bytes but none. As they came: nothing trims or normalizes them here.
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// Refuses the empty one.
    pub fn new(bytes: SecretBytes) -> Result<Self, EmptyPassphrase> {
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

/// Nothing was typed, or the file is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is empty")]
pub struct EmptyPassphrase;

/// What a derivation costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Params {
    /// KiB of memory.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) passes: u32,
    /// Lanes it is divided into.
    pub(crate) lanes: u32,
}

impl Argon2Params {
    /// RFC 9106's second recommended set: 64 MiB, 3 passes, 4 lanes. The least that a slot is created with.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// The most that a slot may ask for: 1 GiB, 16 passes, 16 lanes.
    pub const MOST: Self = Self { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

    /// Parameters for a slot that is kept, no weaker in any of the three than [`Argon2Params::DEFAULT`].
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, Argon2ParamsError> {
        let params = Self { memory_kib, passes, lanes };
        if !Self::DEFAULT.no_more_than(params) {
            return Err(Argon2ParamsError::TooWeak);
        }
        params.within_caps()
    }

    /// The cheapest there are, for a store that lives as long as one process (`dropsafe dev`) and for tests. Worth nothing
    /// against somebody who has the slot.
    pub const fn for_throwaway_stores() -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1 }
    }

    /// KiB of memory, passes, lanes.
    pub fn costs(&self) -> (u32, u32, u32) {
        (self.memory_kib, self.passes, self.lanes)
    }

    fn within_caps(self) -> Result<Self, Argon2ParamsError> {
        if self.no_more_than(Self::MOST) { Ok(self) } else { Err(Argon2ParamsError::TooCostly) }
    }

    fn no_more_than(self, other: Self) -> bool {
        self.memory_kib <= other.memory_kib && self.passes <= other.passes && self.lanes <= other.lanes
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Parameters outside their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Argon2ParamsError {
    /// Below the floor.
    #[error("the parameters are weaker than 64 MiB, 3 passes and 4 lanes")]
    TooWeak,
    /// Above the caps.
    #[error("the parameters ask for more than 1 GiB, 16 passes or 16 lanes")]
    TooCostly,
}

/// Why no key was derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The parameters exceed the caps, or are none of Argon2's.
    #[error("the key slot asks for more work than this program does, or for none")]
    Params,
    /// The memory could not be had.
    #[error("the memory that the key slot asks for is not available")]
    Memory,
}

/// The key of a passphrase. Waits while [`AT_ONCE`] others are being derived.
pub(crate) fn derive(passphrase: &[u8], salt: &[u8; 16], params: Argon2Params) -> Result<Key32, DeriveError> {
    let (memory_kib, passes, lanes) = params.within_caps().map_err(|_| DeriveError::Params)?.costs();
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| DeriveError::Params)?;
    let _permit = Permit::wait();
    run(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), passphrase, salt)
}

/// Works in memory of our own, because argon2 does not wipe the memory it allocates itself.
pub(crate) fn run(argon2: &Argon2<'_>, passphrase: &[u8], salt: &[u8]) -> Result<Key32, DeriveError> {
    let count = argon2.params().block_count();
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

/// One of [`AT_ONCE`] places, held while a derivation runs.
struct Permit;

impl Permit {
    fn wait() -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = FINISHED
            .wait_while(running, |running| *running >= AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
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
        let (memory, passes, lanes) = Argon2Params::MOST.costs();
        assert_eq!(Argon2Params::new(memory, passes, lanes), Ok(Argon2Params::MOST));
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
                        let _permit = Permit::wait();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= AT_ONCE);
    }
}
