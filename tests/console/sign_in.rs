//! Sign-in with a provider without a browser: what a browser would send, and what an attacker would. The provider is on loopback.

use dropsafe::api::OverTls;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::requests::{TestBrowser, between, cookie_of, cookies, get, post};
use crate::test_api::{Answer, TestApi, Who, configured_providers};
use crate::test_provider::{CLIENT_SECRET, TestProvider, form};

const SAME_ORIGIN: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

struct Site {
    api: TestApi,
    there: TestProvider,
}

/// A sign-in in one browser: the cookie that it keeps, and the path and query that the provider sends it to.
struct Leaving {
    cookie: String,
    callback: String,
}

/// The cookie of a sign-in that a response sets.
fn sign_in_cookie(answer: &Answer) -> Option<String> {
    let lines = cookies(answer);
    let line = lines.iter().find(|line| line.contains("sign-in=") && !line.contains("Max-Age=0"))?;
    for part in ["; Path=/;", "HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(line.contains(part), "{line}");
    }
    line.split(';').next().map(str::to_owned)
}

impl Site {
    async fn new() -> Self {
        let (api, there) = (TestApi::new().await, TestProvider::start().await);
        let issuer = &there.issuer;
        let yaml = format!(
            "sign_in:\n  url: https://store.example\n  providers:\n    - name: corp\n      title: Acme <account>\n      issuer: {issuer}\n      \
             client_id: dropsafe\n      client_secret_file: client.secret\n      command_line: {{client_id: dropsafe-cli}}\n      \
             groups:\n        - {{group: staff, organization: default}}\n        - {{group: staff, organization: other}}\n    \
             - name: second\n      issuer: {issuer}\n      client_id: dropsafe\n      client_secret_file: client.secret\n"
        );
        let api = api.with_providers(configured_providers(&yaml, CLIENT_SECRET));
        there.set_time(api.now().as_millis() / 1000);
        there.person(json!({ "sub": "s-mel", "preferred_username": "mel.m", "groups": ["staff"] }));
        Self { api, there }
    }

    /// The page that leads to the provider, followed to what the provider sends back.
    fn follow(&self, answer: &Answer) -> Leaving {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let url = between(&answer.text, "content=\"0;url=", "\"").replace("&#38;", "&").replace("&amp;", "&");
        let location = self.there.authorize(&url);
        let callback = location.strip_prefix("https://store.example").unwrap().to_owned();
        Leaving { cookie: sign_in_cookie(answer).unwrap(), callback }
    }

    async fn leave_with(&self, cookie: &str, fields: &[(&str, &str)]) -> Leaving {
        self.follow(&post(&self.api, "/console/sign-in/start", cookie, SAME_ORIGIN, fields).await)
    }

    async fn leave(&self) -> Leaving {
        self.leave_with("", &[("provider", "corp")]).await
    }

    async fn come_back(&self, leaving: &Leaving) -> Answer {
        get(&self.api, &leaving.callback, &leaving.cookie).await
    }

    /// Links the provider's person to the member who uses this browser.
    async fn link(&self, browser: &TestBrowser<'_>) -> Answer {
        let begun = browser.post("/console/sign-in/link", &[("provider", "corp")]).await;
        let leaving = self.follow(&begun);
        let back = self.come_back(&leaving).await;
        assert!(back.text.contains("content=\"0;url=/console/sign-in/confirm\""), "{}", back.text);
        let with = format!("{}; {}", browser.cookie, sign_in_cookie(&back).unwrap());
        let page = get(&self.api, "/console/sign-in/confirm", &with).await;
        assert!(page.text.contains("Link this account?") && page.text.contains("s-mel"), "{}", page.text);
        let csrf = between(&page.text, "name=\"csrf_token\" value=\"", "\"").to_owned();
        post(&self.api, "/console/sign-in/confirm", &with, SAME_ORIGIN, &[("csrf_token", &csrf)]).await
    }
}

/// The page says so, with the form to begin again, and leaves no cookie of the sign-in.
#[track_caller]
fn assert_refused(answer: &Answer, says: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    assert!(answer.text.contains(says), "{}", answer.text);
    assert!(answer.text.contains("action=\"/console/sign-in/start\""));
    assert!(!answer.text.contains("canary") && !answer.text.contains("code="), "{}", answer.text);
    assert!(
        sign_in_cookie(answer).is_none() && !cookies(answer).iter().any(|line| line.contains("session=A"))
    );
}

#[tokio::test]
async fn a_person_signs_in_and_gets_an_ordinary_session() {
    let site = Site::new().await;
    let mel = TestBrowser::new(&site.api, Who::Member).await;
    assert_eq!(site.link(&mel).await.status, StatusCode::SEE_OTHER);
    let page = get(&site.api, "/console/login", "").await;
    assert!(page.text.contains("Sign in with Acme &#60;account&#62;"), "{}", page.text);

    let leaving = site.leave_with("", &[("provider", "corp"), ("next", "/console/tickets?x=y")]).await;
    assert!(!leaving.cookie.contains("canary"));
    let back = site.come_back(&leaving).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.text);
    // A page, and no redirect: with a redirect from another site, the browser would not send the session's cookie.
    assert!(back.text.contains("content=\"0;url=/console/tickets?x=y\""), "{}", back.text);
    // Its address, which holds the provider's answer, is named to no other site.
    assert!(!back.text.contains("code=") && back.headers["referrer-policy"] == "same-origin");
    assert_eq!(back.headers["cache-control"], "no-store");
    let lines = cookies(&back);
    assert!(lines.iter().any(|line| line.contains("sign-in=;") && line.contains("Max-Age=0")), "{lines:?}");
    let session = lines.iter().find(|line| line.contains("session=")).unwrap();
    assert!(session.contains("SameSite=Strict") && session.contains("HttpOnly"), "{session}");
    let page = get(&site.api, "/console/tickets", &cookie_of(&back)).await;
    assert!(page.status == StatusCode::OK && page.text.contains("mel"), "{}", page.text);
    // The same answer again.
    assert_refused(&site.come_back(&leaving).await, "does not accept the code");
}

#[tokio::test]
async fn an_answer_of_another_browser_is_refused() {
    let site = Site::new().await;
    let mel = TestBrowser::new(&site.api, Who::Member).await;
    site.link(&mel).await;
    let (victim, attacker) = (site.leave().await, site.leave().await);
    let asked = site.there.asked("/token");
    // In a browser that has begun nothing, and in one that has begun something else.
    assert_refused(&get(&site.api, &attacker.callback, "").await, "has begun no sign-in here");
    assert_refused(&get(&site.api, &attacker.callback, &victim.cookie).await, "belongs to another sign-in");
    // With the victim's state, if it leaked: the verifier is in the cookie.
    let parameters = |leaving: &Leaving| form(leaving.callback.split_once('?').unwrap().1);
    let (path, _) = attacker.callback.split_once('?').unwrap();
    let injected =
        format!("{path}?code={}&state={}", parameters(&attacker)["code"], parameters(&victim)["state"]);
    assert_refused(&get(&site.api, &injected, &victim.cookie).await, "does not accept the code");
    assert_eq!(site.there.asked("/token"), asked + 1, "only the last one was shown to the provider");
    // Two cookies: somebody planted the second one.
    let both = format!("{}; {}", victim.cookie, attacker.cookie);
    assert_refused(&get(&site.api, &victim.callback, &both).await, "has begun no sign-in here");
}

#[tokio::test]
async fn an_answer_at_another_place_is_refused() {
    let site = Site::new().await;
    // At the address of another provider (mix-up), with what belongs to the first one.
    let leaving = site.leave().await;
    let elsewhere = leaving.callback.replace("/callback/corp", "/callback/second");
    assert_refused(&get(&site.api, &elsewhere, &leaving.cookie).await, "at another place");
    // What a command began ends in no browser, and what a browser began in no command.
    let body = json!({ "provider": "corp", "port": 4444 });
    let begun = site.api.ask_as("", "POST", "/v1/sign-in/browser", body).await.expect(200);
    let location = site.there.authorize(begun["authorization_url"].as_str().unwrap());
    let (_, query) = location.split_once('?').unwrap();
    let name = leaving.cookie.split_once('=').unwrap().0;
    let planted = format!("{name}={}", begun["sign_in"].as_str().unwrap());
    let at = format!("/console/sign-in/callback/corp?{query}");
    assert_refused(&get(&site.api, &at, &planted).await, "at another place");
    let parameters = form(leaving.callback.split_once('?').unwrap().1);
    let sealed = leaving.cookie.split_once('=').unwrap().1;
    let body = json!({ "sign_in": sealed, "code": parameters["code"], "state": parameters["state"] });
    let answer = site.api.ask_as("", "POST", "/v1/sign-in/proof", body).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(site.there.asked("/token"), 0);
}

#[tokio::test]
async fn what_a_provider_says_of_an_error_is_not_repeated() {
    let site = Site::new().await;
    let leaving = site.leave().await;
    let (path, query) = leaving.callback.split_once('?').unwrap();
    let state = &form(query)["state"];
    let denied =
        format!("{path}?error=canary%3Cb%3E&error_description=canary&error_uri=https://canary&state={state}");
    assert_refused(&get(&site.api, &denied, &leaving.cookie).await, "The provider denied the sign-in");
    for query in ["", "code=canary", "state=canary", "code=a&code=b&state=c", "%ff=%ff&code=%00", "code"] {
        let leaving = site.leave().await;
        let answer = get(&site.api, &format!("{path}?{query}"), &leaving.cookie).await;
        assert_refused(&answer, "belongs to another sign-in");
    }
    let long = format!("{path}?code={}&state={state}", "x".repeat(5000));
    let answer = get(&site.api, &long, &site.leave().await.cookie).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    for path in ["/console/sign-in/callback/nowhere?code=a&state=b", "/console/sign-in/callback/%00?code=a"] {
        assert!(get(&site.api, path, &leaving.cookie).await.status.is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn another_site_begins_nothing_and_leads_nowhere() {
    let site = Site::new().await;
    let fields = [("provider", "corp")];
    let foreign =
        post(&site.api, "/console/sign-in/start", "", &[("sec-fetch-site", "cross-site")], &fields).await;
    assert!(foreign.status.is_client_error() && sign_in_cookie(&foreign).is_none(), "{}", foreign.status);
    let get_it = get(&site.api, "/console/sign-in/start", "").await;
    assert_eq!(get_it.status, StatusCode::METHOD_NOT_ALLOWED);
    let mel = TestBrowser::new(&site.api, Who::Member).await;
    site.link(&mel).await;
    for next in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        &"/x".repeat(400),
    ] {
        let leaving = site.leave_with("", &[("provider", "corp"), ("next", next)]).await;
        let back = site.come_back(&leaving).await;
        assert!(
            back.text.contains("content=\"0;url=/console/\"")
                || back.text.contains("content=\"0;url=/console/secrets\""),
            "{next}: {}",
            back.text
        );
    }
    let unknown = post(&site.api, "/console/sign-in/start", "", SAME_ORIGIN, &[("provider", "none")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
}

#[tokio::test]
async fn a_session_that_was_there_ends_before_another_begins() {
    let site = Site::new().await;
    let mel = TestBrowser::new(&site.api, Who::Member).await;
    let begun =
        post(&site.api, "/console/sign-in/start", &mel.cookie, SAME_ORIGIN, &[("provider", "corp")]).await;
    assert_eq!(begun.status, StatusCode::OK);
    assert!(cookies(&begun).iter().any(|line| line.contains("session=;") && line.contains("Max-Age=0")));
    assert_eq!(mel.get("/console/tickets").await.status, StatusCode::SEE_OTHER, "the session is still open");
}

#[tokio::test]
async fn a_link_is_for_the_member_who_began_it_and_saw_the_account() {
    let site = Site::new().await;
    let (mel, admin) =
        (TestBrowser::new(&site.api, Who::Member).await, TestBrowser::new(&site.api, Who::Admin).await);
    let accounts = async || {
        let found = site.api.ask(Who::Member, "GET", "/v1/sign-in/accounts", Value::Null).await.expect(200);
        found["items"].as_array().unwrap().len()
    };
    let leaving = site.follow(&mel.post("/console/sign-in/link", &[("provider", "corp")]).await);
    let back = site.come_back(&leaving).await;
    let proof = sign_in_cookie(&back).unwrap();
    assert_eq!(accounts().await, 0, "coming back alone links nothing");
    // In the session of somebody else.
    let with = format!("{}; {proof}", admin.cookie);
    let page = get(&site.api, "/console/sign-in/confirm", &with).await;
    assert!(page.status == StatusCode::CONFLICT && !page.text.contains("s-mel"), "{}", page.text);
    // Without the session's own token for forms.
    let with = format!("{}; {proof}", mel.cookie);
    let forged =
        post(&site.api, "/console/sign-in/confirm", &with, SAME_ORIGIN, &[("csrf_token", "x")]).await;
    assert!(forged.status.is_client_error());
    // It signs nobody in.
    let chosen = [("organization", "default")];
    let answer = post(&site.api, "/console/sign-in/organization", &proof, SAME_ORIGIN, &chosen).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    assert_eq!(accounts().await, 0);
    site.link(&mel).await;
    assert_eq!(accounts().await, 1);

    // Unlinked in the session that the account started: it is over.
    let back = site.come_back(&site.leave().await).await;
    let page = get(&site.api, "/console/sign-in", &cookie_of(&back)).await;
    let csrf = between(&page.text, "name=\"csrf_token\" value=\"", "\"").to_owned();
    let id = between(&page.text, "name=\"id\" value=\"", "\"").to_owned();
    let fields = [("csrf_token", csrf.as_str()), ("id", id.as_str())];
    let other = admin.post("/console/sign-in/unlink", &[("id", id.as_str())]).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND, "{}", other.text);
    let unlinked = post(&site.api, "/console/sign-in/unlink", &cookie_of(&back), SAME_ORIGIN, &fields).await;
    assert_eq!(unlinked.status, StatusCode::SEE_OTHER);
    let page = get(&site.api, "/console/sign-in", &cookie_of(&back)).await;
    assert!(page.headers["location"].to_str().unwrap().starts_with("/console/login"));
    assert_eq!(accounts().await, 0);
}

#[tokio::test]
async fn of_several_organizations_the_person_chooses_one() {
    let site = Site::new().await;
    let mel = TestBrowser::new(&site.api, Who::Member).await;
    site.link(&mel).await;
    let create = json!({ "create_at_sign_in": true });
    site.api.ask(Who::Other, "PATCH", "/v1/org", create).await.expect(200);
    let back = site.come_back(&site.leave().await).await;
    assert!(
        back.text.contains("belongs to several organizations") && back.text.contains("value=\"other\""),
        "{}",
        back.text
    );
    let proof = sign_in_cookie(&back).unwrap();
    let choose = async |org: &str, headers: &[(&str, &str)]| {
        post(&site.api, "/console/sign-in/organization", &proof, headers, &[("organization", org)]).await
    };
    assert!(choose("other", &[("sec-fetch-site", "cross-site")]).await.status.is_client_error());
    let unknown = choose("nowhere", SAME_ORIGIN).await;
    assert_eq!(unknown.status, StatusCode::FORBIDDEN, "{}", unknown.text);
    let chosen = choose("other", SAME_ORIGIN).await;
    assert_eq!(chosen.status, StatusCode::SEE_OTHER, "{}", chosen.text);
    let page = get(&site.api, "/console/status", &cookie_of(&chosen)).await;
    assert!(page.text.contains("mel.m"), "{}", page.text);
    assert_eq!(choose("default", SAME_ORIGIN).await.status, StatusCode::FORBIDDEN, "the proof worked twice");
}

#[tokio::test]
async fn under_tls_only_this_host_can_set_the_cookie() {
    let site = Site::new().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"provider\"\r\n\r\ncorp\r\n--b--\r\n";
    let mut request = Request::builder()
        .method("POST")
        .uri("/console/sign-in/start")
        .header("host", "store.example")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(axum::body::Body::from(body))
        .unwrap();
    request.extensions_mut().insert(OverTls);
    let answer = site.api.send(request).await;
    let cookie = sign_in_cookie(&answer).unwrap();
    assert!(cookie.starts_with("__Host-dropsafe-sign-in="), "{cookie}");
    assert!(
        cookies(&answer)
            .iter()
            .any(|line| line.starts_with("__Host-dropsafe-sign-in") && line.contains("Secure"))
    );
}

#[tokio::test]
async fn without_providers_there_is_no_trace_of_them() {
    let api = TestApi::new().await;
    let page = get(&api, "/console/login", "").await;
    assert!(!page.text.contains("sign-in") && !page.text.contains("Sign in with"), "{}", page.text);
    let mel = TestBrowser::new(&api, Who::Member).await;
    assert!(!mel.get("/console/status").await.text.contains("/console/sign-in"));
    // The operator is no person of an organization.
    let site = Site::new().await;
    let operator = TestBrowser::new(&site.api, Who::Operator).await;
    assert_eq!(operator.get("/console/sign-in").await.status, StatusCode::FORBIDDEN);
}
