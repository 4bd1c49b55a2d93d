//! Plugins, categories, presets and statistics; and a list too long for a pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::site::Site;

#[test]
fn a_plugin_is_declared_filled_disabled_and_removed() {
    let site = Site::unlocked();
    let declare =
        ["plugin", "set", "@acme/db", "--title", "Database", "--required", "db-url", "--optional", "LOG"];
    let made = site.run(&declare).ok();
    assert_eq!(made.out, "@acme/db is declared\n");
    assert_eq!(made.err, "missing: DB_URL; to deposit it: dropsafe set db-url\n");
    let listed = site.run(&["plugin", "list"]).ok();
    let columns = ["@acme/db", "Database", "enabled", "1", "and", "1", "optional", "0", "DB_URL"];
    assert_eq!(listed.rows(), [columns.to_vec()]);
    site.set("v", &["DB_URL", "--plugin", "@acme/db"]).ok();
    let plugin = site.run(&["plugin", "show", "@acme/db"]).ok();
    assert!(plugin.out.contains("db-url  DB_URL       yes       private\n"), "{}", plugin.out);
    assert!(plugin.out.contains("LOG     LOG          no        missing\n"), "{}", plugin.out);
    site.booted("DB_URL").ok();
    assert_eq!(site.run(&["plugin", "disable", "@acme/db"]).ok().out, "@acme/db is disabled\n");
    site.booted("DB_URL").fails(1, &[]);
    let json = site.run(&["plugin", "show", "@acme/db", "--json"]).ok().json();
    assert_eq!((&json["enabled"], &json["missing"]), (&false.into(), &serde_json::json!([])));
    site.run(&["plugin", "enable", "@acme/db"]).ok();
    site.booted("DB_URL").ok();
    assert_eq!(site.run(&["plugin", "remove", "@acme/db"]).ok().out, "removed @acme/db\n");
    assert!(site.run(&["plugin", "list"]).ok().out.contains("not declared"));
    site.run(&["plugin", "enable", "@acme/db"]).fails(1, &["no such plugin"]);
}

#[test]
fn categories_are_listed_declared_and_removed() {
    let site = Site::unlocked();
    site.set("v", &["a", "--category", "payments"]).ok();
    let set =
        ["category", "set", "payments", "--title", "Payments", "--colour", "teal", "--description", "Money"];
    assert_eq!(site.run(&set).ok().out, "payments is declared: Payments\n");
    let listed = site.run(&["category", "list"]).ok();
    let rows = listed.rows();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0][..4], ["deploy_credential", "Deploy", "Credentials", "indigo"]);
    assert_eq!(rows[5], ["payments", "Payments", "teal", "1", "Money"]);
    site.run(&["category", "set", "x", "--title", "X", "--colour", "plaid"]).fails(1, &["a colour"]);
    site.run(&["category", "remove", "payments"]).ok();
    assert_eq!(site.run(&["show", "a", "--json"]).ok().json()["category"], "payments");
    site.run(&["category", "remove", "custom"]).fails(1, &["a built-in category cannot be removed"]);
}

#[test]
fn presets_are_shown_and_filled_in_from_standard_input() {
    let site = Site::unlocked();
    let listed = site.run(&["preset", "list"]).ok();
    assert_eq!(listed.rows().len(), 16);
    assert!(listed.out.contains("access_key_id secret_access_key region?\n"), "{}", listed.out);
    let preset = site.run(&["preset", "show", "stripe"]).ok();
    assert!(preset.out.contains("skill:stripe:webhook_secret"), "{}", preset.out);
    site.run(&["preset", "show", "nothing"]).fails(1, &["no such preset", "preset list"]);

    let keys = "access_key_id=AKIAIOSFODNN7EXAMPLE\nsecret_access_key='canary/1+2'\nregion=eu-central-1\n";
    let result = site.set(keys, &["--preset", "aws"]).ok();
    assert_eq!(result.out.lines().count(), 3);
    assert!(result.out.contains("skill:aws:region is exported as SKILL_AWS_REGION (private, new, plain, "));
    assert_eq!((result.err.as_str(), result.out.contains("canary")), ("", false));
    assert_eq!(site.booted("SKILL_AWS_SECRET_ACCESS_KEY").out, "canary/1+2\n");
    let secret = site.run(&["show", "skill:aws:access_key_id", "--json"]).ok().json();
    assert_eq!((&secret["category"], &secret["type"]), (&"cloud_storage".into(), &"encrypted".into()));

    // An optional field may be left out, one that is needed may not; and then nothing is stored.
    let preset = ["--preset", "stripe", "--usual-names", "--shared"];
    site.set("access_token=sk_live_1\n", &preset).ok();
    site.booted("STRIPE_SECRET_KEY").ok();
    let replaced = site.set("access_token=sk_live_2\n", &preset).ok();
    assert!(replaced.err.contains("1 running boot still holds an older value"), "{}", replaced.err);
    assert_eq!(site.booted("STRIPE_SECRET_KEY").out, "sk_live_2\n");
    site.set("account_sid=AC1\n", &["--preset", "twilio"])
        .fails(1, &["nothing is stored: twilio needs auth_token"]);
    let wrong = site.set("account_sid=AC1\ncanary=canary\n", &["--preset", "twilio"]);
    let wrong = wrong.fails(1, &["line 2: unknown field; the fields are account_sid, auth_token"]);
    assert!(!wrong.err.contains("canary"));
    assert!(!site.run(&["list"]).ok().out.contains("twilio"));

    let odd = site.set("access_token=nonsense\n", &["--preset", "openai"]).ok();
    let warning = "warning: skill:openai:access_token: values of this name usually begin with sk-\n";
    assert_eq!(odd.err, warning, "a warning, and no refusal");
    let odd = site.set("nonsense", &["OPENAI_API_KEY"]).ok();
    assert_eq!(odd.err, "warning: OPENAI_API_KEY: values of this name usually begin with sk-\n");
    let plain = site.set("ghp_0123456789012345678901234567890123AB", &["note", "--plain"]).ok();
    assert!(plain.err.contains("looks like a key") && plain.err.lines().count() == 1, "{}", plain.err);
    site.run(&["set", "name", "--preset", "openai"]).fails(64, &["--preset"]);
    site.run(&["set"]).fails(64, &["missing"]);
}

#[test]
fn an_operator_adds_presets_and_every_fault_is_reported() {
    let mut site = Site::new();
    let config = site.path("data/server.yaml");
    let before = std::fs::read_to_string(&config).unwrap();
    let preset = "presets:\n  - id: acme\n    title: Acme\n    category: api_key\n    fields:\n      - {key: access_token, label: Token, prefixes: [acme_]}\n";
    std::fs::write(&config, format!("{before}{preset}")).unwrap();
    site.serve("data", &[]);
    let listed = site.run(&["preset", "list"]).ok();
    assert_eq!(listed.rows()[16], ["acme", "Acme", "api_key", "access_token"]);
    let odd = site.set("access_token=nope\n", &["--preset", "acme"]).ok();
    assert!(odd.err.contains("usually begin with acme_"), "{}", odd.err);
    site.stop();
    std::fs::write(&config, format!("{before}presets:\n  - id: openai\n  - 7\n")).unwrap();
    let mut serve = super::site::bare(&site.folder);
    serve.args(["serve", "--data", "data"]);
    let refused = super::site::Ran::of(super::site::feed(serve, b""));
    assert_ne!(refused.code, Some(0));
    for fault in
        ["`title` is missing", "`category` is missing", "`fields` is missing", "expected a mapping of"]
    {
        assert!(refused.err.contains(fault), "{fault}: {}", refused.err);
    }
}

#[test]
fn secrets_are_counted_and_the_audit_log_is_exported() {
    let site = Site::unlocked();
    site.set("v", &["a", "--shared", "--plugin", "mcp"]).ok();
    site.set("v", &["b", "--category", "custom", "--no-install"]).ok();
    let stats = site.run(&["stats"]).ok();
    for line in ["secrets:          2\n", "auto-install off: 1\n", "(none)  1\n"] {
        assert!(stats.out.contains(line), "{line:?}: {}", stats.out);
    }
    assert_eq!(site.run(&["stats", "--json"]).ok().json()["by_plugin"]["mcp"], 1);
    let export = site.run(&["audit", "--export", "--action", "secret.create"]).ok();
    let names: Vec<String> = export
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["target"].to_string())
        .collect();
    assert_eq!(names, ["\"b\"", "\"a\""]);
    let later = site.run(&["audit", "--since", "2999-01-01T00:00:00Z"]).ok();
    assert_eq!(later.out, "");
}

/// A list streams: if its reader stops after one line, the program fills the pipe, waits, and has requested a few pages
/// only.
#[test]
fn a_list_of_ten_thousand_is_streamed() {
    const SECRETS: usize = 10_000;
    let site = Site::unlocked();
    let lines: Vec<String> = (0..SECRETS).map(|i| format!("NAME_{i:05}=value\\n")).collect();
    for file in lines.chunks(300) {
        let body = format!("{{\"env\":\"{}\",\"scope\":\"shared\",\"type\":\"plain\"}}", file.concat());
        let mut socket = UnixStream::connect(site.path("data/dropsafe.sock")).unwrap();
        let head = format!(
            "POST /v1/import HTTP/1.1\r\nHost: store\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            site.admin,
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let pages = || {
        let log = std::fs::read_to_string(site.path("server.log")).unwrap();
        log.lines().filter(|line| line.contains("GET") && line.contains("/v1/secrets")).count()
    };
    let mut list = site.client(&site.admin, &["list"]);
    let mut list = list.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(list.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("NAME"), "{first}");
    // A page has some 50 KB, and a pipe holds 64 KiB.
    let count = pages();
    assert!((1..=4).contains(&count), "{count} pages were requested");
    let rest = out.lines().count();
    assert!(list.wait().unwrap().success());
    assert_eq!((rest, pages()), (SECRETS, SECRETS / 500));
    let found = site.run(&["list", "NAME_09999"]).ok();
    assert_eq!(found.rows().len(), 1);
    assert_eq!(site.run(&["stats", "--json"]).ok().json()["shared"], SECRETS);
}
