//! Deposits, boots and mistypes a canary value, then searches every place that must not contain it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::harness::{Site, bare, feed, holds_piece};
use super::locked::memory_of;

const CANARY: &str = "Zx9Qw3Er7Ty1Ui5Op2As8Df4Gh6Jk0LzXcVbNmQpWoEiRuTyAlSkDjFhG";

fn files_below(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn a_value_is_in_no_file_log_argument_or_process_file() {
    let mut site = Site::unlocked();
    site.set("canary", CANARY, &[]).ok();
    site.set("canary", &format!("{CANARY}{CANARY}"), &[]).ok();
    site.set("canary-shared", CANARY, &["--shared"]).ok();
    let env_file = site.folder.path().join("in.env");
    fs::write(&env_file, format!("IMPORTED={CANARY}\nBROKEN LINE {CANARY}\n")).unwrap();
    let refused = site.cli(&["import", env_file.to_str().unwrap()]);
    assert!(!refused.status.success());
    // Planned by the store, which refuses the second line, and by the client, which refuses the third.
    let long = CANARY.repeat(65_536 / CANARY.len() + 1);
    fs::write(&env_file, format!("IMPORTED={CANARY}\nLD_PRELOAD={CANARY}\nLONG={long}\n")).unwrap();
    let planned = site.cli(&["import", env_file.to_str().unwrap()]);
    assert!(!planned.status.success());
    fs::write(&env_file, format!("IMPORTED={CANARY}\n")).unwrap();
    let imported = site.cli(&["import", env_file.to_str().unwrap()]).ok();
    fs::remove_file(&env_file).unwrap();

    let ticket = site.ticket("admin", &[]);
    let mut command = site.agent_command(&ticket, &["exec", "--", "sleep", "600"], &[]);
    let mut workload = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let name = format!("/proc/{}/comm", workload.id());
    while fs::read_to_string(&name).unwrap().trim() != "sleep" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let given = fs::read(format!("/proc/{}/environ", workload.id())).unwrap();
    assert!(holds_piece(&given, CANARY.as_bytes()).is_some(), "the workload did not receive the value");
    assert!(holds_piece(&given, ticket.as_bytes()).is_none(), "the workload received the ticket");

    // The files of the server's process in /proc.
    let pid = site.server_pid();
    for file in ["cmdline", "environ", "status", "maps", "comm"] {
        let content = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(holds_piece(&content, CANARY.as_bytes()).is_none(), "/proc/{pid}/{file}");
    }
    let arguments = fs::read(format!("/proc/{}/cmdline", workload.id())).unwrap();
    assert!(holds_piece(&arguments, CANARY.as_bytes()).is_none());

    // Responses to bad requests with the value, and the messages of the agent and the command line.
    let mut messages = vec![refused.out, refused.err, planned.out, planned.err, imported.out, imported.err];
    for body in [
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\""),
        format!("{{\"name\":\"x\",\"value\":[\"{CANARY}\"]}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\",\"{CANARY}\":1}}"),
        format!("{{\"name\":\"{CANARY} {CANARY}\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"scope\":\"{CANARY}\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\\ud800\"}}"),
        format!("[\"{CANARY}\"]"),
        format!("\"{CANARY}\""),
        CANARY.to_owned(),
        format!("{{\"name\":\"ld-preload\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"nul\",\"value\":\"{CANARY}\\u0000\"}}"),
    ] {
        let answer = raw_post(&site, "/v1/secrets", &body);
        assert!(answer.starts_with("HTTP/1.1 4"), "{}", answer.lines().next().unwrap_or(""));
        assert!(answer.contains("application/problem+json"), "{answer}");
        messages.push(answer);
    }
    let argv = Site::cli_as(&site, &site.admin, &["set", "x", CANARY], b"");
    assert!(!argv.status.success());
    messages.extend([argv.out, argv.err]);
    let argv = site.cli(&["set", &format!("x={CANARY}")]);
    assert!(!argv.status.success());
    messages.extend([argv.out, argv.err]);
    messages.push(site.cli(&["list", "--json"]).ok().out);
    messages.push(site.cli(&["show", "canary", "--json"]).ok().out);
    messages.push(site.cli(&["audit", "--json"]).ok().out);
    messages.push(site.cli(&["boots", "--json"]).ok().out);
    messages.push(site.agent(&ticket, &["explain", "--json"], &[]).ok().out);
    messages.push(site.agent(&ticket, &["exec", "--", "no-such-program"], &[]).err);
    let loud = site.agent(&ticket, &["exec", "--", "true"], &[("DROPSAFE_LOG", "trace")]).ok();
    messages.push(loud.err);
    for message in &messages {
        assert!(holds_piece(message.as_bytes(), CANARY.as_bytes()).is_none(), "{message}");
    }

    workload.kill().unwrap();
    let output = workload.wait_with_output().unwrap();
    assert!(holds_piece(&output.stderr, CANARY.as_bytes()).is_none());

    // All files: the byte store and its log, the server's log at TRACE, the saved state of clients.
    site.cli(&["status"]).ok();
    for stopped in [false, true] {
        if stopped {
            assert!(site.stop().success());
        }
        let mut files = Vec::new();
        files_below(site.folder.path(), &mut files);
        assert!(files.iter().any(|file| file.ends_with("store.db")), "{files:?}");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(holds_piece(&bytes, CANARY.as_bytes()).is_none(), "{}", file.display());
            assert!(holds_piece(&bytes, b"canary-shared-name").is_none(), "{}", file.display());
        }
    }
}

#[test]
fn names_and_owners_are_invisible_in_the_byte_store() {
    let mut site = Site::unlocked();
    let token = site.member("wilhelmina-the-owner", "member");
    site.set_as(&token, "a-quite-recognizable-name", b"v", &["--plugin", "a-quite-recognizable-plugin"]).ok();
    assert!(site.stop().success());
    let mut files = Vec::new();
    files_below(&site.data(), &mut files);
    for file in files.iter().filter(|file| file.to_string_lossy().contains("store.db")) {
        let bytes = fs::read(file).unwrap();
        for name in [
            "wilhelmina-the-owner",
            "a-quite-recognizable-name",
            "A_QUITE_RECOGNIZABLE_NAME",
            "a-quite-recognizable-plugin",
        ] {
            assert!(holds_piece(&bytes, name.as_bytes()).is_none(), "{name} in {}", file.display());
        }
    }
}

#[test]
fn the_servers_memory_is_not_dumped() {
    let site = Site::unlocked();
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.server_pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    // One byte turns off dumps to programs as well, and no file is as small.
    assert!(core.split_whitespace().filter(|word| ["0", "1"].contains(word)).count() >= 2, "{core}");
    // Proves that the search works: it finds a text in this process's memory.
    let reversed = CANARY.chars().rev().collect::<String>();
    if let Some(image) = memory_of(std::process::id()) {
        assert!(holds_piece(&image, reversed.as_bytes()).is_some(), "the search finds nothing");
    }
    drop(reversed);
}

/// Sends a request with curl, so that no client code checks the body.
fn raw_post(site: &Site, path: &str, body: &str) -> String {
    let socket = site.data().join("dropsafe.sock");
    let mut command = bare("curl", site.folder.path());
    command
        .args(["--silent", "--include", "--max-time", "20", "--unix-socket"])
        .arg(socket)
        .args(["--header", &format!("Authorization: Bearer {}", site.admin)])
        .args(["--header", "Content-Type: application/json", "--data-binary", "@-"])
        .arg(format!("http://localhost{path}"));
    String::from_utf8_lossy(&feed(command, body.as_bytes()).stdout).into_owned()
}
