//! Memory for keys: pages that are locked against swap and excluded from core dumps, each key wiped when dropped.
//!
//! The only file of this program with `unsafe` for memory. Locking is best effort (RLIMIT_MEMLOCK is 8 MiB by default and
//! may be 0), so keys share pages: 512 of them use 16 KiB of it. A key is never cloned, printed, moved, or compared other
//! than in constant time.
#![expect(unsafe_code, reason = "mmap, mlock and madvise; every call has its SAFETY comment")]

use std::alloc::{GlobalAlloc, Layout};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap_anonymous};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::random::Random;

/// A 32-byte key in locked memory.
pub struct Key32(ManuallyDrop<&'static mut Cell>);

impl Key32 {
    /// A copy of `bytes`. The caller wipes the original.
    pub fn copy_of(bytes: &[u8; 32]) -> Self {
        Self::fill_with(|key| *key = *bytes)
    }

    pub fn random(rng: &mut dyn Random) -> Self {
        Self::fill_with(|key| rng.fill(key))
    }

    /// A key that `fill` writes over zeros.
    pub fn fill_with(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        // Written where it will stay: an array that is returned by value can leave copies in stack frames.
        let mut key = Self(ManuallyDrop::new(free_cells().take()));
        fill(&mut key.0);
        key
    }

    /// The only access to the bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn ct_eq(&self, other: &[u8; 32]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl Drop for Key32 {
    fn drop(&mut self) {
        // SAFETY: `self.0` is not used again: this is `drop`.
        let cell = unsafe { ManuallyDrop::take(&mut self.0) };
        // Before the cell is in the list: another thread may take it at once and expects zeros.
        cell.zeroize();
        free_cells().0.push(cell);
    }
}

impl fmt::Debug for Key32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Bytes that are appended piece by piece, wiped when dropped.
#[derive(Default)]
pub(crate) struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends `bytes`, in amortized constant time for each of them.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            // A plain vector that grows frees its old memory unwiped. Here the assignment drops the old one, which wipes it.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// The bytes, without a copy.
    pub(crate) fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of stack that [`wipe_stack_after`] wipes. Frames of async code that is not optimized are the largest.
const STACK: usize = 128 * 1024;

/// Runs code that leaves parts of a secret in its stack frames, such as a hash function, and wipes these.
pub(crate) fn wipe_stack_after<T>(run: impl FnOnce() -> T) -> T {
    wipe_stack_after_if(run, || true)
}

/// As [`wipe_stack_after`], if `has_secret` says so after the run.
pub(crate) fn wipe_stack_after_if<T>(run: impl FnOnce() -> T, has_secret: impl FnOnce() -> bool) -> T {
    // Inlined, its frames would be ours, above those that are wiped.
    #[inline(never)]
    fn call<T>(run: impl FnOnce() -> T) -> T {
        run()
    }
    let result = call(run);
    if has_secret() {
        zeroize::zeroize_stack::<STACK>();
    }
    result
}

/// An allocator that wipes each block before it is freed, so that no copy of a secret outlives its owner. Libraries make such
/// copies: TLS and HTTP in their buffers, the estimator of passphrases in its tables.
pub struct WipingAllocator<A>(pub A);

// SAFETY: every block comes from the allocator inside and returns to it with the layout that it was allocated with.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block has this size until it is freed below, and the caller has given it up.
        unsafe { block.write_bytes(0, layout.size()) };
        // Nothing of this program reads the zeros, so that without a barrier the compiler may leave them out.
        // SAFETY: a block has at least one byte.
        zeroize::optimization_barrier(unsafe { &*block });
        // SAFETY: as for the caller.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The allocator inside would free the old block as it is, so that its own way to grow is not used.
        // SAFETY: the caller promises that `size` is valid with this alignment.
        let moved = unsafe { self.0.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks have this many bytes, and they are different blocks.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(size)) };
            // SAFETY: the caller gives the block up.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// A limit of core dumps that turns all of them off. One of 0 bytes turns off files only: where `core_pattern` is a program
/// (systemd-coredump, apport), the kernel gives it the dump whatever the limit is, unless that is 1 byte (core(5); fs/coredump.c). No file is
/// as small as this.
pub(crate) const NO_CORE: rlim_t = 1;

/// Excludes this process from core dumps and closes it to other processes of its user. For the store.
pub(crate) fn harden_process() -> Result<(), Errno> {
    forbid_core_dumps()?;
    // PR_SET_DUMPABLE 0 also closes ptrace(2) and /proc/PID/mem: see PR_SET_DUMPABLE(2const).
    prctl::set_dumpable(false)
}

/// Sets RLIMIT_CORE so that no core dump is written, which execve(2) keeps. For the agent and its workload.
pub(crate) fn forbid_core_dumps() -> Result<(), Errno> {
    // Not the dumpable flag: execve(2) sets it again, and whether a workload can be debugged is not ours to decide.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    let limit = hard.min(NO_CORE);
    setrlimit(Resource::RLIMIT_CORE, limit, limit)
}

type Cell = [u8; 32];

/// Cells in one mapping, which is four pages of 4 KiB or one of 16.
const CELLS: usize = 512;

/// Cells that no key uses, all zero. Their mappings are never unmapped.
struct FreeCells(Vec<&'static mut Cell>);

impl FreeCells {
    fn take(&mut self) -> &'static mut Cell {
        loop {
            match self.0.pop() {
                Some(cell) => return cell,
                // In bulk: mlock(2) works on whole pages, and a page for each key would use up the limit.
                None => self.0.extend(map_cells()),
            }
        }
    }
}

fn free_cells() -> MutexGuard<'static, FreeCells> {
    static FREE: Mutex<FreeCells> = Mutex::new(FreeCells(Vec::new()));
    // A panic between lock and unlock cannot leave the list half changed, so a poisoned lock is as good as any.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn map_cells() -> &'static mut [Cell; CELLS] {
    const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<[Cell; CELLS]>()).unwrap();
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping, at an address of the kernel's choice, touches no memory in use.
    let Ok(start) = (unsafe { mmap_anonymous(None, LENGTH, protection, MapFlags::MAP_PRIVATE) }) else {
        // The kernel refuses more mappings. Keys on the heap are still wiped, and stopping would make nothing safer.
        return Box::leak(Box::new([[0; 32]; CELLS]));
    };
    // SAFETY: the range is the mapping just made, and neither call changes its content. Both may fail (old kernel, memory
    // lock limit), which leaves a key within reach of swap or a core dump; `harden_process` covers the latter.
    unsafe {
        let _ = mlock(start, LENGTH.get());
        let _ = madvise(start, LENGTH.get(), MmapAdvise::MADV_DONTDUMP);
    }
    // SAFETY: the mapping is zeroed, page-aligned, exactly this long, never unmapped, and this is the only reference.
    unsafe { start.cast::<[Cell; CELLS]>().as_mut() }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn a_dropped_key_leaves_zeros_and_its_cell_is_used_again() {
        let key = Key32::copy_of(&[7; 32]);
        assert_eq!(key.expose(), &[7; 32]);
        drop(key);
        assert!(free_cells().0.iter().all(|cell| **cell == [0; 32]));
    }

    #[test]
    fn more_keys_than_one_mapping_holds() {
        let keys: Vec<Key32> = (0..CELLS as u32 * 2 + 1)
            .map(|n| Key32::fill_with(|key| key[..4].copy_from_slice(&n.to_be_bytes())))
            .collect();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(key.expose()[..4], (n as u32).to_be_bytes());
        }
    }

    #[test]
    fn keys_come_and_go_on_many_threads() {
        std::thread::scope(|scope| {
            for n in 0..8 {
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let key = Key32::copy_of(&[n; 32]);
                        assert!(key.ct_eq(&[n; 32]) && !key.ct_eq(&[n + 1; 32]));
                    }
                });
            }
        });
    }

    #[test]
    fn a_buffer_keeps_its_content_when_it_moves() {
        let mut buffer = WipedBuffer::with_capacity(2);
        for _ in 0..10 {
            buffer.append(b"abc");
        }
        assert_eq!(buffer.len(), 30);
        assert_eq!(buffer.into_inner().as_slice(), b"abc".repeat(10));
    }

    /// The system's allocator, which counts the blocks that it gets back with anything but zeros in them.
    struct Inspecting<'a>(&'a AtomicUsize);

    // SAFETY: it passes everything on to the system's allocator.
    unsafe impl GlobalAlloc for Inspecting<'_> {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as for the caller.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the test has written all bytes of the block, which has this size until it is freed below.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.0.fetch_add(usize::from(bytes.iter().any(|byte| *byte != 0)), Ordering::Relaxed);
            // SAFETY: as for the caller.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn a_block_is_wiped_before_it_is_freed_or_moved() {
        let unwiped = AtomicUsize::new(0);
        let allocator = WipingAllocator(Inspecting(&unwiped));
        for size in [1, 8, 40, 4096, 1 << 20] {
            let layout = Layout::from_size_align(size, 1).unwrap();
            // SAFETY: the sizes are not zero, every block has the size that it is written with, and each is freed once.
            unsafe {
                let block = allocator.alloc(layout);
                block.write_bytes(7, size);
                let block = allocator.realloc(block, layout, 2 * size);
                assert_eq!(*block.add(size - 1), 7);
                block.write_bytes(7, 2 * size);
                allocator.dealloc(block, Layout::from_size_align(2 * size, 1).unwrap());
                assert_eq!(unwiped.load(Ordering::Relaxed), 0, "{size}");
                // The allocator inside does see what is not wiped.
                let block = allocator.0.alloc(layout);
                block.write_bytes(7, size);
                allocator.0.dealloc(block, layout);
                assert_eq!(unwiped.swap(0, Ordering::Relaxed), 1);
            }
        }
    }

    #[test]
    fn a_key_prints_nothing() {
        assert_eq!(format!("{:?}", Key32::copy_of(&[7; 32])), "[redacted]");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "/proc is the only witness of what the kernel was told")]
    fn keys_and_a_hardened_process_are_left_out_of_core_dumps() {
        let key = Key32::copy_of(&[7; 32]);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = flags_of_mapping(&maps, key.expose().as_ptr().addr());
        assert!(flags.contains(" dd"), "MADV_DONTDUMP is set: {flags}");
        let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
        assert!(flags.contains(" lo") || limit < 1 << 20, "locked, where that is allowed: {flags}");

        harden_process().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert!(soft <= NO_CORE && hard <= NO_CORE, "{soft} of {hard} bytes");
        assert!(!prctl::get_dumpable().unwrap());
        // For the other tests of this process.
        prctl::set_dumpable(true).unwrap();
    }

    /// proc_pid_smaps(5): a line with the bounds starts each mapping, one with its flags ends it.
    fn flags_of_mapping(maps: &str, address: usize) -> &str {
        let mut inside = false;
        for line in maps.lines() {
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                if inside {
                    return flags;
                }
            } else if let Some((start, end)) =
                line.split_once(' ').and_then(|(range, _)| range.split_once('-'))
            {
                let bound = |text| usize::from_str_radix(text, 16).unwrap();
                inside = (bound(start)..bound(end)).contains(&address);
            }
        }
        panic!("the address is in no mapping");
    }
}
