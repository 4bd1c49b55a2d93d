//! `--user`: the workload is that user and nobody else, for good. Needs root.

use std::process::Command;

use super::workload::{agent, exec, output, without_store};

fn root() -> bool {
    nix::unistd::getuid().is_root() || {
        super::skip("dropping privileges (needs root)");
        false
    }
}

#[test]
fn the_workload_has_the_ids_and_groups_and_no_way_back() {
    if !root() {
        return;
    }
    let script = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status | tr '\\t' ' '; echo $HOME";
    for mode in [&[][..], &["--init"]] {
        let flags = [mode, &["--user", "daemon"]].concat();
        let (text, _) = output(&flags, &["sh", "-c", script]);
        let zeros = "0000000000000000";
        let wanted =
            format!("Uid: 1 1 1 1\nGid: 1 1 1 1\nGroups: 1 \nCapPrm: {zeros}\nCapEff: {zeros}\n/usr/sbin\n");
        assert_eq!(text, wanted, "{flags:?}");
    }
    let (text, _) = output(&["--user", "12345:54321"], &["sh", "-c", "id -u; id -g; id -G"]);
    assert_eq!(text, "12345\n54321\n54321\n");
    let (_, status) = output(&["--user", "daemon"], &["sh", "-c", "kill -0 1 2>/dev/null"]);
    assert!(!status.success());
}

#[test]
fn an_unknown_user_stops_the_boot_and_the_current_user_needs_no_privilege() {
    let unknown = exec(&["--user", "nobody-of-that-name"], &["true"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(78));
    if !root() {
        return;
    }
    let inner = format!("{} exec --user 12345:54321 -- id -u", agent());
    let copy = tempfile::tempdir().unwrap();
    let reachable = copy.path().join("agent");
    std::fs::copy(agent(), &reachable).unwrap();
    std::fs::set_permissions(copy.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let inner = inner.replace(&agent(), reachable.to_str().unwrap());
    let mut setpriv = without_store(Command::new("setpriv"));
    setpriv.args(["--reuid", "12345", "--regid", "54321", "--clear-groups", "sh", "-c"]);
    let output = setpriv.arg(&inner).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "12345\n");
    let other = inner.replace("12345", "12346");
    let mut setpriv = without_store(Command::new("setpriv"));
    setpriv.args(["--reuid", "12345", "--regid", "54321", "--clear-groups", "sh", "-c"]);
    assert_eq!(setpriv.arg(&other).output().unwrap().status.code(), Some(78));
}
