//! The scripts and the data of `systemd/`, `init/` and `examples/`, checked by the tools that read them and against their promises.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::harness::skip;
use super::place::{Folder, files_in, has, run, source, text};

// === scripts

#[test]
fn shells_and_shellcheck_accept_every_script() {
    let scripts = scripts();
    assert!(scripts.len() >= 20, "{scripts:?}");
    let checked = has("shellcheck");
    let refused = |path: &Path| {
        let mut said = String::new();
        for shell in ["sh", "dash", "bash"].into_iter().filter(|shell| has(shell)) {
            said += &run(Command::new(shell).arg("-n").arg(path)).said;
        }
        if checked {
            let ended = run(Command::new("shellcheck").args(["--shell=sh", "--external-sources"]).arg(path));
            said += &ended.said;
        }
        (!said.is_empty()).then_some(said)
    };
    let wrong: Vec<String> = scripts.iter().filter_map(|path| refused(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let folder = Folder::new();
    assert!(refused(&folder.write("wrong", "#!/bin/sh\nif true; then\n")).is_some(), "a wrong script passed");
    if !checked {
        skip("shellcheck (Debian package shellcheck)");
    }
}

#[test]
fn scripts_are_executable() {
    for path in scripts() {
        let interpreted = fs::read_to_string(&path).unwrap().starts_with("#!");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, interpreted, "{}: mode {mode:o}", path.display());
    }
}

#[test]
fn every_file_names_its_destination() {
    // Their formats have no comments: a file beside each says it.
    let silent = ["notification-fd", "type", "vm.json"];
    let words = [
        "oes to ",
        "oes into ",
        "Install to ",
        "Install beside ",
        "Install the folder to ",
        "Pass this file as",
        "uild it in ",
        "Run it where ",
        "Run it by ",
        "dpkg calls it",
        "rom this folder",
        "n this folder",
        "kubectl apply",
        "ive it to ",
    ];
    for path in everything().iter().filter(|path| !silent.iter().any(|name| path.ends_with(name))) {
        let file = fs::read_to_string(path).unwrap();
        let opening: String = file.lines().take(16).filter(|line| line.starts_with('#')).collect();
        assert!(
            words.iter().any(|word| opening.contains(word)),
            "{} does not say where it goes",
            path.display()
        );
    }
}

#[test]
fn a_micro_vms_user_space_is_made_the_same_each_time() {
    if !has("cpio") {
        return skip("the initramfs of a microVM (Debian package cpio)");
    }
    let folder = Folder::new();
    let agent = folder.program("agent", "the agent");
    folder.program("files/app", "the workload");
    let make = |out: &str| {
        let out = folder.join(out);
        let script = source("init/microvm/mkinitramfs");
        let ended = run(Command::new(script).arg(&agent).arg(folder.join("files")).arg(&out));
        assert!(ended.success, "{}", ended.said);
        fs::read(out).unwrap()
    };
    let first = make("first");
    assert_eq!(first, make("second"));
    let list = format!("gzip -dc '{}' | cpio --quiet -tv", folder.join("first").display());
    let list = run(Command::new("sh").args(["-c", &list])).said;
    for line in
        [("-rwxr-xr-x", " init"), ("-rwxr-xr-x", " app"), ("lrwxrwxrwx", " etc/resolv.conf -> /proc/net/pnp")]
    {
        let found = list.lines().any(|listed| listed.starts_with(line.0) && listed.ends_with(line.1));
        assert!(found, "{line:?} is not in\n{list}");
    }
    assert!(list.lines().all(|line| line.contains(" root ")), "{list}");
}

#[test]
fn firecracker_gets_the_ticket_in_a_file_that_goes_away() {
    let folder = Folder::new();
    let firecracker = "#!/bin/sh\nprintf '%s\\n' \"$*\" >arguments\nstat -c %a \"$3\"\ncat \"$3\"\n";
    folder.program("bin/firecracker", firecracker);
    for name in ["start", "vm.json"] {
        folder.program(name, text(&format!("examples/firecracker/{name}")));
    }
    let path = std::env::join_paths(
        std::iter::once(folder.join("bin")).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let ticket = folder.write("ticket", "dst_the&ticket\\1\n");
    fs::create_dir(folder.join("run")).unwrap();
    let mut start = Command::new(folder.join("start"));
    start.env("PATH", path.unwrap()).env("XDG_RUNTIME_DIR", folder.join("run"));
    let ended = run(start.stdin(Stdio::from(fs::File::open(ticket).unwrap())));
    assert!(ended.success && ended.said.starts_with("600\n"), "{}", ended.said);
    assert!(ended.said.contains(" dropsafe.ticket=dst_the&ticket\\1 -- exec /app\""), "{}", ended.said);
    assert!(!fs::read_to_string(folder.join("arguments")).unwrap().contains("dst_"));
    assert_eq!(fs::read_dir(folder.join("run")).unwrap().count(), 0, "the file is still there");
}

// === data

#[test]
fn data_can_be_parsed() {
    // A Python of the user's own may come first and not have the system's modules.
    let imports = |python: &&str| {
        let import = format!("{python} -c 'import yaml'");
        run(Command::new("sh").args(["-c", &import])).success
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(imports) else {
        return skip("parsing YAML (Debian packages python3, python3-yaml)");
    };
    let program = "import json, sys, yaml\n\
        for path in sys.argv[1:]:\n\
        \x20   with open(path) as file:\n\
        \x20       found = [json.load(file)] if path.endswith('.json') else list(yaml.safe_load_all(file))\n\
        \x20   assert found and all(isinstance(document, dict) for document in found), path\n";
    let parse = |files: &[PathBuf]| run(Command::new(python).args(["-c", program]).args(files));
    let mut files = everything();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "yaml" || kind == "json"));
    assert!(files.len() >= 7, "{files:?}");
    let ended = parse(&files);
    assert!(ended.success, "{}", ended.said);
    let folder = Folder::new();
    assert!(!parse(&[folder.write("wrong.yaml", "a: [")]).success, "wrong YAML passed");
}

#[test]
fn compose_accepts_the_example() {
    let file = source("examples/compose.yaml");
    let plugin = has("docker") && run(Command::new("docker").args(["compose", "version"])).success;
    let mut command = match (plugin, has("docker-compose")) {
        (true, _) => Command::new("docker"),
        (false, true) => Command::new("docker-compose"),
        (false, false) => return skip("docker compose (Debian package docker-compose)"),
    };
    if plugin {
        command.arg("compose");
    }
    let ended = run(command.arg("-f").arg(file).arg("config"));
    assert!(ended.success, "{}", ended.said);
    assert!(ended.said.contains("DROPSAFE_TICKET_FILE: /run/secrets/dropsafe_ticket"), "{}", ended.said);
}

#[test]
fn cloud_init_accepts_user_data() {
    // Not installed by `tests/run`, only unpacked: cloud-init takes over the machine that it is installed on.
    let unpacked = std::env::var_os("DROPSAFE_CLOUD_INIT");
    let Some(program) = unpacked.or_else(|| has("cloud-init").then(|| "cloud-init".into())) else {
        return skip("cloud-init schema (Debian package cloud-init, unpacked)");
    };
    let accepted = |path: &Path| run(Command::new(&program).args(["schema", "--config-file"]).arg(path));
    let mut files =
        files_in(&["init/cloud-init", "examples/cloud-init", "examples/gcp-vm", "examples/azure-vm"]);
    files.retain(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    assert!(files.len() >= 5, "{files:?}");
    for path in files {
        let ended = accepted(&path);
        assert!(ended.success, "{}: {}", path.display(), ended.said);
    }
    let folder = Folder::new();
    let wrong = folder.write("wrong.yaml", "#cloud-config\nwrite_files: yes\n");
    assert!(!accepted(&wrong).success, "wrong user-data passed");
}

// === reading

/// All files except those of the demonstration, which has its own test.
fn everything() -> Vec<PathBuf> {
    let mut files = files_in(&["systemd", "init", "examples"]);
    files.retain(|path| !path.starts_with(source("examples/demo")));
    files
}

/// Whatever a shell runs or reads.
fn scripts() -> Vec<PathBuf> {
    let mut files = everything();
    files.retain(|path| {
        let opening = fs::read_to_string(path).unwrap();
        let first = opening.lines().next().unwrap_or_default();
        let by_shell = first.starts_with("#!") && (first.ends_with("/sh") || first.ends_with("/openrc-run"));
        by_shell
            || path.ends_with("openrc/conf.d/workload")
            || path.extension().is_some_and(|kind| kind == "sh")
    });
    files
}
