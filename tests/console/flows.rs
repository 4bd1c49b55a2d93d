//! What people do in the console, from login to audit entry, in a browser.

use std::fs;

use serde_json::json;

use crate::browser::Browser;
use crate::harness::Site;

const VALUE: &str = "sk-canary0123456789abcdefghijKLMN";
const PEM: &str = "-----BEGIN CANARY-----\r\ncanary-in-a-file-55aa\r\n-----END CANARY-----\n";

/// Asserts that a text contains no part of a value.
#[track_caller]
fn is_clean(everything: &str) {
    for piece in ["canary0123456789", "canary-in-a-file", "canary-imported", "canary-plugin", "canary-typed"]
    {
        assert!(!everything.contains(piece), "{piece} is in {everything}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_its_deposit_to_its_deletion() {
    let site = Site::unlocked();
    let Some(browser) = Browser::open(&site).await else { return };
    browser.log_in(&site.admin).await;
    let session = browser.run("return document.cookie").await;
    assert!(!session.as_str().unwrap().contains("session"), "a script can read the session: {session}");

    // The panel: it displays the exported name or a refusal while somebody types, and Escape closes it.
    browser.press("Add a secret").await;
    browser.fill("#name", "node-options").await;
    browser.says("the name NODE_OPTIONS is refused").await;
    browser.fill("#name", "openai-api-key").await;
    browser.says("Exported as OPENAI_API_KEY").await;
    browser.fill("#value", "canary-typed-and-given-up").await;
    browser
        .run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
        .await;
    browser.wait_for("dialog[open]").await.send_keys("\u{e00c}").await.unwrap();
    browser.wait_for("dialog#panel:empty").await;
    let focused = browser.run("return document.activeElement.textContent.trim()").await;
    assert_eq!(focused, json!("Add a secret"), "the focus goes back to where it was");
    is_clean(&browser.everything().await);

    // A refused form returns to the panel without the value.
    browser.press("Add a secret").await;
    browser.fill("#name", "ld-preload").await;
    browser.fill("#value", VALUE).await;
    browser.press("Add secret").await;
    browser.says("The name LD_PRELOAD is refused").await;
    assert_eq!(browser.run("return document.querySelector('dialog #value').value").await, json!(""));
    is_clean(&browser.everything().await);

    // A deposit, with a warning about a plain value that looks like a key.
    browser.fill("#name", "openai-api-key").await;
    browser.fill("#value", VALUE).await;
    browser.press("Advanced options").await;
    browser.choose("#type", "plain").await;
    browser.says("This looks like a key").await;
    browser.choose("#type", "encrypted").await;
    browser.choose("#category", "skill_credential").await;
    browser.click("input[name=scope][value=shared]").await;
    browser.press("Add secret").await;
    browser.says("Saved openai-api-key. It is exported as OPENAI_API_KEY.").await;
    is_clean(&browser.everything().await);
    browser.page.back().await.unwrap();
    is_clean(&browser.everything().await);

    // A file is stored byte for byte.
    let file = site.folder.path().join("server.pem");
    fs::write(&file, PEM).unwrap();
    browser.goto("/console/secrets/new").await;
    browser.fill("#name", "server-key").await;
    browser.wait_for("#value-file").await.send_keys(file.to_str().unwrap()).await.unwrap();
    browser.click("input[name=scope][value=shared]").await;
    browser.press("Add secret").await;
    browser.says("Saved server-key.").await;
    is_clean(&browser.everything().await);

    // The list: search while typing, the switch, and what a boot receives.
    browser.goto("/console/secrets").await;
    browser.fill("#q", "openai").await;
    browser.says("1 shown").await;
    assert!(!browser.text().await.contains("server-key"));
    browser.run("document.querySelector('[role=switch]').click()").await;
    browser.says("Auto-install is off for openai-api-key").await;
    browser.wait_for("[role=switch][aria-checked=false]").await;
    browser.run("document.querySelector('[role=switch]').click()").await;
    browser.says("Auto-install is on for openai-api-key: every boot in scope receives it.").await;
    is_clean(&browser.everything().await);
    let ticket = site.ticket("admin", &[]);
    let given = site.boot(&ticket, &[]);
    assert_eq!(given["OPENAI_API_KEY"], VALUE);
    assert_eq!(given["SERVER_KEY"], PEM);

    // Replace the value: the boot then holds an older version. Delete the secret: the page says which boots hold it.
    browser.press("openai-api-key").await;
    browser.says("Running boots that hold it").await;
    browser.fill("#value", "sk-canary0123456789-the-newer-one").await;
    browser.press("Replace").await;
    browser.says("1 running boot still holds a previous value.").await;
    browser.says("older").await;
    browser.press("Re-encrypt").await;
    browser.says("Re-encrypted openai-api-key.").await;
    browser.says("1 running boot holds it now (listed above)").await;
    browser.press("Delete…").await;
    browser.press("Delete openai-api-key").await;
    browser.says("1 running boot still holds it until its workload ends.").await;
    browser.goto("/console/boots?secret=OPENAI_API_KEY").await;
    browser.says("1 shown").await;
    browser.says("1 outdated").await;
    is_clean(&browser.everything().await);

    // The audit log lists every step, and no value.
    browser.goto("/console/audit").await;
    for action in [
        "session.start",
        "secret.create",
        "secret.edit",
        "secret.replace",
        "secret.re_encrypt",
        "secret.delete",
        "boot",
    ] {
        browser.says(action).await;
    }
    browser.fill("#q", "secret.delete").await;
    browser.says("\n1 shown").await;
    is_clean(&browser.everything().await);
    for command in [&["list", "--json"][..], &["audit", "--json"], &["boots", "--json"]] {
        is_clean(&site.cli(command).ok().out);
    }
    is_clean(&site.log());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn import_plugins_people_tickets_and_a_locked_store() {
    let mut site = Site::unlocked();
    let Some(browser) = Browser::open(&site).await else { return };
    browser.log_in(&site.admin).await;

    // Import: the preview displays each line's result, stores nothing, and keeps the text in its field.
    browser.goto("/console/import").await;
    browser.fill("#env", "MAIL_HOST=canary-imported-1\nLD_PRELOAD=canary-imported-2").await;
    browser.press("Preview").await;
    browser.says("1 line is refused").await;
    browser.says("MAIL_HOST").await;
    assert_eq!(site.cli(&["list", "--json"]).ok().json().as_array().map(Vec::len), Some(0));
    browser.fill("#env", "MAIL_HOST=canary-imported-1\nREGION='canary-imported-3'").await;
    browser.press("Preview").await;
    browser.says("The import would change 2 of 2 names.").await;
    browser.press("Import").await;
    browser.says("Import complete: 2 new, 0 replaced").await;
    is_clean(&browser.everything().await);

    // A plugin lacks a secret, which its own card can add.
    browser.goto("/console/plugins").await;
    browser.fill("#plugin", "@acme/mail").await;
    browser.fill("#required", "mail-host\nmail-password").await;
    browser.press("Declare plugin").await;
    browser.says("1 required secret is missing").await;
    browser.press("Set value").await;
    browser.fill("details.fill[open] textarea", "canary-plugin-password").await;
    browser.press("Add secret").await;
    browser.says("All required secrets are set").await;
    is_clean(&browser.everything().await);

    // Members and their tokens, and a ticket that a machine boots with.
    browser.goto("/console/members").await;
    browser.fill("#name", "mel").await;
    browser.press("Add member").await;
    browser.says("Enrolment of mel").await;
    let enrolment = browser.wait_for("#issued").await.prop("value").await.unwrap().unwrap();
    let code = enrolment.split('#').next_back().unwrap();
    assert!(code.starts_with("dse_"), "{enrolment}");
    browser.goto("/console/tickets").await;
    assert!(!browser.everything().await.contains(code), "the enrolment is shown once");
    browser.press("Create a ticket").await;
    browser.fill("#label", "ci").await;
    browser.press("Create ticket").await;
    let ticket = browser.wait_for("#issued").await.prop("value").await.unwrap().unwrap();
    assert_eq!(site.boot(&ticket, &[])["MAIL_HOST"], "canary-imported-1");
    browser.goto("/console/boots").await;
    browser.says("1 shown").await;
    browser.press("20").await;
    browser.says("Released secrets").await;
    is_clean(&browser.everything().await);

    // The theme is remembered.
    browser.click("[data-theme-form] button").await;
    browser.wait_for("html[data-theme=light]").await;
    browser.click("[data-theme-form] button").await;
    browser.wait_for("html[data-theme=dark]").await;
    browser.goto("/console/status").await;
    browser.wait_for("html[data-theme=dark]").await;

    // A member does not see other members' private secrets.
    browser.click(".menu summary").await;
    browser.press("Log out everywhere").await;
    browser.says("You are logged out everywhere: 1 session ended.").await;
    browser.goto("/console/secrets").await;
    browser.says("Paste a token").await;
    // The new member follows the link, gets a token that nobody else has seen, and is logged in with it.
    let link = enrolment.find("/console/").map_or(enrolment.as_str(), |at| &enrolment[at..]);
    browser.goto(link).await;
    browser.press("Get my token").await;
    browser.says("Welcome, mel").await;
    let token = browser.wait_for("#issued").await.prop("value").await.unwrap().unwrap();
    assert!(token.starts_with("dsm_"));
    browser.goto("/console/secrets").await;
    browser.says("No secrets yet.").await;
    let text = browser.text().await;
    assert!(!text.contains("MAIL_HOST") && !text.contains("Launchers\nAudit"), "{text}");

    // Locked: deposits still work. A wrong passphrase is refused without a hint, and the right one unlocks the store.
    site.operator(&["lock"]).ok();
    browser.goto("/console/secrets/new").await;
    browser.says("The store is locked.").await;
    browser.fill("#name", "while-locked").await;
    browser.fill("#value", "canary-typed-while-locked").await;
    browser.press("Add secret").await;
    browser.says("Saved while-locked.").await;
    is_clean(&browser.everything().await);
    browser.click(".menu summary").await;
    browser.press("Log out").await;
    browser.says("You are logged out.").await;
    browser.log_in(&site.operator).await;
    browser.goto("/console/status").await;
    browser.fill("#passphrase", "canary-typed-wrong-passphrase").await;
    browser.press("Unlock").await;
    browser.says("No key slot opens with this").await;
    is_clean(&browser.everything().await);
    browser.fill("#passphrase", crate::harness::PASSPHRASE).await;
    browser.press("Unlock").await;
    browser.says("The store is unlocked").await;
    assert!(!browser.everything().await.contains(crate::harness::PASSPHRASE));
    browser.goto("/console/audit").await;
    browser.says("store.unlock").await;
    is_clean(&site.log());
    assert!(!site.log().contains(&token) && !site.log().contains(code));
    browser.close().await;
    assert!(site.stop().success());
}

/// Adds a launcher and enrols it, as the party that runs the platform does.
fn add_launcher(site: &Site, name: &str) -> String {
    let code = site.cli(&["launcher", "add", name]).ok().out;
    site.cli_as("", &["enroll", "--print"], code.as_bytes()).ok().out.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn launchers_are_accepted_withdrawn_and_refused() {
    let site = Site::unlocked();
    let Some(browser) = Browser::open(&site).await else { return };
    let devboxes = add_launcher(&site, "devboxes");
    add_launcher(&site, "notebooks");
    site.cli(&["launcher", "add", "pending"]).ok();
    let launch = || site.cli_as(&devboxes, &["ticket", "new", "--for", "bob"], b"");
    let code = site.cli(&["member", "add", "bob"]).ok().out;
    launch().fails(77, &["has not accepted"]);

    // In the step that redeems the enrolment: each is offered with what it means, and only a click accepts it.
    browser.goto(&format!("/console/enroll#{}", code.trim())).await;
    browser.press("Get my token").await;
    browser.says("Welcome, bob").await;
    let text = browser.text().await;
    assert!(text.contains("The party that runs it can then read your secrets."), "{text}");
    assert!(text.contains("Accept notebooks") && !text.contains("pending"), "{text}");
    launch().fails(77, &["has not accepted"]);
    browser.press("Accept devboxes").await;
    browser.says("devboxes can now start machines with your secrets.").await;
    let ticket = launch().ok().out;

    // Refused at the question: nothing changes. Confirmed: its tickets are revoked.
    browser.run("window.confirm = () => false").await;
    browser.press("Withdraw").await;
    launch().ok();
    browser.run("window.confirm = () => true").await;
    browser.press("Withdraw").await;
    browser.says("devboxes no longer acts for you. Its tickets for you are revoked.").await;
    launch().fails(77, &["has not accepted"]);
    site.agent(ticket.trim(), &["exec", "--deadline", "1s", "--", "true"], &[]).fails(77, &["revoked"]);

    // Another platform took the name while the page was open: the click does not accept it.
    browser.goto("/console/launchers").await;
    site.cli(&["launcher", "remove", "devboxes"]).ok();
    add_launcher(&site, "devboxes");
    browser.run("window.confirm = () => true").await;
    browser.click("form[action='/console/launchers/devboxes/accept'] button").await;
    browser.says("Another launcher has this name now").await;
    assert!(!site.cli_as(&site.admin, &["audit", "--json"], b"").ok().out.contains("released"));
    browser.close().await;
}
