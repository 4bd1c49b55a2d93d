//! Where random bytes come from: an argument of everything that needs them, and the kernel outside tests.
//!
//! Nothing is ever buffered or stretched in this process: a virtual machine may be a clone of another, and only the
//! kernel learns of it (vmgenid).

/// A source of uniformly random bytes. Any `FnMut(&mut [u8])` is one, so that a test can count or fix them.
pub trait Random {
    /// Overwrites all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// getrandom(2), asked at each use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Random for Kernel {
    /// # Panics
    /// When the kernel has no randomness to give, which Linux has not done since 3.17: going on would seal with a
    /// known key.
    #[expect(clippy::expect_used, reason = "there is no safe way to go on without randomness")]
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the kernel gives random bytes");
    }
}

/// An array of random bytes: a nonce, a salt, an id.
pub fn array<const N: usize>(rng: &mut dyn Random) -> [u8; N] {
    let mut out = [0; N];
    rng.fill(&mut out);
    out
}
