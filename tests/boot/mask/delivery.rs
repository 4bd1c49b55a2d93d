//! Which values are masked, and what that takes: the memory of the filter, the cap, and files only when asked.

use std::fmt::Write as _;
use std::process::Stdio;

use super::super::harness::Site;
use super::super::workload::{Running, exec};
use super::{filter, masked};

/// The most memory that the filter has had, in KiB, without the pages of the program itself, which it shares with the supervisor.
fn peak(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    field("VmHWM:") - field("RssFile:")
}

/// Text that repeats nothing, in lines as those of a PEM file.
fn pem(size: usize) -> String {
    let mut state = 1_u64;
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    while text.len() < size - 27 {
        let line: String = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                        [(state >> 58) as usize],
                )
            })
            .collect();
        text.push_str(&line);
        text.push('\n');
    }
    text.truncate(size - 27);
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

/// A store with these secrets as files, and a place for them.
fn site_of_files(files: &[(&str, &str)]) -> (Site, String, tempfile::TempDir) {
    let site = Site::unlocked();
    for (name, value) in files {
        site.set(name, value, &["--as-file"]).ok();
    }
    let ticket = site.ticket("admin", &[]);
    // The kernel's memory, as files are written nowhere else.
    (site, ticket, tempfile::tempdir_in("/dev/shm").unwrap())
}

#[test]
fn a_value_of_one_mebibyte_takes_at_most_five_of_memory() {
    let value = pem(1 << 20);
    let (site, ticket, folder) = site_of_files(&[("tls-key", &value)]);
    let script = "cat $TLS_KEY_FILE; base64 -w0 $TLS_KEY_FILE; echo; echo done; read x";
    let files = folder.path().to_str().unwrap();
    let arguments =
        ["exec", "--init", "--mask", "--mask-files", "--files-dir", files, "--", "sh", "-c", script];
    let mut command = site.agent_command(&ticket, &arguments, &[]);
    let mut running = Running::start(command.stderr(Stdio::null()));
    assert_eq!((running.line().as_str(), running.line().as_str()), ("***", "done"));
    let peak = peak(filter(running.child.id()));
    assert!(peak <= 1024 + 4 * 1024, "{peak} KiB");
    println!("1 MiB of values: {peak} KiB");
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn little_memory_is_used_for_little() {
    let (_file, mut command) = masked("echo ready; read x");
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "ready");
    let peak = peak(filter(running.child.id()));
    println!("two values: {peak} KiB");
    assert!(peak <= 1024, "{peak} KiB");
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn a_key_in_the_environment_fits_into_a_small_container() {
    let value = pem(100 << 10);
    let file = tempfile::NamedTempFile::new().unwrap();
    let indented: String = value.lines().map(|line| format!("    {line}\n")).collect();
    std::fs::write(file.path(), format!("secrets:\n  pem: |\n{indented}")).unwrap();
    let mut command = exec(&["--init", "--mask"], &["sh", "-c", "echo \"a $PEM b\"; read x"]);
    let mut running = Running::start(command.env("DROPSAFE_CONFIG", file.path()));
    assert_eq!(running.line(), "a *** b");
    let peak = peak(filter(running.child.id()));
    assert!(peak <= 1024 + 4 * 100, "{peak} KiB");
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn many_values_are_masked_up_to_a_cap_and_the_others_are_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut settings = String::from("secrets:\n");
    for n in 0..1003 {
        let _ = writeln!(settings, "  V{n}: 'value-{n:04}-{}'", "x".repeat(n / 50));
    }
    std::fs::write(file.path(), settings).unwrap();
    let script = "echo $V0 $V500 $V999; echo $V1002; echo \"$V1000\" >&2; read x";
    let mut command = exec(&["--init", "--mask"], &["sh", "-c", script]);
    command.env("DROPSAFE_CONFIG", file.path()).env("DROPSAFE_LOG", "warn").stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "*** *** ***");
    assert!(running.line().starts_with("value-1002-"));
    let peak = peak(filter(running.child.id()));
    println!("1000 values: {peak} KiB");
    assert!(peak <= 1024 + 4 * 30, "{peak} KiB");
    running.say("");
    let mut said = String::new();
    let mut errors = running.child.stderr.take().unwrap();
    assert!(running.wait().success());
    std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    assert!(said.contains("--mask does not cover V1000, V1001, V1002"), "{said}");
    assert!(!said.contains("value-0"), "{said}");
}

#[test]
fn files_are_masked_only_when_that_is_asked() {
    let (site, ticket, folder) = site_of_files(&[("api-key", "the-value-of-a-file")]);
    let files = folder.path().to_str().unwrap();
    let run = |flags: &[&str], variables: &[(&str, &str)]| {
        let workload = ["--files-dir", files, "--", "sh", "-c", "cat $API_KEY_FILE"];
        let arguments = [&["exec", "--init", "--mask"], flags, &workload].concat();
        site.agent(&ticket, &arguments, variables).ok().out
    };
    assert_eq!(run(&[], &[]), "the-value-of-a-file");
    assert_eq!(run(&["--mask-files"], &[]), "***");
    assert_eq!(run(&[], &[("DROPSAFE_MASK_FILES", "true")]), "***");
}

#[test]
fn a_pem_file_is_masked_line_by_line() {
    let (_file, mut command) = masked("printf '%s' \"$PEM\" | sed 's/^/  | /'");
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "  | ***\n  | ***\n  | ***\n");
}
