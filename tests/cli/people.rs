//! Members, tokens, tickets and organizations: what is shown once stands alone on standard output.

use super::site::Site;

#[test]
fn members_come_change_and_go() {
    let site = Site::unlocked();
    let added = site.run(&["member", "add", "ann", "--role", "auditor"]).ok();
    assert_eq!(added.out, "added ann (auditor)\n");
    assert!(added.err.contains("dropsafe token new --for ann"), "{}", added.err);
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

#[test]
fn a_token_is_printed_alone_and_revoked_for_good() {
    let site = Site::unlocked();
    site.run(&["member", "add", "ann"]).ok();
    let made = site.run(&["token", "new", "--for", "ann", "--ttl", "7d", "--label", "laptop"]).ok();
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
    site.run(&["ticket", "new", "--for", "nobody"]).fails(1, &["member"]);
    site.run(&["ticket", "new", "--source", "10.0.0.0/33"]).fails(1, &["--source"]);
    // The operator has no secrets to boot with.
    site.as_operator(&["ticket", "new"], b"").fails(77, &[]);
}

#[test]
fn organizations_are_the_operators_and_their_rules_the_administrators() {
    let site = Site::unlocked();
    site.run(&["org", "new", "acme"]).fails(77, &["operator"]);
    let made = site.as_operator(&["org", "new", "acme", "--admin", "root"], b"").ok();
    let token = made.out.trim();
    assert!(site.run_as(token, &["status"], b"").ok().out.contains("root (admin of acme)"));
    site.set("v", &["of-default", "--shared"]).ok();
    assert_eq!(site.run_as(token, &["list", "--json"], b"").ok().out, "[]\n");
    assert_eq!(site.as_operator(&["org", "list", "--json"], b"").ok().json().as_array().unwrap().len(), 2);
    site.as_operator(&["list"], b"").fails(77, &[]);

    let rules =
        site.run(&["org", "set", "--hints", "false", "--variable-ceiling", "100", "--json"]).ok().json();
    assert_eq!((&rules["hints"], &rules["variable_ceiling"]), (&false.into(), &100.into()));
    site.set(&"x".repeat(101), &["long"]).fails(1, &["100"]);
    site.set("sk-abcdefghijklmnopqrstuvwxyz0123456789", &["key"]).ok();
    assert!(site.run(&["show", "key", "--json"]).ok().json()["hint"].is_null());
}
