//! Depositing, finding, changing and deleting secrets; imports.

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
    // A setting stays plain until it is said to be a secret.
    site.set("eu-west-2", &["region"]).ok();
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
    site.run(&["member", "add", "ann"]).ok();
    let ann = site.run(&["token", "new", "--for", "ann"]).ok().out.trim().to_owned();
    site.run_as(&ann, &["set", "only-anns"], b"v").ok();
    site.run(&["show", "only-anns"]).fails(1, &["no secret of that name"]);
    assert!(site.run(&["show", "only-anns", "--owner", "ann"]).ok().out.contains("private (ann)"));
}

#[test]
fn lists_are_narrowed_and_edits_change_what_is_named() {
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
    assert!(said.out.contains("active boots that still hold it: 1\n"), "{}", said.out);
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

    let done = site.run(&["import", "good.env", "--shared"]).ok();
    assert!(done.out.ends_with("stored: 3\n"), "{}", done.out);
    let b = site.run(&["show", "b-b", "--json"]).ok().json();
    assert_eq!(
        (&b["value"], &b["plugin"], &b["scope"]),
        (&"two\nlines".into(), &"mail".into(), &"shared".into())
    );
    let openai = site.run(&["show", "openai-api-key", "--json"]).ok().json();
    assert_eq!(openai["auto_install"], false);

    // One line that cannot be stored, and none is.
    for bad in ["ld-preload=x\n", "OPENAI.API_KEY=x\n", &format!("LARGE={}\n", "x".repeat(65_537))] {
        site.write("bad.env", &format!("FINE=1\n{bad}"));
        site.run(&["import", "bad.env", "--shared"])
            .fails(1, &["nothing is stored: 1 of 2 lines are refused"]);
    }
    assert_eq!(site.run(&["list"]).ok().rows().len(), 3);
    let report = site.run(&["import", "bad.env", "--json"]).fails(1, &[]).json();
    assert_eq!((&report[0]["fate"], &report[1]["fate"]), (&"new".into(), &"refused".into()));

    let told = site.run_as(&site.admin, &["import", "-", "--json"], b"PIPED=x\n").ok().json();
    assert_eq!(told[0]["fate"], "stored");
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
