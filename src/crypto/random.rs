//! Random bytes: a parameter of everything that needs them, and the kernel's outside tests.
//!
//! This process never buffers or stretches them: a virtual machine may be a clone of another, and only the kernel learns of
//! it (vmgenid).

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

/// getrandom(2), called at each use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Random for Kernel {
    /// # Panics
    /// If the kernel has no random bytes, which does not happen on Linux since 3.17.
    #[expect(clippy::expect_used, reason = "there is no safe way to go on without randomness")]
    fn fill(&mut self, out: &mut [u8]) {
        // An error would have to be passed through every seal, and a caller that went on would seal with a known key.
        getrandom::fill(out).expect("the kernel gives random bytes");
    }
}

/// An array of random bytes: a nonce, a salt, an id.
pub(crate) fn array<const N: usize>(rng: &mut dyn Random) -> [u8; N] {
    let mut out = [0; N];
    rng.fill(&mut out);
    out
}
