//! What stops a boot. In every case the workload must not have been started.

use dropsafe::domain::digest::Digest;
use dropsafe::domain::value::Delivery;
use dropsafe::wire::Code;

use super::store::{Secret, Store, private, problem, release, response};
use super::{agent, agent_without_memfds, run};

/// Boots a workload that would print `started`. Returns the status and the messages.
fn refused(store: &Store, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = agent(["exec", "--", "echo", "started"]);
    let ran = run(command.env("DROPSAFE_TICKET", &store.ticket).envs(variables.iter().copied()));
    assert_eq!(ran.out, "", "{}", ran.err);
    (ran.code, ran.err)
}

#[test]
fn a_mistyped_program_sends_no_request() {
    let store = Store::releasing(vec![]);
    for (program, code) in
        [("no-such-program", 127), ("/no/such/program", 127), ("/etc/passwd", 126), ("/", 126), ("", 127)]
    {
        let ran = run(agent(["exec", "--", program]).env("DROPSAFE_TICKET", &store.ticket));
        assert_eq!(ran.code, Some(code), "{program}: {}", ran.err);
    }
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn what_the_kernel_cannot_execute_ends_as_in_a_shell() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::releasing(vec![]);
    // A script without `#!` is no such file: /bin/sh runs it.
    for (text, code) in [("\0echo started\n", 126), ("#!/no/such/interpreter\n", 127)] {
        let path = folder.path().join(format!("script-{code}"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ran = run(agent(["exec", "--"]).arg(&path).env("DROPSAFE_TICKET", &store.ticket));
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{}", ran.err);
    }
}

#[test]
fn usage_errors_are_64_and_help_is_0() {
    for (line, code) in
        [(&["exec"][..], 64), (&["--nonsense"], 64), (&[], 64), (&["--help"], 0), (&["--version"], 0)]
    {
        assert_eq!(run(&mut agent(line)).code, Some(code), "{line:?}");
    }
}

#[test]
fn every_fault_of_the_configuration_is_reported_before_any_request() {
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        super::configuration(folder.path(), "deadlin: 5s\non_outage: hunter2\nsecrets: {a: [hunter2]}\n");
    let store = Store::releasing(vec![]);
    let ran = run(agent(["exec", "--log", "hunter2", "--config"])
        .arg(&yaml)
        .args(["--", "true"])
        .env("DROPSAFE_TICKET", &store.ticket)
        .env("DROPSAFE_DEADLINE", "hunter2"));
    assert_eq!(ran.code, Some(78));
    let place = yaml.display();
    for line in [
        format!("dropsafe-agent: {place}:1 deadlin: unknown key; did you mean `deadline`?"),
        format!("dropsafe-agent: {place}:2 on_outage: must be one of fail, cache, start-without"),
        format!("dropsafe-agent: {place}:3 secrets.a: not a single value"),
        "dropsafe-agent: --log: must be one of text, json".to_owned(),
        "dropsafe-agent: DROPSAFE_DEADLINE: not a duration; write for example 500ms, 30s, 5m, 1h30m or 7d"
            .to_owned(),
    ] {
        assert!(ran.err.lines().any(|message| message == line), "{line}\nis missing in\n{}", ran.err);
    }
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn a_bad_ticket_is_reported_and_not_quoted() {
    let store = Store::releasing(vec![]);
    let cut = &store.ticket[..store.ticket.len() - 10];
    for (ticket, message) in
        [("hunter2", "not a boot ticket"), (cut, "cut short"), ("dsm_aaaa", "a token, not a boot ticket")]
    {
        let ran = run(agent(["exec", "--", "true"]).env("DROPSAFE_TICKET", ticket));
        assert_eq!(ran.code, Some(78));
        assert!(ran.err.contains(message) && !ran.err.contains(ticket), "{}", ran.err);
    }
}

#[test]
fn a_ticket_in_the_wrong_place_is_not_repeated() {
    let ticket = Store::releasing(vec![]).ticket;
    for line in
        [&["exec", "--", &ticket][..], &[&ticket], &["exec", &format!("--ticket={ticket}"), "--", "x"]]
    {
        let ran = run(agent(line).env("DROPSAFE_TICKET", &ticket));
        assert!(ran.code != Some(0) && !ran.err.contains(&ticket[..20]), "{}", ran.err);
    }
}

#[test]
fn a_denial_ends_the_boot_at_once() {
    for code in [Code::Unauthorized, Code::Expired, Code::Revoked, Code::TicketSpent, Code::SourceNotAllowed]
    {
        let store = Store::new(move |_, _| problem(code));
        let (status, message) = refused(&store, &[]);
        assert_eq!(status, Some(77), "{message}");
        assert!(message.contains(code.title()), "{message}");
        assert_eq!(store.requests().len(), 1);
    }
    let store = Store::new(|_, _| problem(Code::InvalidRequest));
    assert_eq!(refused(&store, &[]).0, Some(78));
}

#[test]
fn an_incomplete_release_starts_nothing() {
    let secrets = vec![private("A", "1"), private("B", "2")];
    for change in 0..4 {
        let secrets = secrets.clone();
        let store = Store::new(move |_, _| {
            let mut response = response(&secrets);
            match change {
                0 => drop(response.receipt.entries.pop()),
                1 => drop(response.values.pop()),
                2 => response.digest = Digest::from_bytes([0; 32]),
                _ => response.count = 3,
            }
            (200, serde_json::to_string(&response).unwrap())
        });
        let (status, message) = refused(&store, &[]);
        assert_eq!(status, Some(75), "{message}");
    }
}

#[test]
fn every_error_of_the_plan_is_reported() {
    let store = Store::releasing(vec![private("LD_PRELOAD", "/x.so")]);
    let (status, message) =
        refused(&store, &[("A", "dropsafe:gone"), ("B", "dropsafe:off"), ("DROPSAFE_REQUIRE", "NEED")]);
    assert_eq!(status, Some(78));
    for part in [
        "A refers to the secret gone, which is not in scope",
        "B refers to the secret off, which is not auto-installed",
        "the store may not set LD_PRELOAD on this machine",
        "NEED is required and missing",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let ran =
        run(agent(["exec", "--allow-name", "LD_LIBRARY_PATH", "--", "sh", "-c", "echo $LD_LIBRARY_PATH"])
            .env("DROPSAFE_TICKET", &Store::releasing(vec![private("LD_LIBRARY_PATH", "/x")]).ticket));
    assert_eq!(ran.out, "/x\n", "{}", ran.err);
}

#[test]
fn values_that_no_variable_can_hold_are_named() {
    let nul = Secret { value: b"a\0b".to_vec(), delivery: Delivery::Variable, ..private("nul", "") };
    let (status, message) = refused(&Store::releasing(vec![nul]), &[]);
    assert_eq!(status, Some(78));
    assert!(message.contains("a variable cannot hold a NUL byte: NUL"), "{message}");

    let long = "x".repeat(131_072 - "LONG=".len());
    let (status, message) = refused(&Store::releasing(vec![private("long", &long)]), &[]);
    assert_eq!(status, Some(78));
    assert!(
        message.contains("longer than 131071 bytes, name and `=` included: LONG (131072 bytes)"),
        "{message}"
    );
    let fits = &long[1..];
    let ran = run(agent(["exec", "--", "sh", "-c", "echo ${#LONG}"])
        .env("DROPSAFE_TICKET", &Store::releasing(vec![private("long", fits)]).ticket));
    assert_eq!(ran.out, format!("{}\n", fits.len()), "{}", ran.err);
}

#[test]
fn a_too_large_environment_is_reported_and_the_limit_is_the_kernels() {
    const NAMES: [&str; 30] = [
        "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T",
        "U", "V", "W", "X", "Y", "Z", "AA", "AB", "AC", "AD",
    ];
    let value = "x".repeat(100_000);
    let secrets: Vec<Secret> = NAMES.iter().map(|name| private(name, &value)).collect();
    let (status, message) = refused(&Store::releasing(secrets.clone()), &[("SMALL", "1")]);
    // 8 MiB of stack, as everywhere by default, is 2 MiB for these; where it is more, they fit.
    assert_eq!(status, Some(78), "{message}");
    assert!(
        message.contains("the largest are AA (100003 bytes), AB (100003 bytes)")
            && !message.contains("SMALL"),
        "{message}"
    );

    // To the byte: the kernel accepts the largest environment that the agent accepts, and both refuse one byte more.
    let boots = |filling: usize| {
        let secrets: Vec<Secret> = NAMES[..20].iter().map(|name| private(name, &value)).collect();
        let filled = "x".repeat(filling);
        let secrets = [secrets, vec![private("ZZ", &filled)]].concat();
        let store = Store::new(move |_, _| release(&secrets));
        run(agent(["exec", "--", "/bin/true"]).env("DROPSAFE_TICKET", &store.ticket)).code == Some(0)
    };
    let (mut fits, mut not) = (0, 131_000);
    assert!(boots(fits) && !boots(not));
    while not - fits > 1 {
        let middle = usize::midpoint(fits, not);
        if boots(middle) { fits = middle } else { not = middle }
    }
    let direct = |filling: usize| {
        let mut command = std::process::Command::new("/bin/true");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ZZ", "x".repeat(filling));
        command.envs(NAMES[..20].iter().map(|name| (name, &value))).status().is_ok()
    };
    assert!(direct(fits) && !direct(not), "the agent counts otherwise than the kernel: {fits}");
}

#[test]
fn a_local_fault_is_found_before_a_use_is_spent() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let memory = memory.path().to_str().unwrap();
    let exec = |store: &Store, folder: &str, flags: &[&str]| {
        let mut command = agent_without_memfds(["exec"]);
        command.args(flags).args(["--", "true"]);
        run(command.env("DROPSAFE_TICKET", &store.ticket).env("DROPSAFE_FILES_DIR", folder))
    };
    // No file can be created there, and it is no tmpfs. The store is told, and refuses.
    let refusing = Store::new(|_, _| problem(Code::FilesRefused));
    let ran = exec(&refusing, "/proc/sys/kernel", &[]);
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("/proc/sys/kernel"), "{}", ran.err);
    assert_eq!(refusing.requests()[0].body["refuse_files"], true);

    let file = Secret { delivery: Delivery::File, ..private("tls-key", "canary") };
    let store = Store::releasing(vec![private("KEY", "canary"), file]);
    let ran = exec(&store, memory, &["--require", "ABSENT"]);
    assert_eq!((ran.code, store.count("/v1/boot")), (Some(78), 0), "{}", ran.err);
    assert_eq!(exec(&store, memory, &[]).code, Some(0));
    assert_eq!(store.count("/v1/boot/explain"), 1, "one request is enough where nothing depends on it");
    // Where no secret is a file, no place for files is needed.
    let plain = Store::releasing(vec![private("KEY", "canary")]);
    let mut command = agent(["exec", "--", "true"]);
    command.env("DROPSAFE_TICKET", &plain.ticket).env("DROPSAFE_FILES_DIR", "/proc/sys/kernel");
    assert_eq!(run(&mut command).code, Some(0));
}
