//! A locked store accepts deposits and releases nothing.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::harness::{PASSPHRASE, Site, holds_piece, skip};

/// High entropy, so that no match is a coincidence.
const CANARY: &str = "kQ7vN2xPz8LmW4sT9yRb3HcJ6dFgA1eU5oXiYqZw0VnBtMpKlChDjSrGfEaO";

#[test]
fn a_locked_store_accepts_changes_and_boots_wait_until_their_deadline() {
    let mut site = Site::new();
    site.serve(&[]);
    site.set("first", "one", &[]).ok();
    site.set("second", "two", &["--shared"]).ok();
    site.set("first", "one again", &[]).ok();
    site.cli(&["edit", "second", "--shared", "--no-install"]).ok();
    site.set("third", "three", &[]).ok();
    site.cli(&["delete", "third", "--yes"]).ok();
    assert_eq!(site.cli(&["list", "--json"]).ok().json().as_array().unwrap().len(), 2);
    assert_eq!(site.operator(&["status", "--json"]).ok().json()["locked"], true);

    let ticket = site.ticket("admin", &[]);
    let began = Instant::now();
    site.agent(&ticket, &["exec", "--deadline", "2s", "--", "true"], &[]).fails(69, &["locked"]);
    assert!(began.elapsed() >= Duration::from_millis(1500), "gave up after {:?}", began.elapsed());
    // `explain` needs no release key.
    let explained = site.agent(&ticket, &["explain", "--json"], &[]).ok();
    assert!(explained.out.contains("FIRST"), "{}", explained.out);

    // A boot that is waiting succeeds once somebody unlocks.
    let waiting = site
        .agent_command(&ticket, &["exec", "--deadline", "60s", "--", "printenv", "FIRST"], &[])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let wrong = site.cli_as(&site.operator, &["unlock"], b"not the passphrase");
    assert!(!wrong.status.success());
    assert!(!wrong.err.contains("not the passphrase"), "{}", wrong.err);
    site.cli_as(&site.operator, &["unlock"], PASSPHRASE.as_bytes()).ok();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"one again\n");

    site.operator(&["lock"]).ok();
    site.agent(&ticket, &["exec", "--deadline", "1s", "--", "true"], &[]).fails(69, &["locked"]);
}

#[test]
fn the_memory_of_a_locked_server_has_no_part_of_a_sealed_deposit() {
    let mut site = Site::new();
    site.serve(&[]);
    for round in 0..20 {
        site.set(&format!("canary-{round}"), CANARY, &[]).ok();
    }
    let Some(image) = memory_of(site.server_pid()) else {
        return skip("reading another process's memory (needs CAP_SYS_PTRACE)");
    };
    assert!(image.len() > 1 << 20, "only {} bytes were read", image.len());
    // Proves that the search works: it finds a copy in this process.
    let copy = CANARY.to_owned();
    let own = memory_of(std::process::id()).unwrap();
    assert!(holds_piece(&own, copy.as_bytes()).is_some(), "the search finds nothing");
    drop(copy);
    if let Some(at) = holds_piece(&image, CANARY.as_bytes()) {
        panic!("a piece of the value is in the server's memory, at offset {at} of the image");
    }
}

/// A writable mapping of a process: its line of /proc/PID/maps, and every page that is in memory or swapped out.
pub struct Mapping {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Returns the content of all writable mappings. An allocator maps far more than it has ever touched.
pub fn memory_of(pid: u32) -> Option<Vec<u8>> {
    mappings_of(pid).map(|mappings| mappings.into_iter().flat_map(|mapping| mapping.bytes).collect())
}

/// Returns the writable mappings.
pub fn mappings_of(pid: u32) -> Option<Vec<Mapping>> {
    const PAGE: u64 = 4096;
    /// Bits of the highest byte of an entry of /proc/PID/pagemap (proc_pid_pagemap(5)).
    const PRESENT_OR_SWAPPED: u8 = 0b1100_0000;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let pages = fs::File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mut mappings = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next()?, words.next()?);
        if !mode.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut entries = vec![0; usize::try_from((to - from) / PAGE * 8).ok()?];
        pages.read_exact_at(&mut entries, from / PAGE * 8).ok()?;
        let mut bytes = Vec::new();
        for (number, entry) in entries.chunks_exact(8).enumerate() {
            // Little-endian: the highest byte is the last.
            if entry[7] & PRESENT_OR_SWAPPED != 0 {
                let mut page = [0; PAGE as usize];
                // A guard page cannot be read.
                if memory.read_exact_at(&mut page, from + number as u64 * PAGE).is_ok() {
                    bytes.extend_from_slice(&page);
                }
            }
        }
        mappings.push(Mapping { name: line.to_owned(), bytes });
    }
    Some(mappings)
}
