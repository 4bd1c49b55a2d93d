//! The agent as it is shipped: its dependency tree and its binary.

use std::process::Command;

/// 3.25 MiB. The aim is 4 MiB with every kind of identity.
const MAX_BYTES: u64 = 13 * 256 * 1024;

/// Crates of the store, none of which may be in the agent's own build.
const STORE_ONLY: &[&str] = &[
    "argon2",
    "askama",
    "aws-lc-rs",
    "aws-lc-sys",
    "axum",
    "clap_complete",
    "clap_mangen",
    "etcd-client",
    "hpke",
    "indicatif",
    "jsonwebtoken",
    "libsqlite3-sys",
    "openidconnect",
    "rcgen",
    "rpassword",
    "rusqlite",
    "tonic",
    "tower",
    "utoipa",
];

#[test]
fn no_server_crate_is_in_the_agents_tree() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--no-default-features", "--features", "agent", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--target", "x86_64-unknown-linux-musl"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"rustls"), "the tree was not read:\n{tree}");
    let found: Vec<_> = STORE_ONLY.iter().filter(|name| crates.contains(name)).collect();
    assert!(found.is_empty(), "the agent's tree holds {found:?}");
}

#[test]
fn the_shipped_agent_is_static_stripped_and_small() {
    // Set by tests/run, which builds it; a plain `cargo test` has not built it.
    let Some(path) = std::env::var_os("DROPSAFE_STATIC_AGENT") else {
        assert!(std::env::var_os("DROPSAFE_REQUIRE_ALL").is_none(), "DROPSAFE_STATIC_AGENT is not set");
        return;
    };
    let binary = std::fs::read(&path).unwrap();
    assert!(binary.len() as u64 <= MAX_BYTES, "the agent has {} bytes, more than {MAX_BYTES}", binary.len());

    let elf = Elf::read(&binary);
    assert!(!elf.segments.contains(&Elf::INTERP), "the agent asks for a dynamic loader");
    assert!(!elf.has_symbol_table, "the agent is not stripped");
}

/// As much of the ELF-64 header tables (System V gABI chapters 4 and 5) as the test asks about.
struct Elf {
    segments: Vec<u32>,
    has_symbol_table: bool,
}

impl Elf {
    const INTERP: u32 = 3;
    const SYMTAB: u32 = 2;

    fn read(bytes: &[u8]) -> Self {
        assert_eq!(&bytes[..5], b"\x7fELF\x02", "not an ELF-64 file");
        let u16_at = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at =
            |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
        let (program, section) = (u64_at(0x20), u64_at(0x28));
        let segments = (0..u16_at(0x38)).map(|i| u32_at(program + i * u16_at(0x36))).collect();
        let has_symbol_table =
            (0..u16_at(0x3c)).any(|i| u32_at(section + i * u16_at(0x3a) + 4) == Self::SYMTAB);
        Self { segments, has_symbol_table }
    }
}
