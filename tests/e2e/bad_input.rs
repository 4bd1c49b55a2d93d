//! Each kind of bad input has a message that says what to do, and changes nothing.

use super::harness::{DROPSAFE, Ran, Site, bare, feed};

/// The whole list, to compare before and after.
fn state(site: &Site) -> String {
    site.cli(&["list", "--json"]).ok().out
}

#[test]
fn names_that_cannot_be_used() {
    let site = Site::unlocked();
    site.set("openai-api-key", "v", &[]).ok();
    let before = state(&site);
    for (name, says) in [
        ("", "name"),
        ("123", "letter"),
        ("white space", "name"),
        ("naïve", "name"),
        ("line\nbreak", "name"),
        (&"x".repeat(201), "200"),
    ] {
        let ran = site.set(name, "v", &[]);
        assert!(!ran.status.success(), "{name:?} was accepted");
        assert!(ran.err.contains(says), "{name:?}: {}", ran.err);
    }
    // Two names with one exported name: the error for the second names the first.
    let ran = site.set("OPENAI.api_key", "v", &[]);
    assert!(!ran.status.success());
    assert!(ran.err.contains("OPENAI_API_KEY") && ran.err.contains("openai-api-key"), "{}", ran.err);
    assert_eq!(state(&site), before);
}

#[test]
fn names_that_change_how_programs_run() {
    let site = Site::unlocked();
    let before = state(&site);
    for name in [
        "ld-preload",
        "LD_PRELOAD",
        "ld.library.path",
        "path",
        "node-options",
        "bash_env",
        "dropsafe-ticket",
        "notify-socket",
    ] {
        let ran = site.set(name, "v", &[]);
        assert!(!ran.status.success(), "{name} was accepted");
        assert!(ran.err.contains("refused") || ran.err.contains("refuses"), "{name}: {}", ran.err);
    }
    let ran = site.set("fine", "v", &["--as", "LD_PRELOAD"]);
    assert!(!ran.status.success());
    assert_eq!(state(&site), before);

    // An administrator can allow such a name, and then the machine must allow it too.
    let member = site.member("ann", "member");
    assert!(!site.set_as(&member, "node-options", b"--version", &["--allow-refused"]).status.success());
    site.set("node-options", "--max-old-space-size=64", &["--allow-refused"]).ok();
    let ticket = site.ticket("admin", &[]);
    let ran = site.agent(&ticket, &["exec", "--", "env", "-0"], &[]);
    assert!(!ran.out.contains("NODE_OPTIONS"), "{}", ran.out);
}

#[test]
fn values_that_could_not_be_exported() {
    let site = Site::unlocked();
    let before = state(&site);
    site.set_as(&site.admin, "nul", b"a\0b", &[]).fails(1, &["NUL"]);
    let ran = site.set_as(&site.admin, "utf8", b"a\xffb", &[]);
    assert!(!ran.status.success() && ran.err.contains("UTF-8"), "{}", ran.err);
    let ran = site.set_as(&site.admin, "large", &vec![b'x'; 131_072], &[]);
    assert!(!ran.status.success() && ran.err.contains("131071"), "{}", ran.err);
    let ran = site.set_as(&site.admin, "above-the-ceiling", &vec![b'x'; 65_537], &[]);
    assert!(!ran.status.success() && ran.err.contains("65536"), "{}", ran.err);
    assert_eq!(state(&site), before);

    // One trailing newline is stored as given, with a warning.
    let ran = site.set("newline", "line\n", &[]).ok();
    assert!(ran.err.contains("newline"), "{}", ran.err);
    let ticket = site.ticket("admin", &[]);
    assert_eq!(site.boot(&ticket, &[])["NEWLINE"], "line\n");
}

#[test]
fn odd_values_come_through_unchanged() {
    let site = Site::unlocked();
    let values = [
        "",
        " ",
        "  leading and trailing  ",
        "a\nb\nc",
        "\"quoted\"",
        "$HOME `id` $(id)",
        "\\ \\\\ \\n",
        "é 漢字 🔑",
        "a=b=c",
        "\t\r\n\x0b",
        "'",
        "%s%n",
    ];
    for (at, value) in values.iter().enumerate() {
        site.set(&format!("odd-{at}-x"), value, &[]).ok();
    }
    let seen = site.boot(&site.ticket("admin", &[]), &[]);
    for (at, value) in values.iter().enumerate() {
        assert_eq!(seen[&format!("ODD_{at}_X")], *value, "{at}");
    }
}

#[test]
fn an_environment_that_does_not_fit_names_its_largest_entries() {
    let site = Site::unlocked();
    // The budget of a scope keeps what is deposited below what a machine can be given. The machine's own variables add to it.
    for at in 0..11 {
        site.set_as(&site.admin, &format!("bulk-{at}-x"), &vec![b'x'; 60_000], &[]).ok();
    }
    site.set_as(&site.admin, "biggest-of-all", &vec![b'x'; 65_000], &[]).ok();
    let ticket = site.ticket("admin", &[]);
    let (names, own): (Vec<_>, _) = ((0..25).map(|at| format!("OWN_{at}")).collect(), "x".repeat(60_000));
    let own: Vec<_> = names.iter().map(|name| (name.as_str(), own.as_str())).collect();
    // 37 entries of some 60,000 bytes are more than a quarter of the usual stack limit of 8 MiB.
    let ran = site.agent(&ticket, &["exec", "--", "true"], &own);
    ran.fails(78, &["BIGGEST_OF_ALL", "65"]);
}

#[test]
fn tickets_that_are_damaged() {
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    let run = |ticket: &str| site.agent(ticket, &["exec", "--deadline", "2s", "--", "true"], &[]);
    for end in [4, 10, ticket.len() / 2, ticket.len() - 1] {
        let ran = run(&ticket[..end]).fails(78, &["ticket"]);
        assert!(
            !ran.err.contains(&ticket[..end][4..]) || end <= 6,
            "the message quotes the ticket: {}",
            ran.err
        );
    }
    // One character changed.
    let at = ticket.len() / 2;
    let other = if ticket.as_bytes()[at] == b'a' { "b" } else { "a" };
    run(&format!("{}{other}{}", &ticket[..at], &ticket[at + 1..])).fails(78, &["ticket"]);
    run("").fails(78, &["ticket"]);
    run(&site.admin).fails(78, &["ticket"]);
}

#[test]
fn a_wrong_pin_is_refused_at_once() {
    let mut site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    site.stop();
    // Somebody else's server at the same address.
    let mut other = Site::new();
    other.port = site.port;
    other.serve(&["--listen", &format!("127.0.0.1:{}", site.port)]);
    let began = std::time::Instant::now();
    site.agent(&ticket, &["exec", "--deadline", "30s", "--", "true"], &[]).fails(77, &["pin"]);
    assert!(began.elapsed().as_secs() < 5);
    let ran = site.cli(&["list"]);
    assert!(!ran.status.success() && ran.err.contains("pin"), "{}", ran.err);
}

#[test]
fn every_fault_of_a_configuration_at_once() {
    let site = Site::unlocked();
    let ticket = site.ticket("admin", &[]);
    let config = site.folder.path().join("agent.yaml");
    std::fs::write(&config, "deadlin: 3s\non_outage: perhaps\nrequire: [\"not=ok\"]\n").unwrap();
    let ran = site.agent(
        &ticket,
        &["exec", "--config", config.to_str().unwrap(), "--", "true"],
        &[("DROPSAFE_DEADLINE", "soon")],
    );
    ran.fails(78, &["deadlin", "deadline", "on_outage", "require", "DROPSAFE_DEADLINE", "agent.yaml"]);
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_hints_nothing() {
    let mut site = Site::new();
    let wrong = site.folder.path().join("wrong");
    std::fs::write(&wrong, "not it").unwrap();
    let mut command = site.serve_command(&["--unlock-passphrase-file", wrong.to_str().unwrap()]);
    let status = command.status().unwrap();
    assert!(!status.success());
    assert!(site.log().contains("no key slot opens"), "{}", site.log());
    assert!(!site.log().contains("not it"), "{}", site.log());
    site.serve(&[]);
    let ran = site.cli_as(&site.operator, &["unlock"], b"not it");
    assert!(!ran.status.success() && !ran.err.contains("not it"), "{}", ran.err);
    assert_eq!(site.operator(&["status", "--json"]).ok().json()["locked"], true);
}

#[test]
fn a_value_in_argv_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["set", "name", "value"][..], &["set", "name=value"]] {
        let mut command = bare(DROPSAFE, home.path());
        command.args(arguments);
        let ran = Ran::of(feed(command, b""));
        assert!(!ran.status.success());
        assert!(ran.err.contains("standard input"), "{}", ran.err);
    }
}
