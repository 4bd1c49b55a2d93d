//! A machine that boots under systemd (nspawn): what `boot` leaves, read by systemd itself, and credentials from our socket. Needs
//! root, systemd-nspawn and mmdebstrap.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::environment_file::configuration;
use super::environment_file::values;
use super::place::has;
use super::place::skip;
use super::rootfs;
use super::workload::agent;
use super::workload::ticket;

/// The kept system, where it can be booted.
fn root() -> Option<&'static Path> {
    if !has("systemd-nspawn") {
        skip("a machine under systemd-nspawn (needs root, Debian package systemd-container)");
        return None;
    }
    rootfs::system()
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const UNITS: [(&str, &str); 8] = [
    (
        "boot.service",
        "[Service]\nType=notify\nRemainAfterExit=yes\nEnvironment=DROPSAFE_TICKET_FILE=/etc/dropsafe/ticket\n\
         ExecStart=/usr/bin/dropsafe-agent boot\n",
    ),
    ("answers.socket", "[Socket]\nListenStream=/run/answers.sock\nSocketMode=0600\n"),
    (
        "answers.service",
        "[Service]\nExecStart=/usr/bin/dropsafe-agent credentials\nStandardError=append:/out/answers\n",
    ),
    (
        "known.service",
        "[Unit]\nRequires=boot.service answers.socket\nAfter=boot.service answers.socket\n[Service]\nType=oneshot\n\
         LoadCredential=db-url:/run/answers.sock\nExecStart=/bin/sh -c 'cat $${CREDENTIALS_DIRECTORY}/db-url >/out/known'\n",
    ),
    (
        "unknown.service",
        "[Unit]\nRequires=boot.service answers.socket\nAfter=boot.service answers.socket\n[Service]\nType=oneshot\n\
         LoadCredential=gone:/run/answers.sock\nExecStart=/bin/touch /out/unknown\n",
    ),
    (
        "reads.service",
        "[Unit]\nRequires=boot.service\nAfter=boot.service\n[Service]\nType=oneshot\n\
         EnvironmentFile=/run/dropsafe/env\nExecStart=/bin/sh -c 'cat /proc/self/environ >/out/environ'\n",
    ),
    (
        "all.service",
        "[Service]\nType=oneshot\nExecStart=-/bin/systemctl start known.service\n\
         ExecStart=-/bin/systemctl start unknown.service\nExecStart=-/bin/systemctl start reads.service\n\
         ExecStart=/bin/sh -c 'systemctl show unknown.service -p ExecMainStatus >/out/status; \
         systemctl show boot.service -p StatusText >>/out/status'\nExecStart=/bin/systemctl --no-block poweroff\n",
    ),
    // Its own login prompts are of no use here.
    ("console-getty.service.d/off.conf", "[Unit]\nConditionPathExists=!/out\n"),
];

#[test]
fn systemd_reads_what_was_left_and_a_credential_or_a_failure() {
    let Some(base) = root() else { return };
    let work = tempfile::tempdir().unwrap();
    let (layer, out) = (work.path().join("layer"), work.path().join("out"));
    fs::create_dir_all(&out).unwrap();
    let mut values = values(3000);
    values.insert("db-url".to_owned(), "a\nb".to_owned());
    write(
        layer.join("etc/dropsafe/agent.yaml"),
        &format!("on_outage: start-without\ndeadline: 1ms\n{}", configuration(&values)),
    );
    write(layer.join("etc/dropsafe/ticket"), &ticket());
    write(layer.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
    let system = layer.join("etc/systemd/system");
    UNITS.iter().for_each(|(name, text)| write(system.join(name), text));
    fs::create_dir_all(system.join("multi-user.target.wants")).unwrap();
    symlink("../all.service", system.join("multi-user.target.wants/all.service")).unwrap();
    fs::create_dir_all(layer.join("usr/bin")).unwrap();
    fs::copy(agent(), layer.join("usr/bin/dropsafe-agent")).unwrap();

    // The layer over the kept system, which stays as it is.
    let script = "set -e; mount -t tmpfs none /run; umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; \
        mkdir /run/root; mount -t overlay -o lowerdir=\"$1\":\"$2\" none /run/root; \
        exec timeout -k 5 100 systemd-nspawn -q -D /run/root --boot --register=no --keep-unit --volatile=overlay \
        --bind=\"$3\":/out --console=pipe";
    let console = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([layer.as_path(), base, out.as_path()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let read = |name: &str| {
        fs::read_to_string(out.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}\n{}", String::from_utf8_lossy(&console.stdout)))
    };
    let environ = read("environ");
    let seen: BTreeMap<&str, &str> = environ.split('\0').filter_map(|line| line.split_once('=')).collect();
    let different: Vec<&String> = values
        .keys()
        .filter(|name| name.starts_with('V') && seen.get(name.as_str()) != Some(&values[*name].as_str()))
        .collect();
    assert!(different.is_empty(), "systemd reads something else for {different:?}");
    assert_eq!(read("known"), "a\nb");
    assert!(!out.join("unknown").exists(), "the unit started without its credential");
    assert!(read("answers").contains("unknown.service asks for gone, which this boot did not receive"));
    let status = read("status");
    assert!(status.contains("ExecMainStatus=243\n"), "{status}");
    assert!(status.contains("StatusText=3001 variables and 0 files"), "{status}");
}
