//! A locked store: the slot is open, the door is not.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use super::harness::{PASSPHRASE, Site, holds_piece, skip};

/// High entropy, so that a match cannot be by chance.
const CANARY: &str = "kQ7vN2xPz8LmW4sT9yRb3HcJ6dFgA1eU5oXiYqZw0VnBtMpKlChDjSrGfEaO";

#[test]
fn deposits_edits_and_deletions_go_on_and_boots_wait_until_their_deadline() {
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
    // What a boot would get can be told without the release key.
    let told = site.agent(&ticket, &["explain", "--json"], &[]).ok();
    assert!(told.out.contains("FIRST"), "{}", told.out);

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
fn the_memory_of_a_locked_server_holds_no_piece_of_a_sealed_deposit() {
    let mut site = Site::new();
    site.serve(&[]);
    for round in 0..20 {
        site.set(&format!("canary-{round}"), CANARY, &[]).ok();
    }
    // What is looked for can be found there: a plain setting is visible to the server by intention.
    let marker = CANARY.chars().rev().collect::<String>();
    site.set("marker", &marker, &["--plain"]).ok();
    assert!(site.cli(&["list", "--json"]).ok().out.contains(&marker));

    let Some(image) = memory_of(site.server_pid()) else {
        return skip("reading another process's memory (needs CAP_SYS_PTRACE)");
    };
    assert!(image.len() > 1 << 20, "only {} bytes were read", image.len());
    if let Some(at) = holds_piece(&image, CANARY.as_bytes()) {
        panic!("a piece of the value is in the server's memory, at offset {at} of the image");
    }
}

/// All readable and writable mappings, one after the other.
pub fn memory_of(pid: u32) -> Option<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut image = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next()?, words.next()?);
        if !mode.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let size = usize::try_from(u64::from_str_radix(to, 16).ok()? - from).ok()?;
        let mut part = vec![0; size];
        memory.seek(SeekFrom::Start(from)).ok()?;
        // Guard pages and the like cannot be read; what can be, must.
        if memory.read_exact(&mut part).is_ok() {
            image.extend_from_slice(&part);
        }
    }
    Some(image)
}
