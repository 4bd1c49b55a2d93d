//! What the workload gets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;

use dropsafe::domain::value::Delivery;

use super::store::{Secret, Store, private, referred};
use super::{agent, agent_without_memfds, configuration, run};

#[test]
fn exactly_the_variables_in_scope_and_its_own_layers() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::releasing(vec![private("openai-api-key", "sk-1"), private("NOTE", "two\nlines \"$x\" é")]);
    let yaml = configuration(folder.path(), "secrets: {from-yaml: y, openai-api-key: shadowed}\n");
    std::fs::write(folder.path().join("d.env"), "PORT=80\nLAST=1\n").unwrap();
    let ran = run(agent(["exec", "--config", yaml.to_str().unwrap(), "--", "env", "-0"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .env("DROPSAFE_DEFAULTS_FILE", folder.path().join("d.env"))
        .env("PORT", "81")
        .env("EMPTY", "")
        .env("openai_api_key", "other case"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let mut variables: Vec<&str> = ran.out.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "EMPTY=",
            "FROM_YAML=y",
            "LAST=1",
            "NOTE=two\nlines \"$x\" é",
            "OPENAI_API_KEY=sk-1",
            "PATH=/usr/bin:/bin",
            "PORT=81",
            "openai_api_key=other case",
        ]
    );
}

#[test]
fn inherited_bytes_and_arguments_pass_unchanged() {
    let store = Store::releasing(vec![]);
    let bytes = OsStr::from_bytes(b"\xff\xfe\n");
    let mut command = agent([
        "exec",
        "--",
        "sh",
        "-c",
        "printf %s \"$ODD\"; printf '<%s>' \"$@\"",
        "sh",
        "",
        "a b",
        "--help",
        "*",
    ]);
    let output = command.arg(bytes).env("ODD", bytes).env("DROPSAFE_TICKET", &store.ticket).output().unwrap();
    assert_eq!(output.stdout, [bytes.as_bytes(), b"<><a b><--help><*><", bytes.as_bytes(), b">"].concat());
}

#[test]
fn a_reference_is_requested_and_replaced() {
    let store = Store::releasing(vec![referred("db-url", "postgres://x")]);
    let ran = run(agent(["exec", "--", "sh", "-c", "echo $DATABASE_URL,$DB_URL,$IMAGE"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .env("DROPSAFE_LITERAL", "IMAGE")
        .env("IMAGE", "dropsafe:latest")
        .env("DATABASE_URL", "dropsafe:db-url"));
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("postgres://x,,dropsafe:latest\n", ""));
    let body = &store.requests()[0].body;
    assert_eq!(body["references"], serde_json::json!(["db-url"]));
    // The store judges a value by the name under which the workload receives it.
    assert_eq!(body["referenced_as"], serde_json::json!({ "DATABASE_URL": "db-url" }));
}

#[test]
fn the_request_names_secrets_and_the_machine() {
    let store = Store::releasing(vec![private("need", "x")]);
    let line = [
        "exec",
        "--require",
        "need",
        "--optional",
        "o",
        "--include",
        "i,NEED",
        "--exclude",
        "e",
        "--plugin",
        "@a/b",
    ];
    let ran =
        run(agent(line).args(["--machine", "web-1", "--", "true"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let body = &store.requests()[0].body;
    assert_eq!(body["include"], serde_json::json!(["I", "NEED", "O", "i", "need", "o"]));
    assert_eq!(body["exclude"], serde_json::json!(["e", "E"]));
    assert_eq!(body["plugins"], serde_json::json!(["@a/b"]));
    assert_eq!(body["machine"], "web-1");
    assert!(body["kernel_boot"].is_string() && body["agent"].is_string());
}

#[test]
fn the_workloads_own_status_comes_through() {
    let store = Store::releasing(vec![]);
    for code in [0, 1, 7, 64, 255] {
        let ran =
            run(agent(["exec", "--", "sh", "-c", &format!("exit {code}")])
                .env("DROPSAFE_TICKET", &store.ticket));
        assert_eq!(ran.code, Some(code));
    }
    let killed = agent(["exec", "--", "sh", "-c", "kill -TERM $$"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .output()
        .unwrap();
    assert_eq!(killed.status.signal(), Some(15));
}

/// What `script` says when it is run by a shell, and by a shell that the agent became; `$AGENT` stands for the agent's call.
fn without_and_with_the_agent(script: &str) -> (String, String) {
    let store = Store::releasing(vec![private("A", "1")]);
    let through = format!("{} exec --", env!("CARGO_BIN_EXE_dropsafe-agent"));
    let said = |agent: &str| {
        let mut shell = std::process::Command::new("sh");
        let ran =
            run(shell.args(["-c", &script.replace("$AGENT", agent)]).env("DROPSAFE_TICKET", &store.ticket));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    (said(""), said(&through))
}

#[test]
fn the_process_is_the_same_and_only_its_own_descriptors_are_open() {
    // Descriptor 9 is passed on purpose.
    let (without, with) =
        without_and_with_the_agent("exec 9</dev/null; exec $AGENT sh -c 'ls /proc/$$/fd; exit 0'");
    assert!(without.lines().any(|descriptor| descriptor == "9"));
    assert_eq!(with, without);
    let (_, with) = without_and_with_the_agent("echo $$; exec $AGENT sh -c 'echo $$'");
    let lines: Vec<&str> = with.lines().collect();
    assert_eq!(lines[0], lines[1], "execve keeps the process");
}

#[test]
fn signals_are_as_they_were_and_core_dumps_are_off() {
    let (without, with) = without_and_with_the_agent(
        "exec $AGENT sh -c 'grep -E Sig.Ign\\|SigBlk /proc/self/status; ulimit -c'",
    );
    let lines: Vec<&str> = with.lines().collect();
    assert_eq!(lines[..lines.len() - 1], without.lines().collect::<Vec<_>>()[..lines.len() - 1]);
    assert_eq!(lines.last(), Some(&"0"));
    let (_, with) = without_and_with_the_agent("$AGENT sh -c 'kill -PIPE $$; echo alive'; echo ended");
    assert_eq!(with, "ended\n", "SIGPIPE ends a program");
}

#[test]
fn the_program_is_found_in_the_workloads_own_path() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool-of-the-test");
    std::fs::write(&tool, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let yaml = configuration(folder.path(), &format!("secrets: {{PATH: '{}'}}\n", folder.path().display()));
    let store = Store::releasing(vec![]);
    let ran = run(agent(["exec", "--config", yaml.to_str().unwrap(), "tool-of-the-test"])
        .env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "found\n"), "{}", ran.err);
}

#[test]
fn a_secret_that_is_a_file_is_found_by_its_path() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = Secret { delivery: Delivery::File, value: b"\0\xff key".to_vec(), ..private("tls-key", "") };
    let store = Store::releasing(vec![file.clone()]);
    let output = agent(["exec", "--", "sh", "-c", "cat \"$TLS_KEY_FILE\"; echo ${TLS_KEY-none}"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .env("DROPSAFE_FILES_DIR", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\0\xff keynone\n");

    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ran = run(agent_without_memfds(["exec", "--", "true"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .env("DROPSAFE_FILES_DIR", disk.path()));
    assert_eq!(ran.code, Some(78));
    assert!(ran.err.contains("is not on a tmpfs"), "{}", ran.err);
}

#[test]
fn without_a_tmpfs_a_file_is_a_memfd_that_nobody_can_change() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = |name| Secret { delivery: Delivery::File, value: b"key\n".to_vec(), ..private(name, "") };
    let store = Store::releasing(vec![file("tls-key"), file("other")]);
    let script = "echo $TLS_KEY_FILE $OTHER_FILE; cat $TLS_KEY_FILE $OTHER_FILE $TLS_KEY_FILE; stat -Lc '%a %u' $TLS_KEY_FILE
        (echo x >$TLS_KEY_FILE) 2>/dev/null && echo changed; (: >$TLS_KEY_FILE) 2>/dev/null && echo cut; sh -c 'cat $TLS_KEY_FILE'";
    for user in [&[][..], &["--user", "12345:54321"]] {
        if !user.is_empty() && !nix::unistd::getuid().is_root() {
            continue;
        }
        for init in [&[][..], &["--init"]] {
            let arguments = [&["exec"], init, user, &["--", "sh", "-c", script]].concat();
            let ran = run(agent(arguments)
                .env("DROPSAFE_TICKET", &store.ticket)
                .env("DROPSAFE_FILES_DIR", disk.path()));
            let uid = if user.is_empty() { nix::unistd::getuid().as_raw() } else { 12345 };
            let wanted = format!("/proc/self/fd/100 /proc/self/fd/101\nkey\nkey\nkey\n400 {uid}\nkey\n");
            assert_eq!(ran.out, wanted, "{}", ran.err);
        }
    }
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn the_ticket_file_is_deleted_when_the_boot_succeeds_and_not_before() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket");
    let ran =
        |ticket: &str| {
            std::fs::write(&path, ticket).unwrap();
            run(agent(["exec", "--delete-ticket-file", "--deadline", "1ms", "--ticket-file"])
                .arg(&path)
                .args(["--", "sh", "-c", &format!("test -e {} && echo there", path.display())]))
        };
    assert_eq!(ran(&super::store::nowhere()).code, Some(69));
    assert!(path.exists());
    let store = Store::releasing(vec![]);
    let mut command = agent(["exec", "--delete-ticket-file", "--ticket-file"]);
    std::fs::write(&path, &store.ticket).unwrap();
    let ran = run(command.arg(&path).args(["--", "ls"]).arg(folder.path()));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("other users may read the ticket"), "{}", ran.err);
    assert!(!path.exists());

    // The last step fails: the kernel does not find the interpreter.
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&path, &store.ticket).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let ran = run(agent(["exec", "--delete-ticket-file", "--ticket-file"]).arg(&path).arg("--").arg(&script));
    assert_eq!(ran.code, Some(127), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), store.ticket);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    if nix::unistd::getuid().is_root() {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = agent(["exec", "--delete-ticket-file", "--user", "12345:54321", "--ticket-file"]);
        let ran = run(command.arg(&path).arg("--").arg(&script));
        // That user cannot write it again.
        assert_eq!((ran.code, path.exists()), (Some(127), false), "{}", ran.err);
        assert!(ran.err.contains("put a ticket there before the next start"), "{}", ran.err);
    }
}

#[test]
fn a_supervisor_deletes_the_ticket_file_once_the_workload_runs() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("ticket");
    let store = Store::releasing(vec![]);
    let boot = |flags: &[&str], workload: &[&str]| {
        std::fs::write(&path, &store.ticket).unwrap();
        let mut command = agent(["exec", "--init", "--delete-ticket-file", "--ticket-file"]);
        run(command.arg(&path).args(flags).arg("--").args(workload))
    };
    let waits = format!("while test -e {}; do sleep 0.01; done; echo gone", path.display());
    for flags in [&[][..], &["--mask"]] {
        let ran = boot(flags, &["sh", "-c", &waits]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "gone\n"), "{}", ran.err);
    }
    // One that ends before anybody looks.
    let ran = boot(&[], &["true"]);
    assert_eq!((ran.code, path.exists()), (Some(0), false), "{}", ran.err);

    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let user = ["--user", "12345:54321"];
    let flags = if nix::unistd::getuid().is_root() { &user[..] } else { &[] };
    let ran = boot(flags, &[script.to_str().unwrap()]);
    assert_eq!(ran.code, Some(127), "{}", ran.err);
    assert!(!ran.err.contains("put a ticket there"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), store.ticket);
}

#[test]
fn a_ticket_file_that_is_a_link_is_not_deleted_and_no_use_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("ticket"), folder.path().join("target"));
    let store = Store::releasing(vec![]);
    std::fs::write(&target, &store.ticket).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let mut command = agent(["exec", "--delete-ticket-file", "--ticket-file"]);
    let ran = run(command.arg(&path).args(["--", "true"]));
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("name the file itself"), "{}", ran.err);
    assert!(store.requests().is_empty() && target.exists() && path.exists());
}

#[test]
fn the_store_receives_a_report() {
    let store = Store::releasing(vec![private("A", "1")]);
    let ran = run(agent(["exec", "--", "sleep", "0.2"]).env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!(ran.code, Some(0));
    let requests = store.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].path, format!("/v1/boots/{}/report", super::store::BOOT));
    assert_eq!(requests[1].body["variables"], 2);
    let expected = super::store::response(&[private("A", "1")]).digest;
    assert_eq!(requests[1].body["digest"], expected.to_string());
}
