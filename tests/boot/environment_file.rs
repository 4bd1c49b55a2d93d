//! What `boot` leaves: read back by shells and the service manager unchanged, readable by nobody else, whole or not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use super::workload::{agent, without_store};

/// `dropsafe-agent boot` with this configuration, into `folder`.
fn boot(folder: &Path, configuration: &str, flags: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), configuration).unwrap();
    let mut command = without_store(Command::new(agent()));
    command.env("DROPSAFE_CONFIG", file.path()).env("DROPSAFE_FILES_DIR", folder);
    command.arg("boot").args(flags).output().unwrap()
}

fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// A `secrets:` map, with whatever YAML might not take written as its number.
pub fn configuration(values: &BTreeMap<String, String>) -> String {
    let mut text = "secrets:\n".to_owned();
    for (name, value) in values {
        write!(text, "  {name}: \"").unwrap();
        for c in value.chars() {
            match c {
                ' '..='!' | '#'..='[' | ']'..='~' => text.push(c),
                c => write!(text, "\\U{:08x}", u32::from(c)).unwrap(),
            }
        }
        text.push_str("\"\n");
    }
    text
}

/// Values of the kinds that formats stumble over, the same at every run.
pub fn values(count: usize) -> BTreeMap<String, String> {
    let pieces = [
        "'",
        "\"",
        "\\",
        "$",
        "`",
        "\n",
        "\r",
        "\t",
        " ",
        "  ",
        "$HOME",
        "${x}",
        "$(id)",
        "`id`",
        "\\n",
        "\\\n",
        "#",
        ";",
        "=",
        "!",
        "*",
        "~",
        "%",
        "&",
        "|",
        "<",
        ">",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "é",
        "\u{1f512}",
        "\u{7f}",
        "\u{1}",
        "\u{1b}[0m",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "a",
        "b",
        "export X=1",
        "\"\n",
        "'\n",
        "0",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    (0..count)
        .map(|n| {
            let length = next(12);
            (format!("V{n:04}"), (0..length).map(|_| pieces[next(pieces.len())]).collect())
        })
        .collect()
}

fn read_by(shell: &str, script: &str, file: &Path) -> Option<BTreeMap<String, String>> {
    let output = Command::new(shell)
        .env_clear()
        .env("PATH", std::env::var_os("PATH")?)
        .env("FILE", file)
        .args(["-c", script])
        .output()
        .ok()?;
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let variables = text.split('\0').filter_map(|line| line.split_once('='));
    Some(variables.filter(|(n, _)| n.starts_with('V')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
}

#[test]
fn shells_read_thousands_of_values_back_unchanged() {
    let folder = memory();
    let values = values(3000);
    let output = boot(folder.path(), &configuration(&values), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for shell in ["sh", "dash", "bash"] {
        if Command::new(shell).args(["-c", ":"]).output().is_err() {
            super::skip(&format!("the environment file read by {shell}"));
            continue;
        }
        for (script, file) in [("set -a; . \"$FILE\"; env -0", "env"), (". \"$FILE\"; env -0", "profile.sh")]
        {
            let read = read_by(shell, script, &folder.path().join(file)).unwrap();
            assert_eq!(read.len(), values.len(), "{shell} {file}");
            assert!(read == values, "{shell} reads something else from {file}");
        }
    }
}

#[test]
fn the_written_file_is_readable_by_its_owner_or_group_only() {
    let folder = memory();
    let inside = folder.path().join("run");
    assert!(boot(&inside, "secrets: {a: b}\n", &[]).status.success());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&inside), 0o700);
    let names = ["env", "profile.sh", "receipt.json"];
    assert!(names.iter().all(|name| mode(&inside.join(name)) == 0o600));
    let mut found: Vec<_> = std::fs::read_dir(&inside).unwrap().map(|e| e.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, names);
    assert!(!std::fs::read_to_string(inside.join("receipt.json")).unwrap().contains("\"b\""));

    let gid = nix::unistd::getgid().to_string();
    assert!(boot(&inside, "secrets: {a: c}\n", &["--file-group", &gid]).status.success());
    assert_eq!(mode(&inside), 0o750);
    assert!(names.iter().all(|name| mode(&inside.join(name)) == 0o640));
    assert_eq!(std::fs::read_to_string(inside.join("env")).unwrap(), "A=\"c\"\n");
}

#[test]
fn a_failed_boot_keeps_the_old_file() {
    let folder = memory();
    assert!(boot(folder.path(), "secrets: {a: b}\n", &[]).status.success());
    let before = std::fs::read(folder.path().join("receipt.json")).unwrap();
    for (flags, code) in [
        (&["--require", "missing"][..], 78),
        (&["--on-outage", "fail"], 69),
        (&["--docker-env", "/dev/shm/dropsafe-nowhere/x"], 78),
    ] {
        let output = boot(folder.path(), "secrets: {a: c}\n", flags);
        assert_eq!(output.status.code(), Some(code), "{flags:?}");
        assert_eq!(std::fs::read(folder.path().join("env")).unwrap(), b"A=\"b\"\n");
        assert_eq!(std::fs::read(folder.path().join("receipt.json")).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}

#[test]
fn a_disk_is_refused_unless_it_is_allowed() {
    let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let folder = disk.path().join("run");
    let output = boot(&folder, "secrets: {a: b}\n", &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(!folder.exists());
    assert!(boot(&folder, "secrets: {a: b}\nallow_disk: true\n", &[]).status.success());
}

#[test]
fn docker_gets_its_file_or_an_error() {
    let folder = memory();
    let file = folder.path().join("docker.env");
    let flags = ["--docker-env", file.to_str().unwrap()];
    let output = boot(folder.path(), "secrets: {a: \"x\\ny\", b: hunter2}\n", &flags);
    assert_eq!(output.status.code(), Some(78));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("hold the values of A") && !message.contains("hunter2"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(boot(folder.path(), "secrets: {a: ' x # ', b: 'q\"'}\n", &flags).status.success());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "A= x # \nB=q\"\n");
}

#[test]
fn the_service_manager_gets_the_status() {
    let folder = memory();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {a: b}\n").unwrap();
    let mut command = without_store(Command::new(agent()));
    command.env("DROPSAFE_CONFIG", &file).env("DROPSAFE_FILES_DIR", folder.path().join("run"));
    command.env("NOTIFY_SOCKET", &path).arg("boot");
    assert!(command.output().unwrap().status.success());
    let mut messages = Vec::new();
    let mut bytes = [0; 1000];
    while messages.len() < 2 {
        let length = socket.recv(&mut bytes).unwrap();
        messages.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
    }
    assert_eq!(messages[0], "STATUS=asking the store");
    assert_eq!(messages[1], "READY=1\nSTATUS=1 variables and 0 files at revision 0, without the store");
}
