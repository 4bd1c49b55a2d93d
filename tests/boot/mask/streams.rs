//! Output of every shape, and readers that pause or leave. Nothing is lost, and nobody waits for longer than without the filter.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::skip;
use super::super::supervise::writable;
use super::super::workload::{Running, exec, within};
use super::{VALUE, filter, masked, printed};

/// The processor time in ticks, and how often the process has waited.
fn activity(pid: i32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let waited = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap(), waited.trim().parse().unwrap())
}

/// Asserts that a process does nothing for a while.
#[track_caller]
fn rests(pid: i32) {
    // What it was woken for may still be under way.
    std::thread::sleep(Duration::from_millis(100));
    let before = activity(pid);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(activity(pid), before, "ticks and waits");
}

#[test]
fn a_prompt_that_is_the_beginning_of_a_value_is_shown_and_the_rest_of_the_value_is_not() {
    // Without the prompt, the workload goes on after five seconds.
    let (_file, mut command) =
        masked("printf 'login: hunter'; read -t 5 x; printf '%s' \"${TOKEN:6}\"; echo; read x");
    let mut running = Running::start(&mut command);
    let started = Instant::now();
    assert_eq!(running.bytes(13), b"login: hunter");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    rests(filter(running.child.id()));
    running.say("");
    assert_eq!(running.line(), "***");
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn a_paused_reader_loses_nothing_and_the_other_stream_goes_on() {
    // More than all pipes and buffers hold.
    let script = "( yes 12345678 | head -n 100000; echo \"$TOKEN\" ) & \
                  sleep 0.5; echo \"error $TOKEN\" >&2; wait; echo end >&2";
    let (_file, mut command) = masked(script);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let (said, heard) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while errors.read_line(&mut line).unwrap() > 0 {
            said.send(std::mem::take(&mut line)).unwrap();
        }
    });
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("error ***\n"));
    rests(filter(child.id()));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out.len(), 100_000 * 9 + "***\n".len());
    assert!(out.ends_with("12345678\n***\n"));
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("end\n"));
    assert!(child.wait().unwrap().success());
    reader.join().unwrap();
}

#[test]
fn a_reader_that_pauses_beyond_the_end_of_the_workload_still_gets_everything() {
    // It fits into the pipes and the filter, so that the workload ends at once.
    let (_file, mut command) = masked("yes 12345678 | head -n 12000; echo \"$TOKEN\"; exit 5");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Longer than the grace period, and than the least that the filter has in any case.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(child.try_wait().unwrap().is_none(), "the output was not waited for");
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out.len(), 12_000 * 9 + "***\n".len());
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn whoever_ends_the_container_does_not_wait_for_a_paused_reader() {
    let (_file, mut command) = masked("yes 12345678 | head -n 12000; exit 5");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let filter = filter(child.id()).to_string();
    within(Duration::from_secs(10), || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        (children.trim() == filter).then_some(())
    });
    let started = Instant::now();
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn single_bytes_are_put_together() {
    let (out, _, code) = printed("printf 'a %s b' \"$TOKEN\" | dd bs=1 status=none; exit 3");
    assert_eq!((out.as_str(), code), ("a *** b", Some(3)));
}

#[test]
fn one_line_of_many_megabytes_is_masked() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' h; printf '%s' \"$TOKEN\"; head -c 5000000 /dev/zero | tr '\\0' h";
    let (out, ..) = printed(script);
    assert_eq!(out.len(), 25_000_000 + 3);
    assert_eq!(&out[19_999_998..20_000_005], "hh***hh");
}

#[test]
fn binary_output_is_passed_on_as_it_is() {
    let mut bytes = vec![0_u8; 5_000_000];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for byte in &mut bytes {
        // xorshift64 (Marsaglia, Xorshift RNGs, 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    // Beginnings of the value that do not go on.
    for at in (0..bytes.len() - 100).step_by(9973) {
        let length = at % VALUE.len();
        bytes[at..at + length].copy_from_slice(&VALUE.as_bytes()[..length]);
    }
    let data = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(data.path(), &bytes).unwrap();
    let (_file, mut command) = masked(&format!("cat {}", data.path().display()));
    let output = command.output().unwrap();
    assert!(output.stdout == bytes, "{} of {} bytes", output.stdout.len(), bytes.len());
}

#[test]
fn what_was_printed_does_not_stay_in_the_filter() {
    if !nix::unistd::getuid().is_root() {
        return skip("reading another process's memory (needs root)");
    }
    let printed = "a line that the workload has printed, and that is no secret";
    // Not in the command line, which the filter has too.
    let (_file, mut command) = masked("read line; echo \"$line\"; echo \"$TOKEN\"; read x");
    let mut running = Running::start(&mut command);
    running.say(printed);
    assert_eq!((running.line().as_str(), running.line().as_str()), (printed, "***"));
    let filter = filter(running.child.id());
    // What was written is wiped right after the reader has it.
    std::thread::sleep(Duration::from_millis(200));
    let memory = writable(filter);
    let copies = |text: &str| memory.iter().map(|memory| count(memory, text.as_bytes())).sum::<usize>();
    assert_eq!((copies(VALUE), copies(&printed[..16]), copies(&printed[30..])), (1, 0, 0));
    running.say("");
    assert!(running.wait().success());
}

fn count(memory: &[u8], value: &[u8]) -> usize {
    memory.windows(value.len()).filter(|window| *window == value).count()
}

#[test]
fn the_workloads_user_can_open_its_output_again() {
    if !nix::unistd::getuid().is_root() {
        return skip("dropping privileges (needs root)");
    }
    let script = "echo one > /dev/stdout; echo two > /proc/self/fd/1; echo three > /dev/stderr";
    let output = exec(&["--init", "--mask", "--user", "daemon"], &["sh", "-c", script]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!((text(output.stdout), text(output.stderr)), ("one\ntwo\n".into(), "three\n".into()));
}

#[test]
fn a_full_disk_does_not_end_the_workload() {
    if !std::path::Path::new("/dev/full").exists() {
        return skip("a full device (there is no /dev/full)");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_file, mut command) = masked("echo lost; sleep 0.3; echo lost; echo kept >&2; exit 4");
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.stderr.as_slice(), output.status.code()), (&b"kept\n"[..], Some(4)));
}
