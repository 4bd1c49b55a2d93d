//! How many guesses a new passphrase withstands. The estimator keeps copies of parts of the passphrase. They are wiped when it
//! frees them, in a program whose allocator is a [`WipingAllocator`](super::memory::WipingAllocator).

use super::memory::wipe_stack_after;

/// The guesses that somebody with a copy of the store and its record key has to make at least. At 64 MiB and a tenth of a
/// second each, 10^10 of them take a thousand cores more than ten days.
const MIN_GUESSES: u64 = 10_000_000_000;

/// A passphrase that can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is too weak: fewer than 10^10 guesses find it")]
pub struct WeakPassphrase;

/// Refuses a passphrase that can be guessed. Takes up to some milliseconds of a processor.
pub fn require_strong(passphrase: &str) -> Result<(), WeakPassphrase> {
    // The estimator reads the first 100 characters only, so that a long passphrase costs no more.
    let guesses = wipe_stack_after(|| zxcvbn::zxcvbn(passphrase, &[]).guesses());
    if guesses >= MIN_GUESSES { Ok(()) } else { Err(WeakPassphrase) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_that_can_be_guessed_is_refused() {
        for weak in
            ["a", "password", "P@ssw0rd1", "qwertyuiop", "dropsafe", "20261129", "aaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(require_strong(weak).is_err(), "{weak}");
        }
        for strong in ["correct horse battery staple", "x7#Kq2!vLp9z", &"long enough ".repeat(1000)] {
            assert!(require_strong(strong).is_ok(), "{}", &strong[..12]);
        }
    }
}
