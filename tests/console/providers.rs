//! Sign-in with a real provider: in browsers, and by commands with a browser on the same machine or a code that is entered elsewhere.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::browser::Browser;
use crate::harness::{DROPSAFE, Ran, Site, bare};
use crate::real_provider::{CLIENT_SECRET, RealProvider};

const SIGN_IN: &str = "Sign in with Acme account";

async fn log_out(browser: &Browser) {
    browser.goto("/console/status").await;
    browser.click(".menu summary").await;
    browser.press("Log out").await;
    browser.says("You are logged out.").await;
}

/// Nothing of a code, a secret or a state is in the log of the server or of the store.
#[track_caller]
fn assert_silent(site: &Site) {
    let audit = site.operator(&["audit", "--json"]).ok().out + &site.cli(&["audit", "--json"]).ok().out;
    for text in [site.log(), audit] {
        for secret in [CLIENT_SECRET, "?code=", "&code=", "code_verifier", "id_token", "eyJ"] {
            assert!(!text.contains(secret), "{secret} was logged");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_becomes_a_member_by_a_group_and_comes_back() {
    let Some((mut site, provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    let said = site.cli(&["org", "set", "--create-at-sign-in", "true"]).ok();
    assert!(said.out.contains("first sign-in"), "{}", said.out);

    // The person asked for this page, and gets to it.
    browser.goto("/console/tickets").await;
    browser.press(SIGN_IN).await;
    browser.log_in_at_provider("ada").await;
    browser.says("Welcome. You are now ada, admin of default.").await;
    let place = browser.page.current_url().await.unwrap();
    assert_eq!(place.path(), "/console/tickets");
    assert_eq!(place.query(), None);
    // The session is as strict as ever, and nothing of the sign-in is left.
    let cookies = browser.devtools("Network.getAllCookies", json!({}));
    let own = cookies["cookies"].as_array().unwrap().iter().filter(|cookie| cookie["domain"] == "127.0.0.1");
    let own: Vec<_> = own
        .map(|cookie| (cookie["name"].as_str().unwrap(), &cookie["sameSite"], &cookie["httpOnly"]))
        .collect();
    assert_eq!(own, [("__Host-dropsafe-session", &json!("Strict"), &json!(true))]);
    assert!(!browser.everything().await.contains("code="), "the address of the answer is in the history");
    browser.goto("/console/members").await;
    browser.says("ada").await;

    // At the provider the person is still logged in: one click.
    log_out(&browser).await;
    browser.press(SIGN_IN).await;
    browser.wait_for("nav.side").await;
    log_out(&browser).await;

    // In no group that counts.
    browser.forget();
    browser.goto("/console/login").await;
    browser.press(SIGN_IN).await;
    browser.log_in_at_provider("nobody").await;
    browser.says("No member is linked to your account at the provider").await;
    // The person cancels.
    browser.forget();
    browser.goto("/console/login").await;
    browser.press(SIGN_IN).await;
    browser.wait_for("[name=login]").await;
    browser.press("[ Cancel ]").await;
    browser.says("The provider denied the sign-in").await;
    let reasons = site.operator(&["audit", "--json"]).ok().out;
    assert!(reasons.contains("unknown_person") && reasons.contains("denied"), "{reasons}");

    // The provider is down: tokens still work.
    provider.stop();
    assert!(site.stop().success());
    site.serve_unlocked();
    browser.goto("/console/login").await;
    browser.press(SIGN_IN).await;
    browser.says("The provider does not answer").await;
    browser.log_in(&site.admin).await;
    assert_silent(&site);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_after_a_look_at_it_and_unlinked() {
    let Some((site, _provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    let mel = site.member("mel", "member");
    browser.log_in(&mel).await;
    browser.press("Sign-in").await;
    browser.says("No linked accounts.").await;
    browser.press("Link Acme account").await;
    browser.log_in_at_provider("eve").await;
    browser.says("Link this account?").await;
    browser.says("whoever signs in with this account is mel of default").await;
    // Not yet.
    assert_eq!(site.cli_as(&mel, &["login", "--oidc", "--list"], b"").ok().out.matches("eve").count(), 0);
    browser.press("Link the account").await;
    browser.says("You can now sign in with corp.").await;
    browser.says("eve").await;

    log_out(&browser).await;
    browser.press(SIGN_IN).await;
    browser.wait_for("nav.side").await;
    browser.goto("/console/sign-in").await;
    browser.says("as mel instead of pasting a token").await;
    // The account started this session, which ends with it.
    browser.run("window.confirm = () => true").await;
    browser.press("Unlink").await;
    browser.says("Log in").await;
    browser.press(SIGN_IN).await;
    browser.says("Your account at the provider was unlinked from its member").await;
    // The member's token is as good as before.
    browser.log_in(&mel).await;
    assert_silent(&site);
    browser.close().await;
}

/// Somebody who has a code of their own account plants it in the browser of somebody else, who would then deposit secrets for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_another_browser_is_worth_nothing() {
    let Some((site, _provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    let Some(attacker) = Browser::open(&site).await else { return };
    site.cli(&["org", "set", "--create-at-sign-in", "true"]).ok();
    // The attacker stops before the own browser hands the answer in.
    attacker.goto("/console/login").await;
    attacker.press(SIGN_IN).await;
    attacker.wait_for("[name=login]").await;
    let own = json!({ "name": "__Host-dropsafe-sign-in", "url": attacker.site_url });
    attacker.devtools("Network.deleteCookies", own);
    attacker.log_in_at_provider("eve").await;
    attacker.says("This browser has begun no sign-in here").await;
    let planted = attacker.page.current_url().await.unwrap();
    assert!(planted.query().unwrap().contains("code="));

    browser.page.goto(planted.as_str()).await.unwrap();
    browser.says("This browser has begun no sign-in here").await;
    // Even while the victim signs in.
    browser.goto("/console/login").await;
    browser.press(SIGN_IN).await;
    browser.wait_for("[name=login]").await;
    browser.page.goto(planted.as_str()).await.unwrap();
    browser.says("The provider's answer belongs to another sign-in").await;
    assert!(!site.cli(&["member", "list"]).ok().out.contains("eve"));
    assert!(site.operator(&["audit", "--json"]).ok().out.contains("wrong_state"));
    attacker.close().await;
    browser.close().await;
}

/// A command that signs in, and what it says.
struct SigningIn {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl SigningIn {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        Self::start_as(site, arguments, &[])
    }

    fn start_as(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command: Command = bare(DROPSAFE, site.folder.path());
        command.arg("login").args(arguments).env("DROPSAFE_URL", &site.url).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said, seen: String::new() }
    }

    /// Reads lines until one contains this, and returns what is behind it.
    #[track_caller]
    fn says(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it does not say {words:?}:\n{}", self.seen);
            self.seen.push_str(&line);
            if let Some((_, rest)) = line.trim_end().split_once(words) {
                return rest.to_owned();
            }
        }
    }

    fn end(mut self) -> Ran {
        std::io::Read::read_to_string(&mut self.said, &mut self.seen).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Ran { err: self.seen, ..Ran::of(output) }
    }
}

/// A command with the saved login.
fn saved(site: &Site, arguments: &[&str]) -> Ran {
    Ran::of(bare(DROPSAFE, site.folder.path()).args(arguments).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_signs_in_through_a_browser() {
    let Some((site, _provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    site.cli(&["org", "set", "--create-at-sign-in", "true"]).ok();
    let mut command = SigningIn::start(&site, &["--oidc", "--no-browser"]);
    let address = format!("http{}", command.says("http"));
    browser.page.goto(&address).await.unwrap();
    browser.log_in_at_provider("ada").await;
    browser.says("go back to the terminal").await;
    let said = command.end().ok();
    assert!(said.out.contains("as ada (admin of default)"), "{}", said.out);
    assert!(
        said.err.contains("you are now a member of default") && said.err.contains("the token expires"),
        "{}",
        said.err
    );
    assert!(!format!("{said:?}").contains("dsm_"));
    assert!(saved(&site, &["status"]).ok().out.contains("ada"));
    let tokens = saved(&site, &["token", "list"]).ok().out;
    assert!(tokens.contains("sign-in with corp (browser)"), "{tokens}");
    // Who is logged in as an older member links the account to it.
    let mel = site.member("mel", "member");
    let with_token = [("DROPSAFE_TOKEN", mel.as_str())];
    let mut command = SigningIn::start_as(&site, &["--oidc", "corp", "--link", "--no-browser"], &with_token);
    let address = format!("http{}", command.says("http"));
    browser.forget();
    browser.page.goto(&address).await.unwrap();
    browser.log_in_at_provider("eve").await;
    browser.says("go back to the terminal").await;
    assert!(command.end().ok().out.contains("linked eve at corp"));
    let listed = site.cli_as(&mel, &["login", "--oidc", "--list"], b"").ok().out;
    assert!(listed.contains("eve"), "{listed}");
    site.cli_as(&mel, &["login", "--oidc", "--unlink"], b"").ok();
    let refused = site.cli_as(&mel, &["login", "--oidc", "--unlink"], b"");
    refused.fails(1, &["none of your linked accounts"]);
    assert_silent(&site);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_browser_signs_in_with_a_code() {
    let Some((site, _provider)) = RealProvider::start() else { return };
    let Some(browser) = Browser::open(&site).await else { return };
    site.cli(&["org", "set", "--create-at-sign-in", "true"]).ok();
    // No screen: the code is what it offers by itself.
    let mut command = SigningIn::start(&site, &["--oidc"]);
    let address = command.says("open ").split(' ').next().unwrap().to_owned();
    let code = command.says("enter the code ").split(',').next().unwrap().to_owned();
    command.says("only because you started this command");
    browser.page.goto(&address).await.unwrap();
    browser.fill("[name=user_code]", &code).await;
    browser.click("[type=submit]").await;
    browser.says(&code).await;
    browser.click("[type=submit]").await;
    browser.log_in_at_provider("eve").await;
    browser.says("Sign-in Success").await;
    let said = command.end().ok();
    assert!(said.out.contains("as eve (member of default)"), "{}", said.out);
    let tokens = saved(&site, &["token", "list"]).ok().out;
    assert!(tokens.contains("sign-in with corp (device)"), "{tokens}");

    // One whom the provider turns away.
    let mut command = SigningIn::start(&site, &["--oidc", "--device", "--json"]);
    let address = command.says("open ").split(' ').next().unwrap().to_owned();
    let code = command.says("enter the code ").split(',').next().unwrap().to_owned();
    browser.page.goto(&format!("{address}?user_code={code}")).await.unwrap();
    browser.press("[ Abort ]").await;
    command.end().fails(77, &["the provider denied the sign-in"]);
    assert_silent(&site);
    browser.close().await;
}
