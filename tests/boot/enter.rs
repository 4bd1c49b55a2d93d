//! `enter`: what a boot received, without the store; in a container as well, which is played by a PID namespace. Needs root.

use std::process::Command;

use super::workload::{agent, without_store};

#[test]
fn what_boot_left_is_what_a_session_gets() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {db-url: \"a 'quoted'\\nvalue\"}\n").unwrap();
    let mut boot = without_store(Command::new(agent()));
    boot.env("DROPSAFE_CONFIG", &file).env("DROPSAFE_FILES_DIR", folder.path());
    assert!(boot.arg("boot").output().unwrap().status.success());

    let enter = |flags: &[&str]| {
        let mut enter = Command::new(agent());
        enter
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TERM", "xterm")
            .arg("enter")
            .args(flags);
        enter.args(["--", "sh", "-c", "printf %s \"$DB_URL $TERM\"; exit 5"]).output().unwrap()
    };
    let output = enter(&["--files-dir", folder.path().to_str().unwrap()]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a 'quoted'\nvalue xterm");
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn in_a_container_the_workload_is_found_behind_the_supervisor_and_without_it() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {token: hunter2}\n").unwrap();
    for init in ["", "--init"] {
        // The workload leaves an orphan, then something enters as `docker exec` does: with the container's own variables.
        let script = format!(
            "( ( sleep 60 & ) ); sleep 0.1; env -i PATH=\"$PATH\" TOKEN=dropsafe:token {} enter --files-dir /nonexistent -- sh -c 'echo $TOKEN'",
            agent()
        );
        let mut command = without_store(Command::new("unshare"));
        command.env("DROPSAFE_CONFIG", &file);
        // A namespace of its own for /run too: this machine may be a machine.
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs none /run && exec \"$0\" exec {init} -- sh -c \"$1\""));
        let output = command.arg(agent()).arg(&script).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text, "hunter2\n", "{init}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
