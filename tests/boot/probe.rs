//! `probe.c`, built once: a static program that can be the workload where there is nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::place::source;

/// The program; `None` where there is no compiler with a static C library.
pub fn probe() -> Option<&'static Path> {
    static PROBE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROBE.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{}", std::process::id()));
    let built = ["cc", "musl-gcc"].into_iter().any(|compiler| {
        let built = Command::new(compiler)
            .args(["-static", "-O1", "-o"])
            .arg(&out)
            .arg(source("tests/boot/probe.c"))
            .status();
        built.is_ok_and(|status| status.success())
    });
    let cached = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
    // The same program each time: one name for all, in place of an earlier one whole.
    (built && std::fs::rename(&out, &cached).is_ok()).then_some(cached)
}
