//! Depositing, finding, changing and deleting secrets; imports.

use std::io::{Read as _, Write as _};

use super::site::Site;

#[test]
fn a_deposit_is_summarized_and_a_replacement_keeps_the_attributes() {
    let site = Site::unlocked();
    let flags =
        ["openai-api-key", "--shared", "--no-install", "--plugin", "@acme/db", "--category", "api_key"];
    let made = site.set("sk-abcdefghijklmnopqrstuvwxyz0123456789", &flags).ok();
    assert!(
        made.out.starts_with("openai-api-key is exported as OPENAI_API_KEY (shared, new, "),
        "{}",
        made.out
    );
    assert_eq!(made.err, "");

    let replaced = site.set("sk-line\n", &["openai-api-key", "--shared", "--json"]).ok();
    assert_eq!(replaced.err, "warning: openai-api-key: the value ends with a newline, which is kept\n");
    let view = replaced.json();
    assert_eq!((&view["plugin"], &view["category"]), (&"@acme/db".into(), &"api_key".into()));
    assert_eq!(view["auto_install"], false);
    assert!(made.out.contains("version ver_") && !made.out.contains(view["version"].as_str().unwrap()));

    site.set("other", &["openai-api-key", "--shared", "--if-version", "ver_aaaaaaaaaaaaaaaaaaaaaaaaaa"])
        .fails(75, &["has changed"]);
    let version = view["version"].as_str().unwrap();
    site.set("other", &["openai-api-key", "--shared", "--if-version", version]).ok();
    site.set("x", &["not-there", "--if-version", version])
        .fails(75, &["does not exist, so it cannot be replaced"]);
}

#[test]
fn values_come_from_standard_input_or_a_file_and_arrive_unchanged() {
    let site = Site::unlocked();
    site.write("value", "from a file, é\nof two lines");
    site.set("not this one", &["by-file", "--file", "value"]).ok();
    assert_eq!(site.booted("BY_FILE").out, "from a file, é\nof two lines\n");
    site.set("x", &["by-file", "--file", "none"]).fails(66, &["none cannot be read: No such file"]);
    site.set("", &["empty"]).ok();
    assert_eq!(site.booted("EMPTY").out, "\n");
    let large = "x".repeat(65_537);
    site.set(&large, &["large"]).fails(1, &["65537 bytes", "65536", "file"]);
    site.set(&large, &["large", "--as-file"]).ok();
    site.set(&"x".repeat((1 << 20) + 1), &["large", "--as-file"]).fails(1, &["more than 1048576 bytes"]);
}

#[test]
fn a_plain_setting_is_shown_and_a_secret_never() {
    let site = Site::unlocked();
    site.set("eu-west-1", &["region", "--plain"]).ok();
    site.set("hunter2-hunter2", &["password"]).ok();
    assert!(site.run(&["show", "region"]).ok().out.contains("value:        eu-west-1\n"));
    assert!(site.run(&["show", "password"]).ok().out.contains("value:        (write-only)\n"));
    // Whoever made it plain, only the person who sends a value decides that it may be read.
    site.set("eu-west-2", &["region"]).fails(1, &["plain", "nothing was sent", "--plain", "--encrypted"]);
    assert_eq!(site.run(&["show", "REGION", "--json"]).ok().json()["value"], "eu-west-1");
    site.set("eu-west-2", &["region", "--plain"]).ok();
    assert_eq!(site.run(&["show", "REGION", "--json"]).ok().json()["value"], "eu-west-2");
    site.set("eu-west-3", &["region", "--encrypted"]).ok();
    assert!(site.run(&["show", "region", "--json"]).ok().json().get("value").is_none());
    for command in [&["list"][..], &["list", "--json"], &["audit"], &["show", "password", "--json"]] {
        assert!(!site.run(command).ok().out.contains("hunter2"), "{command:?}");
    }
}

#[test]
fn a_name_means_the_private_secret_first() {
    let site = Site::unlocked();
    site.set("s", &["api-key", "--shared"]).ok();
    site.set("p", &["API_KEY"]).ok();
    let scope = |arguments: &[&str]| site.run(arguments).ok().json()["scope"].clone();
    assert_eq!(scope(&["show", "API_KEY", "--json"]), "private");
    assert_eq!(scope(&["show", "API_KEY", "--shared", "--json"]), "shared", "by its exported name");
    assert_eq!(scope(&["show", "api-key", "--json"]), "shared", "a name is not converted to find another");
    let id =
        site.run(&["show", "api-key", "--shared", "--json"]).ok().json()["id"].as_str().unwrap().to_owned();
    assert_eq!(scope(&["show", &id, "--id", "--json"]), "shared");
    site.run(&["delete", "API_KEY", "--yes"]).ok();
    assert_eq!(scope(&["show", "API_KEY", "--json"]), "shared");
    site.run(&["delete", "api-key", "--private"]).fails(1, &["no private secret"]);

    // Another member's private secret is found by its owner's name only.
    let ann = site.member("ann", &[]);
    site.run_as(&ann, &["set", "only-anns"], b"v").ok();
    site.run(&["show", "only-anns"]).fails(1, &["no secret of that name"]);
    assert!(site.run(&["show", "only-anns", "--owner", "ann"]).ok().out.contains("private (ann)"));
}

#[test]
fn lists_are_filtered_and_edits_change_only_the_named_attributes() {
    let site = Site::unlocked();
    site.run(&["list"]).ok();
    assert_eq!(site.run(&["list", "--json"]).ok().out, "[]\n");
    site.set("1", &["alpha", "--shared", "--plugin", "mail"]).ok();
    site.set("2", &["beta", "--category", "db"]).ok();
    let names = |arguments: &[&str]| -> Vec<String> {
        site.run(arguments).ok().rows().iter().map(|row| row[0].to_owned()).collect()
    };
    assert_eq!(names(&["list", "--shared"]), ["alpha"]);
    assert_eq!(names(&["list", "--private"]), ["beta"]);
    assert_eq!(names(&["list", "--plugin", "mail"]), ["alpha"]);
    assert_eq!(names(&["list", "--category", "db"]), ["beta"]);
    assert_eq!(names(&["list", "ALPH"]), ["alpha"]);

    let edited = site
        .run(&["edit", "alpha", "--no-install", "--plugin", "none", "--category", "x", "--json"])
        .ok()
        .json();
    assert_eq!((&edited["auto_install"], &edited["plugin"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(edited["category"], "x");
    let again = site.run(&["edit", "alpha", "--install", "--json"]).ok().json();
    assert_eq!((&again["auto_install"], &again["category"]), (&true.into(), &"x".into()));
    assert_eq!(again["version"], edited["version"]);

    // A description is set, kept by other changes and by a new value, shown, sought, and cleared.
    let described =
        site.run(&["edit", "alpha", "--description", "Live key of the shop", "--json"]).ok().json();
    assert_eq!(
        (&described["description"], &described["category"]),
        (&"Live key of the shop".into(), &"x".into())
    );
    site.set("3", &["alpha", "--shared", "--no-install"]).ok();
    assert!(site.run(&["show", "alpha"]).ok().out.contains("description:  Live key of the shop\n"));
    assert_eq!(names(&["list", "OF THE SHOP"]), ["alpha"]);
    assert!(site.run(&["list"]).ok().out.contains("Live key of the shop"));
    site.run(&["edit", "alpha", "--description", "none"]).ok();
    assert!(names(&["list", "of the shop"]).is_empty());
    site.set("4", &["gamma", "--description", "At its deposit"]).ok();
    assert_eq!(site.run(&["show", "gamma", "--json"]).ok().json()["description"], "At its deposit");
    for too_much in ["x".repeat(201), "two\nlines".to_owned()] {
        site.run(&["edit", "gamma", "--description", &too_much])
            .fails(1, &["--description", "at most 200 characters, all visible"]);
    }
    site.write("d.env", "# dropsafe: description=From a file of lines\nDELTA=5\n");
    site.run(&["import", "d.env"]).ok();
    assert_eq!(names(&["list", "file of lines"]), ["DELTA"]);
}

/// After the wait, the old value can be revoked at its provider.
#[test]
fn a_wait_ends_when_no_running_boot_holds_an_outdated_value() {
    let site = Site::unlocked();
    site.set("1", &["key"]).ok();
    site.booted("KEY").ok();
    site.run(&["boots", "key", "--wait"]).ok();
    // A mistyped name must not look like one that nothing holds.
    site.run(&["boots", "keyy", "--wait"]).fails(1, &["there is no such secret"]);
    site.set("2", &["key"]).ok();
    let waits = ["boots", "KEY", "--wait", "--timeout", "1s"];
    let said = site.run(&waits).fails(75, &["timed out", "1 running boot holds an outdated value"]);
    // It names the boot that nothing else would end.
    let boot = said.out.split_whitespace().find(|word| word.starts_with("boot_")).unwrap();
    site.run(&["boots", "--end", boot]).ok();
    let said = site.run(&waits).ok();
    assert!(said.out.contains("the old value can be revoked"), "{}", said.out);
    let boots = site.run(&["boots", "key"]).ok();
    assert!(boots.out.contains("ended"), "{}", boots.out);
    site.run(&["delete", "key", "--yes"]).ok();
    site.run(&waits).ok();
}

/// By its new name, a wait ended at once although a boot held the value that it had received under the old one.
#[test]
fn a_wait_by_a_new_name_waits_for_boots_that_received_the_old_one() {
    let site = Site::unlocked();
    site.set("1", &["key", "--shared"]).ok();
    site.booted("KEY").ok();
    let replaced = site.set("2", &["key", "--shared", "--as", "NEW_KEY"]).ok();
    let note = "1 running boot still holds an older value; `dropsafe boots key --wait` waits for the end";
    assert!(replaced.err.contains(note), "{}", replaced.err);
    site.write("new.env", "key=3\n");
    let imported = site.run(&["import", "--shared", "new.env"]).ok();
    assert!(imported.err.contains("`dropsafe stats` counts them"), "{}", imported.err);
    let waits = |name| ["boots", name, "--wait", "--timeout", "1s"].to_vec();
    for name in ["key", "KEY", "NEW_KEY"] {
        site.run(&waits(name)).fails(75, &["1 running boot holds an outdated value"]);
        assert_eq!(site.run(&["boots", name]).ok().rows().len(), 1, "{name}");
    }
    let stats = site.run(&["stats"]).ok();
    assert!(stats.out.contains("outdated boots:   1\n") && stats.out.contains("NEW_KEY"), "{}", stats.out);
    // The old name passes to another secret.
    site.set("3", &["KEY", "--shared"]).ok();
    let said = site.run(&waits("KEY")).fails(75, &["several secrets have or had the name KEY"]);
    assert_eq!(said.out.matches("sec_").count(), 2, "{}", said.out);
    let boots = site.run(&["boots", "NEW_KEY"]).ok();
    site.run(&["boots", "--end", boots.rows()[0][0]]).ok();
    site.run(&waits("KEY")).ok();
}

/// Of a deleted secret, only the boots that received it say its names. One that has ended knows the other's name.
#[test]
fn a_wait_for_a_deleted_secret_waits_for_boots_that_received_it_under_another_name() {
    let site = Site::unlocked();
    site.set("1", &["key", "--shared", "--as", "OLD_KEY"]).ok();
    site.booted("OLD_KEY").ok();
    site.set("1", &["key", "--shared", "--as", "NEW_KEY"]).ok();
    site.booted("NEW_KEY").ok();
    let boots = site.run(&["boots"]).ok();
    let (newer, older) = (boots.rows()[0][0], boots.rows()[1][0]);
    site.run(&["boots", "--end", newer]).ok();
    site.run(&["delete", "key", "--shared", "--yes"]).ok();
    let waits = ["boots", "NEW_KEY", "--wait", "--timeout", "1s"];
    site.run(&waits).fails(75, &["1 running boot holds an outdated value"]);
    site.run(&["boots", "--end", older]).ok();
    site.run(&waits).ok();
}

/// A store that still indexes boots of an older version knows no secret of the name yet, and boots hold it all the same.
#[test]
fn a_wait_does_not_end_while_boots_are_still_counted() {
    let counts = |incomplete, outdated: u32, secrets: &str| {
        format!(
            r#"{{"secrets":[{secrets}],"current":0,"outdated":{outdated},"without_end":0,"last_lifetime_end":null,"lapsed":0,
            "incomplete":{incomplete},"at":"2026-01-01T00:00:00Z","items":[]}}"#
        )
    };
    let secret =
        r#"{"id":"sec_aaaaaaaaaaaaaaaaaaaaaaaaaa","name":"key","env":"KEY","scope":"shared","deleted":true}"#;
    let answers = [counts(true, 0, ""), counts(false, 1, secret)];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        // The last answer again and again.
        for body in answers.iter().chain(std::iter::repeat(&answers[1])) {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
            let _ = write!(stream, "{head}content-length: {length}\r\n\r\n{body}");
        }
    });
    let site = Site::unlocked();
    let waited = site.run_at(&url, &["boots", "key", "--wait", "--timeout", "3s"]);
    waited.fails(75, &["timed out", "1 running boot holds an outdated value"]);
}

#[test]
fn a_deletion_names_the_boots_that_still_hold_it() {
    let site = Site::unlocked();
    site.set("v", &["going"]).ok();
    let nobody = site.set("v", &["unused"]).ok();
    assert!(nobody.out.contains("unused"));
    site.run(&["delete", "unused", "--yes"]).ok();
    site.booted("GOING").ok();
    let said = site.run(&["delete", "going"]).ok();
    assert!(said.out.starts_with("deleted going, exported as GOING, private (admin)\n"), "{}", said.out);
    assert!(said.out.contains("running boots that still hold it: 1\n"), "{}", said.out);
    let boots = site.run(&["boots", "going"]).ok();
    assert_eq!(boots.rows().len(), 1);
    assert!(boots.out.contains("replaced or deleted"), "{}", boots.out);
    assert!(site.run(&["boots"]).ok().rows()[0].ends_with(&["GOING"]));
    assert_eq!(site.run(&["boots", "never-was", "--json"]).ok().out, "[]\n");
}

#[test]
fn an_import_stores_all_of_a_file_or_nothing() {
    let site = Site::unlocked();
    site.set("old", &["openai-api-key", "--shared"]).ok();
    let file =
        "A=1\n# dropsafe: plain plugin=mail\nb-b='two\nlines'\n# dropsafe: no-install\nopenai-api-key=new\n";
    site.write("good.env", file);
    let plan = site.run(&["import", "good.env", "--shared", "--dry-run"]).ok();
    let fates: Vec<_> = plan.rows().iter().map(|row| (row[1].to_owned(), row[3].to_owned())).collect();
    let expected = [("A", "new"), ("b-b", "new"), ("openai-api-key", "replaces")];
    assert_eq!(fates, expected.map(|(name, fate)| (name.to_owned(), fate.to_owned())));
    assert_eq!(site.run(&["list"]).ok().rows().len(), 1);

    let imported = site.run(&["import", "good.env", "--shared"]).ok();
    assert!(imported.out.ends_with("stored: 3\n"), "{}", imported.out);
    let b = site.run(&["show", "b-b", "--json"]).ok().json();
    assert_eq!(
        (&b["value"], &b["plugin"], &b["scope"]),
        (&"two\nlines".into(), &"mail".into(), &"shared".into())
    );
    let openai = site.run(&["show", "openai-api-key", "--json"]).ok().json();
    assert_eq!(openai["auto_install"], false);

    // Again: nothing is left to do, and what is changed is replaced.
    let again = site.run(&["import", "good.env", "--shared"]).ok();
    assert!(again.out.ends_with("stored: 0, unchanged: 3\n"), "{}", again.out);
    site.write(
        "good.env",
        &file.replace("=new", "=newer").replace("A=1", "# dropsafe: category=custom\nA=1"),
    );
    let plan = site.run(&["import", "good.env", "--shared", "--dry-run", "--json"]).ok().json();
    assert_eq!((&plan[0]["fate"], &plan[2]["fate"]), (&"replaces".into(), &"replaces".into()));
    let before = openai["version"].clone();
    assert_eq!(site.run(&["show", "openai-api-key", "--json"]).ok().json()["version"], before);

    // One line that cannot be stored, and none is.
    for bad in ["ld-preload=x\n", "OPENAI.API_KEY=x\n", &format!("LARGE={}\n", "x".repeat(65_537))] {
        site.write("bad.env", &format!("FINE=1\n{bad}"));
        site.run(&["import", "bad.env", "--shared"])
            .fails(1, &["nothing is stored: 1 of 2 lines are refused"]);
    }
    assert_eq!(site.run(&["list"]).ok().rows().len(), 3);
    let report = site.run(&["import", "bad.env", "--json"]).fails(1, &[]).json();
    assert_eq!((&report[0]["fate"], &report[1]["fate"]), (&"new".into(), &"refused".into()));

    let lines = site.run_as(&site.admin, &["import", "-", "--json"], b"PIPED=x\n").ok().json();
    assert_eq!(lines[0]["fate"], "stored");

    // A line that the store refuses shows nothing of its value, and neither does one that the client refuses.
    site.write("bad.env", "LD_PRELOAD=canary-1\nBIG='canary-2\0'\n");
    let refused = site.run(&["import", "bad.env"]);
    assert!(!format!("{}{}", refused.out, refused.err).contains("canary"));
}

#[test]
fn a_closed_pipe_is_no_failure_unless_a_token_is_lost() {
    let site = Site::unlocked();
    site.set("v", &["some"]).ok();
    for (arguments, code, says) in [
        (&["list", "--json"][..], 0, ""),
        (&["status"], 0, ""),
        (&["ticket", "new"], 1, "revoke it"),
        (&["token", "new"], 1, "revoke it"),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.client(&site.admin, arguments).stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says) && (code != 0 || err.is_empty()), "{arguments:?}: {err}");
    }
}
