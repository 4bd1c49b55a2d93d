//! Members, tokens, tickets and organizations. A credential, which is shown once, is alone on standard output.

use super::site::Site;

#[test]
fn members_come_change_and_go() {
    let site = Site::unlocked();
    let added = site.run(&["member", "add", "ann", "--role", "auditor"]).ok();
    let code = added.out.strip_suffix('\n').unwrap();
    assert!(code.starts_with("dse_") && !code.contains(char::is_whitespace), "{code}");
    assert!(
        added.err.contains("added ann (auditor)") && added.err.contains("dropsafe enroll"),
        "{}",
        added.err
    );
    assert!(!added.err.contains(code));
    site.run(&["member", "add", "ann"]).fails(1, &["taken"]);
    site.run(&["member", "add", "Not A Name"]).fails(1, &["name"]);
    assert_eq!(site.run(&["member", "role", "ann", "member"]).ok().out, "ann now has the role member\n");
    let members = site.run(&["member", "list", "--json"]).ok().json();
    let roles: Vec<_> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (member["name"].as_str(), member["role"].as_str()))
        .collect();
    assert!(roles.contains(&(Some("ann"), Some("member"))) && roles.len() == 2, "{roles:?}");
    site.run(&["member", "remove", "ann"]).ok();
    site.run(&["member", "remove", "ann", "--yes"]).fails(1, &["no such member"]);
    site.run(&["member", "role", "admin", "member"]).fails(1, &["last"]);
}

/// The code is a credential: it is neither in the arguments nor in the server's log.
#[test]
fn an_enrolment_is_redeemed_once_and_logs_in() {
    let site = Site::unlocked();
    let code = site.run(&["member", "add", "ann"]).ok().out;
    let second = site.run(&["member", "enroll", "ann", "--ttl", "1h"]).ok().out;
    let url = site.url.clone();
    site.saved(&["enroll", &url], code.as_bytes()).fails(77, &["revoked"]);
    let enrolled = site.saved(&["enroll", &url], second.as_bytes()).ok();
    assert!(enrolled.out.contains("as ann (member of default)"), "{}", enrolled.out);
    assert!(site.saved(&["status"], b"").ok().out.contains("ann (member of default)"));
    let again = site.saved(&["enroll", &url], second.as_bytes());
    again.fails(1, &["redeemed at", "from 127.", "tell an admin"]);
    let shown = site.run(&["member", "show", "ann"]).ok().out;
    assert!(shown.contains("redeemed") && shown.contains("from 127."), "{shown}");
    site.run(&["member", "enroll", "ann"]).fails(1, &["enrolled once"]);
    let log = std::fs::read_to_string(site.path("server.log")).unwrap();
    let secret = &second.trim()[40..];
    assert!(!log.contains(secret) && !log.contains("dse_"), "{log}");
}

#[test]
fn managers_act_for_a_service() {
    let site = Site::unlocked();
    let mia = site.member("mia", &[]);
    let added = site.run(&["member", "add", "prod", "--service", "--manager", "mia"]).ok();
    assert_eq!(added.out, "prod is a service, managed by mia\n");
    let token = site.run_as(&mia, &["token", "new", "--for", "prod"], b"").ok().out.trim().to_owned();
    assert!(site.run_as(&token, &["status"], b"").ok().out.contains("prod (member of default)"));
    site.run_as(&mia, &["ticket", "new", "--for", "prod"], b"").ok();
    site.run_as(&mia, &["set", "db-url", "--for", "prod"], b"one").ok();
    site.run_as(&mia, &["set", "db-url", "--for", "prod"], b"two").ok();
    site.run(&["set", "db-url", "--for", "prod"]).fails(77, &["belongs to another member"]);
    let ticket = site.run_as(&mia, &["ticket", "new", "--for", "prod"], b"").ok().out;
    assert_eq!(site.boot(ticket.trim(), "DB_URL").ok().out, "two\n");
    site.run_as(&mia, &["set", "mine"], b"mine").ok();
    std::fs::write(site.path("prod.env"), "REGION=eu\nZONE=a\n").unwrap();
    let imported = site.run_as(&mia, &["import", "prod.env", "--for", "prod"], b"").ok();
    assert!(imported.out.contains("stored: 2"), "{}", imported.out);
    let again = site.run_as(&mia, &["import", "prod.env", "--for", "prod"], b"").ok();
    assert!(again.out.contains("stored: 0, unchanged: 2"), "{}", again.out);
    site.run(&["import", "prod.env", "--for", "prod"]).fails(77, &["belongs to another member"]);
    let listed = site.run_as(&mia, &["list", "--for", "prod", "--json"], b"").ok().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    site.run_as(&mia, &["edit", "REGION", "--for", "prod", "--no-install"], b"").ok();
    let shown = site.run_as(&mia, &["show", "REGION", "--for", "prod"], b"").ok().out;
    assert!(shown.contains("private (prod)"), "{shown}");
    site.run_as(&mia, &["delete", "db-url", "--for", "prod", "--yes"], b"").ok();
    // A manager reads what happened with the service, with names of authors; programs get their ids.
    let boots = site.run_as(&mia, &["audit", "--action", "boot"], b"").ok().out;
    assert!(boots.contains("author=mia (mem_") && boots.contains("released=DB_URL"), "{boots}");
    let boots = site.run_as(&mia, &["audit", "--action", "boot", "--json"], b"").ok().json();
    let entry = &boots[0];
    assert_eq!(entry["author"], "mia");
    assert!(entry["details"]["author"].as_str().unwrap().starts_with("mem_"), "{entry}");
    assert!(site.run_as(&mia, &["boots", "--member", "prod"], b"").ok().out.contains("prod"));
    site.run(&["ticket", "new", "--for", "prod"]).fails(77, &["belongs to another member"]);
    site.run(&["member", "manager", "add", "prod", "admin"]).ok();
    site.run(&["ticket", "new", "--for", "prod"]).ok();
    let left = site.run(&["member", "manager", "remove", "prod", "mia"]).ok().out;
    assert_eq!(left, "prod is a service, managed by admin\n");
    site.run_as(&token, &["status"], b"").fails(77, &["revoked"]);
}

#[test]
fn a_token_is_printed_alone_and_revoked_for_good() {
    let site = Site::unlocked();
    let ann = site.member("ann", &[]);
    site.run(&["token", "new", "--for", "ann"]).fails(77, &["belongs to another member"]);
    site.run(&["ticket", "new", "--for", "ann"]).fails(77, &["belongs to another member"]);
    let made = site.run_as(&ann, &["token", "new", "--ttl", "7d", "--label", "laptop"], b"").ok();
    let token = made.out.strip_suffix('\n').unwrap();
    assert!(token.starts_with("dsm_") && !token.contains(char::is_whitespace), "{token}");
    assert!(!made.err.contains(token));
    assert!(site.run_as(token, &["status"], b"").ok().out.contains("ann (member of default)"));
    site.run_as(token, &["member", "list"], b"").fails(77, &["admin"]);

    let list = site.run(&["token", "list", "--json"]).ok().json();
    let id = list.as_array().unwrap().iter().find(|token| token["label"] == "laptop").unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    assert!(made.err.contains(id), "{}", made.err);
    assert_eq!(site.run(&["token", "revoke", id]).ok().out, format!("revoked {id}\n"));
    site.run_as(token, &["status"], b"").fails(77, &["revoked"]);
    site.run_as("dsm_damaged", &["status"], b"").fails(78, &["DROPSAFE_TOKEN"]);
}

#[test]
fn a_ticket_is_printed_alone_with_advice_beside_it() {
    let site = Site::unlocked();
    let made = site
        .run(&[
            "ticket", "new", "--for", "admin", "--ttl", "24h", "--uses", "3", "--plugin", "a", "--plugin",
            "b",
        ])
        .ok();
    let ticket = made.out.strip_suffix('\n').unwrap();
    assert!(ticket.starts_with("dst_") && !ticket.contains(char::is_whitespace), "{ticket}");
    assert!(made.err.contains("acts for admin; expires ") && made.err.contains("boots: 3"), "{}", made.err);
    let view = site.run(&["ticket", "list", "--json"]).ok().json()[0].clone();
    assert_eq!((&view["uses"], &view["plugins"]), (&3.into(), &serde_json::json!(["a", "b"])));
    let id = view["id"].as_str().unwrap();
    site.run(&["ticket", "revoke", id]).ok();
    assert!(site.run(&["ticket", "list"]).ok().out.contains("inactive"));
    site.run(&["ticket", "new", "--lifetime", "36h"]).ok();
    let listed = site.run(&["ticket", "list"]).ok();
    assert!(listed.out.contains("LIFETIME") && listed.out.contains(" 36h"), "{}", listed.out);
    site.run(&["ticket", "new", "--for", "nobody"]).fails(1, &["member"]);
    site.run(&["ticket", "new", "--source", "10.0.0.0/33"]).fails(1, &["--source"]);
    // Without a flag it is for one boot within a day. Anything longer is asked for, and says what it is.
    let brief = site.run(&["ticket", "new"]).ok();
    assert!(brief.err.contains("boots: 1;") && !brief.err.contains("anyone with a copy"), "{}", brief.err);
    let view = site.run(&["ticket", "list", "--json"]).ok().json();
    let created = |view: &serde_json::Value| (view["uses"].clone(), view["expires_at"].is_string());
    assert!(view.as_array().unwrap().iter().any(|view| created(view) == (1.into(), true)), "{view}");
    let long = site.run(&["ticket", "new", "--ttl", "none", "--uses", "unlimited"]).ok();
    assert!(long.err.contains("never expires; boots: unlimited"), "{}", long.err);
    assert!(long.err.contains("long-lived: until it is revoked, anyone with a copy"), "{}", long.err);
    // The operator has no secrets to boot with.
    site.as_operator(&["ticket", "new"], b"").fails(77, &[]);
}

#[test]
fn organizations_are_the_operators_and_their_rules_the_administrators() {
    let site = Site::unlocked();
    site.run(&["org", "new", "acme"]).fails(77, &["operator"]);
    let made = site.as_operator(&["org", "new", "acme", "--admin", "root"], b"").ok();
    let token = &site.redeem(&made.out);
    assert!(site.run_as(token, &["status"], b"").ok().out.contains("root (admin of acme)"));
    site.set("v", &["of-default", "--shared"]).ok();
    assert_eq!(site.run_as(token, &["list", "--json"], b"").ok().out, "[]\n");
    assert_eq!(site.as_operator(&["org", "list", "--json"], b"").ok().json().as_array().unwrap().len(), 2);
    site.as_operator(&["list"], b"").fails(77, &[]);

    let rules =
        site.run(&["org", "set", "--hints", "false", "--variable-ceiling", "100", "--json"]).ok().json();
    assert_eq!((&rules["hints"], &rules["variable_ceiling"]), (&false.into(), &100.into()));
    site.set(&"x".repeat(101), &["long"]).fails(1, &["100"]);
    site.run(&["org", "set", "--keep-boots", "90", "--member-share", "20"]).ok();
    let shown = site.run(&["org", "show"]).ok().out;
    assert!(shown.contains("90 days") && shown.contains("20 %") && shown.contains("forever"), "{shown}");
    site.run(&["org", "set", "--keep-boots", "forever"]).ok();
    assert!(site.run(&["org", "show", "--json"]).ok().json()["retention"]["boots"].is_null());
    site.run(&["org", "set", "--shared-variables", "1900000"]).fails(1, &["1835008", "lower one"]);
    site.run(&["org", "set", "--keep-audit", "7"]).fails(1, &["at least 30 days", "dropsafe org quotas"]);
    site.run(&["org", "quotas", "default", "--members", "9"]).fails(77, &["operator"]);
    let quotas =
        site.as_operator(&["org", "quotas", "default", "--tokens", "77", "--min-audit", "7"], b"").ok().out;
    assert!(quotas.contains("of 77\n") && quotas.contains("at least 7 days"), "{quotas}");
    let quotas = site.as_operator(&["org", "quotas", "default", "--json"], b"").ok().json();
    assert_eq!((&quotas["quotas"]["tokens"], &quotas["quotas"]["members"]), (&77.into(), &100_000.into()));
    site.as_operator(&["org", "quotas", "nowhere"], b"").fails(1, &["organization"]);
    site.run(&["org", "set", "--keep-audit", "7"]).ok();
    assert!(!site.run(&["org", "usage"]).ok().out.contains("OVER"));
    site.run(&["org", "set", "--shared-variables", "10"]).ok();
    assert!(site.run(&["org", "usage"]).ok().out.contains(" over budget (boots still work): 1 secrets"));
    assert_eq!(site.run(&["org", "usage", "--json"]).ok().json()["shared"]["over_budget"], true);
    site.set("sk-abcdefghijklmnopqrstuvwxyz0123456789", &["key"]).ok();
    // A dry run foresees what the budget refuses.
    site.run(&["org", "set", "--private-variables", "120"]).ok();
    site.write("two.env", "KEY_A=1\nKEY_B=2\n");
    let dry = site.run(&["import", "two.env", "--dry-run"]);
    assert!(
        dry.out.contains("budget is 120") || dry.err.contains("budget is 120"),
        "{} {}",
        dry.out,
        dry.err
    );
    assert!(site.run(&["show", "key", "--json"]).ok().json()["hint"].is_null());
}

/// The token of a platform is replaced, and the people who accepted it need not do so again.
#[test]
fn a_launcher_is_accepted_and_replaces_its_token() {
    let site = Site::unlocked();
    let code = site.run(&["launcher", "add", "devboxes"]).ok().out;
    // Without --print: a launcher does not log in on the machine that redeems its code.
    let enrolled = site.saved(&["enroll", &site.url.clone()], code.as_bytes()).ok();
    assert!(enrolled.err.contains("the token of a launcher"), "{}", enrolled.err);
    assert!(!site.path(".config/dropsafe/login.json").exists());
    let launcher = enrolled.out.trim().to_owned();
    let bob = site.run(&["member", "add", "bob"]).ok().out;
    // Nobody to ask: nothing is accepted, and the way to do it is printed.
    let enrolled = site.saved(&["enroll", &site.url.clone()], bob.as_bytes()).ok();
    assert!(enrolled.err.contains("not accepted: the launcher devboxes"), "{}", enrolled.err);
    assert!(enrolled.err.contains("dropsafe launcher accept devboxes"), "{}", enrolled.err);
    site.run_as(&launcher, &["ticket", "new", "--for", "bob"], b"").fails(77, &["has not accepted"]);
    site.saved(&["launcher", "accept", "devboxes"], b"").ok();
    site.run_as(&launcher, &["ticket", "new", "--for", "bob"], b"").ok();

    let made = site.run_as(&launcher, &["token", "new"], b"").ok();
    let second = made.out.trim();
    assert!(made.err.contains("token of devboxes"), "{}", made.err);
    site.run_as(second, &["ticket", "new", "--for", "bob"], b"").ok();
    let third = site.run_as(second, &["token", "new"], b"").ok().out;
    // The one before the last has ended.
    site.run_as(&launcher, &["ticket", "new", "--for", "bob"], b"").fails(77, &["revoked"]);
    site.run_as(third.trim(), &["token", "new", "--for", "bob"], b"").fails(77, &["launcher"]);
    site.run_as(third.trim(), &["list"], b"").fails(77, &["launcher"]);
}
