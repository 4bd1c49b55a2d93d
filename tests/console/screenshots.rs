//! Every page in both themes, narrow and wide: checked by axe-core, and saved as a picture in `target/console-shots`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::browser::Browser;
use crate::harness::skip;
use crate::real_provider::RealProvider;
use crate::sample_store::create_sample_store;

/// Returns axe-core's script, if `tests/run` has downloaded it.
fn axe() -> Option<String> {
    let path = std::env::var_os("DROPSAFE_AXE").map(PathBuf::from)?;
    Some(fs::read_to_string(path).unwrap())
}

struct Gallery<'a> {
    browser: &'a Browser,
    folder: PathBuf,
    axe: Option<String>,
    faults: Vec<String>,
}

impl<'a> Gallery<'a> {
    fn open(browser: &'a Browser) -> Self {
        let axe = axe();
        if axe.is_none() {
            skip("the accessibility rules of axe-core (from PyPI)");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console-shots");
        fs::create_dir_all(&folder).unwrap();
        Self { browser, folder, axe, faults: Vec::new() }
    }

    /// Takes pictures of the current page in both themes and widths, and checks it.
    async fn capture(&mut self, name: &str) {
        for theme in ["light", "dark"] {
            self.browser.prefers(theme);
            for width in [360, 1600] {
                self.browser.size(width, 900);
                let wide = self.browser.run("return document.documentElement.scrollWidth").await;
                if wide.as_u64().unwrap() > u64::from(width) {
                    self.faults.push(format!("{name}: {wide} pixels wide on a screen of {width}"));
                }
                fs::write(self.folder.join(format!("{name}-{theme}-{width}.png")), self.browser.picture())
                    .unwrap();
                // Each theme and each width once: a rule looks either at colours or at the layout.
                if (theme == "light") == (width == 360) {
                    self.check(&format!("{name}, {theme}, {width}")).await;
                }
            }
        }
        self.browser.size(1280, 900);
    }

    async fn check(&mut self, what: &str) {
        let Some(axe) = &self.axe else { return };
        if !self.browser.run("return typeof window.axe === 'object'").await.as_bool().unwrap() {
            self.browser.page.execute(axe, vec![]).await.unwrap();
        }
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(
              (r) => done(r.violations.map((v) => `${v.id}: ${v.help}\\n` + v.nodes.map((n) => `    ${n.html}\\n    ${n.failureSummary}`).join('\\n'))),
              (e) => done([String(e)]))";
        let found = self.browser.page.execute_async(script, vec![]).await.unwrap();
        for fault in found.as_array().unwrap() {
            self.faults.push(format!("{what}: {}", fault.as_str().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_both_themes_narrow_and_wide() {
    let site = create_sample_store();
    let Some(browser) = Browser::open(&site).await else { return };
    let mut gallery = Gallery::open(&browser);

    browser.goto("/console/").await;
    if gallery.axe.is_some() {
        browser.run("document.querySelector('main').append(document.createElement('button'))").await;
        gallery.check("a button without a name").await;
        assert!(!gallery.faults.is_empty(), "the rules find nothing at all");
        gallery.faults.clear();
        browser.goto("/console/login").await;
    }
    gallery.capture("login").await;
    browser.log_in(&site.admin).await;
    let secret = |name: &str| -> Value { site.cli(&["show", name, "--shared", "--json"]).ok().json() };
    let id = secret("database-url")["id"].as_str().unwrap().to_owned();
    let plain = secret("smtp-host")["id"].as_str().unwrap().to_owned();
    for (name, path) in [
        ("secrets", "/console/secrets".to_owned()),
        ("secrets-grouped", "/console/secrets?group=plugin".to_owned()),
        ("secrets-none", "/console/secrets?q=nothing-of-that-name".to_owned()),
        ("add", "/console/secrets/new".to_owned()),
        ("add-preset", "/console/secrets/preset?preset=stripe".to_owned()),
        ("secret", format!("/console/secrets/{id}")),
        ("secret-plain", format!("/console/secrets/{plain}")),
        ("import", "/console/import".to_owned()),
        ("plugins", "/console/plugins".to_owned()),
        ("boots", "/console/boots".to_owned()),
        ("boots-of", "/console/boots?secret=database-url".to_owned()),
        ("tickets", "/console/tickets".to_owned()),
        ("identities", "/console/identities".to_owned()),
        ("launchers", "/console/launchers".to_owned()),
        ("members", "/console/members".to_owned()),
        ("audit", "/console/audit".to_owned()),
        ("settings", "/console/settings".to_owned()),
        ("status", "/console/status".to_owned()),
        ("not-found", "/console/nothing".to_owned()),
    ] {
        browser.goto(&path).await;
        gallery.capture(name).await;
    }
    browser.goto("/console/boots").await;
    browser.run("document.querySelectorAll('td.name a')[1].click()").await;
    browser.says("Released secrets").await;
    gallery.capture("boot").await;
    browser.goto("/console/tickets").await;
    browser.press("Create a ticket").await;
    gallery.capture("ticket-form").await;
    browser.goto("/console/identities").await;
    browser.press("Create an identity").await;
    gallery.capture("identity-form").await;
    browser.goto("/console/secrets").await;
    browser.press("Add a secret").await;
    browser.wait_for("dialog[open] #name").await;
    gallery.capture("panel").await;

    site.cli(&["org", "set", "--shared-variables", "900", "--private-variables", "40"]).ok();
    browser.goto("/console/settings").await;
    gallery.capture("settings-over-budget").await;

    browser.goto("/console/status").await;
    browser.click(".menu summary").await;
    browser.press("Log out").await;
    browser.says("You are logged out.").await;
    browser.goto("/console/enroll").await;
    gallery.capture("enroll").await;
    let code = site.cli(&["member", "add", "bob"]).ok().out;
    browser.fill("#code", code.trim()).await;
    browser.press("Get my token").await;
    browser.says("Welcome, bob").await;
    gallery.capture("enrolled").await;
    site.operator(&["lock"]).ok();
    browser.goto("/console/secrets").await;
    browser.click(".menu summary").await;
    browser.press("Log out").await;
    browser.log_in(&site.operator).await;
    browser.goto("/console/status").await;
    gallery.capture("operator").await;

    let faults = gallery.faults.join("\n");
    browser.close().await;
    assert!(faults.is_empty(), "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_every_page_of_a_sign_in() {
    let Some((site, _provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    let mut gallery = Gallery::open(&browser);
    site.cli(&["org", "set", "--create-at-sign-in", "true"]).ok();
    let code = site.operator(&["org", "new", "shop", "--admin", "sue"]).ok().out;
    let sue = site.cli_as("", &["enroll", "--print"], code.as_bytes()).ok().out;
    site.cli_as(sue.trim(), &["org", "set", "--create-at-sign-in", "true"], b"").ok();
    let mel = site.member("mel", "member");
    browser.goto("/console/login").await;
    gallery.capture("login-provider").await;
    browser.log_in(&mel).await;
    browser.goto("/console/sign-in").await;
    gallery.capture("sign-in-none").await;
    browser.press("Link Acme account").await;
    browser.log_in_at_provider("eve").await;
    browser.says("Link this account?").await;
    gallery.capture("sign-in-confirm").await;
    browser.press("Link the account").await;
    browser.says("You can now sign in with corp.").await;
    gallery.capture("sign-in").await;

    browser.forget();
    browser.goto("/console/login").await;
    browser.press("Sign in with Acme account").await;
    browser.log_in_at_provider("ada").await;
    browser.says("Choose an organization").await;
    gallery.capture("sign-in-organization").await;
    browser.press("shop").await;
    browser.says("Welcome. You are now ada, member of shop.").await;
    browser.forget();
    browser.goto("/console/login").await;
    browser.press("Sign in with Acme account").await;
    browser.log_in_at_provider("nobody").await;
    browser.says("No member is linked").await;
    gallery.capture("sign-in-refused").await;

    let faults = gallery.faults.join("\n");
    browser.close().await;
    assert!(faults.is_empty(), "{faults}");
}
