//! No block of memory is freed with a value in it while a request is parsed, also where no allocator wipes what is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use dropsafe::wire::{CreateSecretRequest, ImportRequest, Object, ReplaceSecretRequest};
use serde::de::DeserializeOwned;

const CANARY: &[u8] = b"canary-4f1d2c";

static UNWIPED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator. It counts the freed blocks that have the canary in them.
struct Inspecting;

// SAFETY: it passes everything on to the system's allocator. `realloc` is the trait's own, which frees the old block.
unsafe impl GlobalAlloc for Inspecting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that `dealloc` reads no uninitialized memory.
        // SAFETY: the caller's promise for `alloc` is what `alloc_zeroed` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is one of `alloc`'s and has this size until it is freed below.
        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
        if bytes.windows(CANARY.len()).any(|window| window == CANARY) {
            UNWIPED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as for the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Inspecting = Inspecting;

/// The blocks that are freed with the canary in them from the parse of `text` until its result is dropped.
fn unwiped<T: DeserializeOwned>(text: &'static str) -> (usize, bool) {
    let before = UNWIPED.load(Ordering::Relaxed);
    let parsed = serde_json::from_str::<Object<T>>(text);
    let accepted = parsed.is_ok();
    drop(parsed);
    (UNWIPED.load(Ordering::Relaxed) - before, accepted)
}

#[test]
fn a_value_leaves_no_copy_behind() {
    // The allocator does see what is not wiped.
    let before = UNWIPED.load(Ordering::Relaxed);
    drop(CANARY.to_vec());
    assert_eq!(UNWIPED.load(Ordering::Relaxed), before + 1);

    let create = unwiped::<CreateSecretRequest>;
    assert_eq!(create(r#"{"name":"X","value":"canary-4f1d2c","plugin":"p"}"#), (0, true));
    assert_eq!(create(r#"{"value":"canary-4f1d2c","name":"X","auto_install":false}"#), (0, true));
    assert_eq!(unwiped::<ReplaceSecretRequest>(r#"{"value":"canary-4f1d2c"}"#), (0, true));
    assert_eq!(unwiped::<ImportRequest>(r#"{"env":"A=canary-4f1d2c"}"#), (0, true));

    for text in [
        r#"{"name":"X","valeu":"canary-4f1d2c"}"#,
        r#"{"valeu":"canary-4f1d2c","name":"X"}"#,
        r#"{"name":"X","plugin":"p","Value":["canary-4f1d2c"]}"#,
        r#"{"name":"X","vaults":{"value":"canary-4f1d2c"}}"#,
        r#"{"name":"X","canary-4f1d2c":"value"}"#,
        r#"{"name":"X","value":"canary-4f1d2c","value":"canary-4f1d2c"}"#,
        r#"{"name":"X","value":"canary-4f1d2c","#,
    ] {
        assert_eq!(create(text), (0, false), "{text}");
        assert!(!unwiped::<ReplaceSecretRequest>(text).1, "{text}");
    }
    assert_eq!(unwiped::<ImportRequest>(r#"{"enw":"A=canary-4f1d2c"}"#), (0, false));
}
