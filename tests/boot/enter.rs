//! `enter`: what a boot received, without the store; in a container as well, which is played by a PID namespace. Needs root.

use std::process::{Command, Output};

use super::harness::Site;
use super::workload::{Running, agent, within, without_store};

#[test]
fn a_session_gets_the_variables_of_the_boot() {
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

/// Starts a workload as user 12345 in namespaces of its own. Returns how to run something there as root.
fn enter_as_root(workload: &mut Running) -> impl Fn(&[&str]) -> Output {
    assert_eq!(workload.line(), "ready");
    let first = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", workload.pid())).unwrap();
    move |arguments| {
        let mut command = Command::new("nsenter");
        command.args(["--pid", "--mount", "--target", first.trim(), "--", &agent()]);
        command.args(["enter", "--files-dir", "/nonexistent"]).args(arguments).output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn root_becomes_the_workloads_user_and_runs_none_of_its_code() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {token: hunter2}\n").unwrap();
    // What the workload has in its PATH, it may have put there.
    let evil = folder.path().join("bin");
    std::fs::create_dir(&evil).unwrap();
    std::fs::write(
        evil.join("probe"),
        "#!/bin/sh\necho $(id -u) $(id -g) $(id -G) $TOKEN; grep NoNewPrivs /proc/self/status\n",
    )
    .unwrap();
    for path in [evil.clone(), evil.join("probe")] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for init in ["", "--init"] {
        let mut command = without_store(Command::new("unshare"));
        command.env("DROPSAFE_CONFIG", &file);
        command.env("PATH", format!("{}:{}", evil.display(), std::env::var("PATH").unwrap()));
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!(
            "mount -t tmpfs none /run && exec setpriv --no-new-privs \"$0\" exec {init} --user 12345:54321 -- sh -c 'echo ready; read line'"
        ));
        let mut workload = Running::start(command.arg(agent()));
        let enter = enter_as_root(&mut workload);
        assert_eq!(text(&enter(&["--", "probe"])), "12345 54321 54321 hunter2\nNoNewPrivs:\t1\n", "{init}");
        assert_eq!(text(&enter(&["--user", "12345:54321", "--", "id", "-u"])), "12345\n", "{init}");
        for user in ["root", "12346:54321"] {
            let refused = enter(&["--user", user, "--", "probe"]);
            assert!(text(&refused).contains("no other user may enter"), "{init}: {}", text(&refused));
            assert_eq!(refused.status.code(), Some(78));
        }
        assert_eq!(enter(&["--user", "a:b:c", "--", "id"]).status.code(), Some(78));
    }
}

#[test]
fn what_boot_left_is_for_any_user_that_root_names() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("dropping privileges (needs root)");
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "secrets: {token: hunter2}\n").unwrap();
    let mut boot = without_store(Command::new(agent()));
    boot.env("DROPSAFE_CONFIG", &file).env("DROPSAFE_FILES_DIR", folder.path());
    assert!(boot.arg("boot").output().unwrap().status.success());
    let enter = |flags: &[&str]| {
        let mut command = Command::new(agent());
        command.args(["enter", "--files-dir"]).arg(folder.path()).args(flags);
        command.args(["--", "sh", "-c", "echo $(id -u) $TOKEN"]).output().unwrap()
    };
    assert_eq!(text(&enter(&[])), "0 hunter2\n");
    assert_eq!(text(&enter(&["--user", "12345:54321"])), "12345 hunter2\n");
    // What another user can replace is not what this boot received.
    std::os::unix::fs::chown(folder.path(), Some(12345), None).unwrap();
    assert!(!text(&enter(&[])).contains("hunter2"));
}

#[test]
fn a_file_that_is_a_memfd_is_passed_on() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    let mut site = Site::new();
    site.serve_unlocked();
    site.set("tls-key", "the key", &["--as-file"]).ok();
    let ticket = site.ticket("admin", &[]);
    for user in ["root", "12345:54321"] {
        let script = format!(
            "mount -t tmpfs none /run && exec {} exec --files-dir /proc/nowhere --user {user} -- sh -c 'echo ready; read line'",
            agent()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
        let mut workload = Running::start(command.env("DROPSAFE_TICKET", &ticket));
        let enter = enter_as_root(&mut workload);
        let seen = enter(&["--", "sh", "-c", "echo $TLS_KEY_FILE; cat $TLS_KEY_FILE"]);
        assert_eq!(text(&seen), "/proc/self/fd/100\nthe key", "{user}");
    }
}

/// A process that has not become the workload yet has root's rights and the agent's environment, and one that became another user
/// (setuid) has rights that its environment's user does not have.
#[test]
fn nothing_but_a_workload_of_one_user_is_entered() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a PID namespace (needs root)");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ticket = dropsafe::domain::ticket::BootTicket::new(
        vec![format!("http://{}", silent.local_addr().unwrap())],
        None,
        dropsafe::domain::credential::Credential::new(
            dropsafe::domain::credential::CredentialKind::Ticket,
            [1; 16],
            zeroize::Zeroizing::new([2; 32]),
        ),
    );
    let fetching = ticket.unwrap().to_text();
    let mixed = "exec setpriv --ruid 12345 sleep 60";
    for (ticket, workload, refusal) in
        [(Some(fetching.as_str()), "true", "no workload yet"), (None, mixed, "became another user")]
    {
        let mut command = match ticket {
            None => without_store(Command::new("unshare")),
            Some(ticket) => {
                let mut command = Command::new("unshare");
                command.env("DROPSAFE_TICKET", ticket).env("DROPSAFE_DEADLINE", "60s");
                command
            }
        };
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!(
            "mount -t tmpfs none /run && echo ready && exec \"$0\" exec --init -- sh -c '{workload}'"
        ));
        let mut running = Running::start(command.arg(agent()));
        let enter = enter_as_root(&mut running);
        within(std::time::Duration::from_secs(10), || {
            let entered = enter(&["--", "true"]);
            text(&entered).contains(refusal).then_some(())
        });
    }
}
