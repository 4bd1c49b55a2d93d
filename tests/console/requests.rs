//! Requests to the console without a browser: what a browser would send, and what an attacker would. The store is in memory.

use dropsafe::api::OverTls;
use dropsafe::domain::ticket::BootTicket;
use http::{Request, StatusCode};
use serde_json::json;

use crate::test_api::{Answer, TestApi, Who};

const VALUE: &str = "sk-canary0123456789abcdefghijKLMN";

/// The cookies and the CSRF token of a session.
pub(super) struct TestBrowser<'a> {
    api: &'a TestApi,
    pub(super) cookie: String,
    csrf_token: String,
}

impl<'a> TestBrowser<'a> {
    pub(super) async fn new(api: &'a TestApi, who: Who) -> Self {
        let answer = log_in(api, api.credential(who), "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let cookie = cookie_of(&answer);
        let mut browser = Self { api, cookie, csrf_token: String::new() };
        let page = browser.get("/console/status").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        browser.csrf_token = between(&page.text, "name=\"csrf_token\" value=\"", "\"").to_owned();
        browser
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        get(self.api, path, &self.cookie).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf_token", self.csrf_token.as_str())];
        all.extend_from_slice(fields);
        post(self.api, path, &self.cookie, &[("sec-fetch-site", "same-origin")], &all).await
    }

    /// Deposits a secret and returns the address of its page.
    async fn deposit(&self, name: &str, value: &str, more: &[(&str, &str)]) -> String {
        let mut fields = vec![("name", name), ("value", value), ("auto_install", "on")];
        fields.extend_from_slice(more);
        let answer = self.post("/console/secrets", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.headers["location"].to_str().unwrap().to_owned()
    }
}

pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

pub(super) fn cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

/// Returns the session's cookie that a response sets.
pub(super) fn cookie_of(answer: &Answer) -> String {
    let lines = cookies(answer);
    let line = lines.iter().find(|line| line.contains("session=") && !line.contains("Max-Age=0")).unwrap();
    line.split(';').next().unwrap().to_owned()
}

fn multipart(fields: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body + "--b--\r\n"
}

pub(super) async fn get(api: &TestApi, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().uri(path).header("host", "store.example").header("cookie", cookie);
    api.send(request.body(axum::body::Body::empty()).unwrap()).await
}

pub(super) async fn post(
    api: &TestApi,
    path: &str,
    cookie: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .header("host", "store.example")
        .header("cookie", cookie)
        .header("content-type", "multipart/form-data; boundary=b");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(axum::body::Body::from(multipart(fields))).unwrap()).await
}

pub(super) async fn log_in(api: &TestApi, token: &str, cookie: &str) -> Answer {
    post(api, "/console/login", cookie, &[("sec-fetch-site", "same-origin")], &[("token", token)]).await
}

/// Every page that a member can open without knowing an id.
const PAGES: &[&str] = &[
    "/console/secrets",
    "/console/secrets/new",
    "/console/secrets/preset?preset=openai",
    "/console/import",
    "/console/plugins",
    "/console/boots",
    "/console/tickets",
    "/console/identities",
    "/console/members",
    "/console/audit",
    "/console/settings",
    "/console/sign-in",
    "/console/status",
    "/console/nothing",
    "/console/login",
];

#[tokio::test]
async fn every_page_forbids_foreign_content() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    for path in PAGES {
        let answer = admin.get(path).await;
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(header("content-type").starts_with("text/html"), "{path}");
        let page = &answer.text;
        for (at, _) in page.match_indices("<script") {
            assert!(
                page[at..].starts_with("<script type=\"module\" src=\"/console/assets/"),
                "{path}: an inline script"
            );
        }
        for inline in
            ["<style", " style=", " onclick=", " onload=", " onerror=", "javascript:", "http://", "https://"]
        {
            assert!(!page.contains(inline), "{path} holds {inline}");
        }
    }
}

#[tokio::test]
async fn without_a_session_there_is_the_login_page_and_nothing_else() {
    let api = TestApi::new().await;
    for path in PAGES.iter().filter(|path| !path.ends_with("login") && !path.ends_with("nothing")) {
        for cookie in ["", "dropsafe-session=", &format!("dropsafe-session={}", "A".repeat(64))] {
            let answer = get(&api, path, cookie).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            assert!(answer.headers["location"].to_str().unwrap().starts_with("/console/login"), "{path}");
        }
    }
    assert_eq!(get(&api, "/", "").await.headers["location"], "/console/");
    for who in [Who::Expired, Who::Revoked, Who::Ticket] {
        let answer = log_in(&api, api.credential(who), "").await;
        assert!(answer.status.is_client_error() && cookies(&answer).is_empty(), "{who:?}: {}", answer.status);
        assert!(!answer.text.contains(api.credential(who)), "the token comes back");
    }
}

#[tokio::test]
async fn the_sessions_cookie_is_for_this_site_alone_and_new_at_each_login() {
    let api = TestApi::new().await;
    let token = api.credential(Who::Member);
    let first = log_in(&api, token, "").await;
    let line = &cookies(&first)[0];
    for part in ["; Path=/;", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains(token));

    let mut request = Request::builder()
        .method("POST")
        .uri("/console/login")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(axum::body::Body::from(multipart(&[("token", token)])))
        .unwrap();
    request.extensions_mut().insert(OverTls);
    let over_tls = api.send(request).await;
    let line = &cookies(&over_tls)[0];
    assert!(line.starts_with("__Host-dropsafe-session=") && line.ends_with("; Secure"), "{line}");

    // Session fixation: a login always starts a new session and ends the one that the browser had.
    let planted = cookie_of(&first);
    let second = log_in(&api, token, &planted).await;
    assert_ne!(cookie_of(&second), planted);
    assert_eq!(get(&api, "/console/secrets", &planted).await.status, StatusCode::SEE_OTHER);
    assert_eq!(get(&api, "/console/secrets", &cookie_of(&second)).await.status, StatusCode::OK);
    // A session id that an attacker made up never becomes valid.
    let made_up = format!("dropsafe-session={}", "B".repeat(64));
    let third = log_in(&api, token, &made_up).await;
    assert_ne!(cookie_of(&third), made_up);
    assert_eq!(get(&api, "/console/secrets", &made_up).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_request_of_another_site_or_session_changes_nothing() {
    let api = TestApi::new().await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let other = TestBrowser::new(&api, Who::Admin).await;
    let fields = |form: &'static str| [("csrf_token", form), ("name", "planted"), ("value", VALUE)];
    let own = [("csrf_token", member.csrf_token.as_str()), ("name", "planted"), ("value", VALUE)];
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        let answer = post(&api, "/console/secrets", &member.cookie, headers, &own).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!answer.text.contains(VALUE));
    }
    let here = [("sec-fetch-site", "same-origin")];
    for form in ["", "0123456789abcdef0123456789abcdef"] {
        let answer = post(&api, "/console/secrets", &member.cookie, &here, &fields(form)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let theirs = [("csrf_token", other.csrf_token.as_str()), ("name", "planted"), ("value", VALUE)];
    assert_eq!(
        post(&api, "/console/secrets", &member.cookie, &here, &theirs).await.status,
        StatusCode::FORBIDDEN
    );
    // Another site must not log its visitor into the attacker's account (login CSRF).
    let answer = post(
        &api,
        "/console/login",
        "",
        &[("sec-fetch-site", "cross-site")],
        &[("token", api.credential(Who::Member))],
    )
    .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(cookies(&answer).iter().all(|line| !line.contains("session=")));
    assert!(!member.get("/console/secrets").await.text.contains("planted"));
}

#[tokio::test]
async fn a_session_ends_when_idle_when_logged_out_and_with_its_token() {
    let api = TestApi::new().await;
    let member = TestBrowser::new(&api, Who::Member).await;
    api.pass(30 * 60 * 1000);
    assert_eq!(member.get("/console/secrets").await.status, StatusCode::SEE_OTHER);

    let (first, second) =
        (TestBrowser::new(&api, Who::Member).await, TestBrowser::new(&api, Who::Member).await);
    let out = first.post("/console/logout", &[]).await;
    assert_eq!(out.headers["location"], "/console/login");
    assert!(
        cookies(&out).iter().any(|line| line.starts_with("dropsafe-session=;") && line.contains("Max-Age=0"))
    );
    assert_eq!(first.get("/console/secrets").await.status, StatusCode::SEE_OTHER);
    assert_eq!(second.get("/console/secrets").await.status, StatusCode::OK);
    let third = TestBrowser::new(&api, Who::Member).await;
    third.post("/console/logout-everywhere", &[]).await;
    assert_eq!(second.get("/console/secrets").await.status, StatusCode::SEE_OTHER);
    assert_eq!(third.get("/console/secrets").await.status, StatusCode::SEE_OTHER);

    let last = TestBrowser::new(&api, Who::Member).await;
    api.ask(Who::Admin, "DELETE", "/v1/members/mel", serde_json::Value::Null).await.expect(200);
    assert_eq!(last.get("/console/secrets").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_value_comes_back_in_no_page_not_even_in_the_form_that_was_refused() {
    let api = TestApi::new().await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let page = member.deposit("openai-api-key", VALUE, &[]).await;
    let refusals = [
        ("/console/secrets".to_owned(), vec![("name", "openai-api-key"), ("value", VALUE)]),
        ("/console/secrets".to_owned(), vec![("name", "LD_PRELOAD"), ("value", VALUE)]),
        ("/console/secrets".to_owned(), vec![("name", VALUE), ("value", VALUE), ("as", "lower case")]),
        ("/console/secrets/preset".to_owned(), vec![("preset", "stripe"), ("value.webhook_secret", VALUE)]),
        (format!("{page}/replace"), vec![("value", VALUE), ("version", "ver_none"), ("as", "no name")]),
        (
            "/console/import".to_owned(),
            vec![
                (
                    "env",
                    "OPENAI_KEY=sk-canary0123456789abcdefghijKLMN\nLD_PRELOAD=sk-canary0123456789abcdefghijKLMN",
                ),
                ("mode", "store"),
            ],
        ),
        (
            "/console/plugins/fill".to_owned(),
            vec![("plugin", "x"), ("name", "openai-api-key"), ("value", VALUE)],
        ),
        ("/console/status/unlock".to_owned(), vec![("passphrase", VALUE)]),
    ];
    for (path, fields) in refusals {
        let name_is_value = fields.contains(&("name", VALUE));
        let answer = member.post(&path, &fields).await;
        assert!(answer.status.is_client_error(), "{path}: {} {}", answer.status, answer.text);
        let there = answer.text.matches(VALUE).count();
        // The name returns to its field. The value's field is empty.
        assert_eq!(there, if name_is_value { 1 } else { 0 }, "{path}: {}", answer.text);
    }
    let mut pages: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    pages.push(page);
    pages.push("/console/live/name?name=openai-api-key".to_owned());
    pages.push("/console/audit/export".to_owned());
    for visitor in [&member, &TestBrowser::new(&api, Who::Admin).await] {
        for path in &pages {
            let answer = visitor.get(path).await;
            assert!(!answer.text.contains(VALUE), "{path}");
            assert!(!answer.text.contains("canary0123"), "{path}");
            assert!(!format!("{:?}", answer.headers).contains("canary"), "{path}");
        }
    }
}

#[tokio::test]
async fn typed_markup_is_displayed_as_text_on_every_page() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let script = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let evil = |text: &str| text.contains("<script>alert") || text.contains("<img src=x");
    // Names with markup are refused, and escaped where the form displays them again.
    for (path, field) in [
        ("/console/secrets", "name"),
        ("/console/secrets", "as"),
        ("/console/secrets", "plugin"),
        ("/console/secrets", "category"),
        ("/console/plugins", "plugin"),
        ("/console/plugins", "required"),
        ("/console/members", "name"),
        ("/console/tickets", "sources"),
        ("/console/tickets", "plugins"),
        ("/console/identities", "template"),
        ("/console/identities", "claims"),
        ("/console/issuers", "url"),
        ("/console/tokens", "member"),
        ("/console/import", "plugin"),
    ] {
        let mut fields =
            vec![("name", "fine"), ("value", VALUE), ("role", "member"), ("plugin", "fine"), ("env", "A=1")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, script));
        let answer = admin.post(path, &fields).await;
        assert!(answer.status.is_client_error(), "{path} {field}: {}", answer.status);
        assert!(!evil(&answer.text), "{path} {field}: {}", answer.text);
    }
    // Labels and titles may contain markup, which pages display as text.
    admin.post("/console/tickets", &[("label", script), ("ttl", "1")]).await;
    admin.post("/console/tokens", &[("label", script)]).await;
    admin.post("/console/plugins", &[("plugin", "mail"), ("title", script)]).await;
    api.ask(
        Who::Admin,
        "PUT",
        "/v1/categories/odd",
        json!({ "title": script, "colour": "red", "description": script }),
    )
    .await
    .expect(200);
    admin.deposit("setting", script, &[("type", "plain"), ("category", "odd"), ("plugin", "mail")]).await;
    let ticket = api.ticket(json!({})).await;
    api.ask_as(&ticket, "POST", "/v1/boot", json!({ "host": script, "machine": script, "agent": script }))
        .await;
    let mut seen = 0;
    for path in PAGES {
        let page = admin.get(path).await.text;
        assert!(!evil(&page), "{path}: {page}");
        seen += page.matches("&#60;script&#62;alert").count();
    }
    assert!(seen >= 4, "the texts are missing from the pages");
    // A query returns to its field.
    let encoded = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%3E%3Cimg%20src%3Dx%3E";
    for path in [
        "/console/secrets?q=",
        "/console/boots?secret=",
        "/console/audit?q=",
        "/console/login?next=/console/",
    ] {
        let page = admin.get(&format!("{path}{encoded}")).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!evil(&page.text), "{path}");
    }
}

#[tokio::test]
async fn a_member_sees_and_changes_nothing_private_of_another() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let private = admin.deposit("adas-own-key", VALUE, &[]).await;
    for path in [
        "/console/secrets",
        "/console/secrets?scope=private",
        "/console/secrets?q=adas",
        "/console/plugins",
        "/console/boots?secret=adas-own-key",
    ] {
        let page = member.get(path).await.text;
        assert!(!page.contains("adas-own-key</a>") && !page.contains("ADAS_OWN_KEY"), "{path}");
    }
    assert_eq!(member.get(&private).await.status, StatusCode::NOT_FOUND);
    for action in ["replace", "edit", "re-encrypt", "delete", "install"] {
        let answer = member.post(&format!("{private}/{action}"), &[("value", "x")]).await;
        assert!(answer.status.is_client_error(), "{action}: {}", answer.status);
    }
    assert_eq!(admin.get(&private).await.status, StatusCode::OK);
    // The log has the entries about this member only.
    for path in ["/console/audit", "/console/audit/export"] {
        let answer = member.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.text.contains("adas-own-key") && !answer.text.contains("ADAS_OWN_KEY"), "{path}");
    }
    let live = member.get("/console/live/name?name=adas-own-key").await;
    assert_eq!(live.json()["taken"], serde_json::Value::Null, "{}", live.text);
}

/// Another member made it plain, and so readable; the form's first choice leaves the type as it is.
#[tokio::test]
async fn no_form_stores_a_readable_value_for_somebody_who_did_not_choose_the_type() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let page = member.deposit("API_TOKEN", "old", &[("type", "plain"), ("scope", "shared")]).await;
    let file = format!("API_TOKEN={VALUE}");
    let import = [("env", file.as_str()), ("scope", "shared"), ("existing", "replace"), ("mode", "store")];
    for (path, fields) in [
        (format!("{page}/replace"), &[("value", VALUE)][..]),
        (format!("{page}/replace"), &[("value", VALUE), ("type", "")]),
        ("/console/import".to_owned(), &import),
    ] {
        let answer = admin.post(&path, fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", answer.text);
        assert!(
            answer.text.contains("Another member stored this secret as plain"),
            "{path}: {}",
            answer.text
        );
        assert!(!member.get(&page).await.text.contains(VALUE));
    }
    let answer = admin.post(&format!("{page}/replace"), &[("value", VALUE), ("type", "encrypted")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
}

#[tokio::test]
async fn the_end_of_a_boot_is_reported_by_those_who_may() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let secret = admin.deposit("key", VALUE, &[("scope", "shared")]).await;
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", serde_json::json!({})).await.expect(200);
    let path = format!("/console/boots/{}", boot["boot"].as_str().unwrap());
    let end = format!("{path}/end");
    assert!(member.get(&path).await.text.contains(&end));
    assert!(!admin.get(&path).await.text.contains(&end));
    assert_eq!(admin.post(&end, &[]).await.status, StatusCode::FORBIDDEN);
    let replaced = admin.post(&format!("{secret}/replace"), &[("value", "another value")]).await;
    assert_eq!(replaced.status, StatusCode::SEE_OTHER, "{}", replaced.text);
    let page = admin.get("/console/status").await.text;
    assert!(page.contains("1 hold some of them, 1 in an outdated version"), "{page}");
    // Nobody but an admin is left.
    api.ask(Who::Admin, "DELETE", "/v1/members/mel", serde_json::Value::Null).await.expect(200);
    assert!(admin.get(&path).await.text.contains(&end));
    assert_eq!(admin.post(&end, &[]).await.status, StatusCode::SEE_OTHER);
    let page = admin.get(&path).await.text;
    assert!(page.contains("reported by an administrator") && !page.contains(&end), "{page}");
}

#[tokio::test]
async fn a_form_that_is_too_large_or_damaged_is_refused_as_a_page() {
    let api = TestApi::new().await;
    let member = TestBrowser::new(&api, Who::Member).await;
    let long = "x".repeat(3 << 20);
    let answer = member.post("/console/secrets", &[("name", "long"), ("value", &long)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = member.post("/console/tickets", &[("label", &long[..1 << 17])]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text.contains("<html"));
    let long = &long[..100_000];
    let answer = member.post("/console/secrets", &[("name", "long"), ("value", long)]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    assert!(
        answer.text.contains("deliver it as a file") || answer.text.contains("Deliver it as a file"),
        "{}",
        answer.text
    );
    for path in [
        "/console/secrets/sec_nothing",
        "/console/boots/x",
        "/console/secrets?scope=all",
        "/console/audit?since=yesterday",
    ] {
        let answer = TestBrowser::new(&api, Who::Admin).await.get(path).await;
        assert!(
            answer.status.is_client_error() && answer.text.contains("<html"),
            "{path}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn without_scripts_every_form_works_and_a_reload_does_not_repeat_it() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let secret = admin
        .deposit(
            "openai-api-key",
            VALUE,
            &[("scope", "shared"), ("category", "skill_credential"), ("description", "What it opens")],
        )
        .await;
    let page = admin.get(&secret).await.text;
    assert!(page.contains("OPENAI_API_KEY") && page.contains("sk-****...KLMN"), "{page}");
    let version = between(&page, "name=\"version\" value=\"", "\"").to_owned();
    let submit = async |path: String, fields: &[(&str, &str)]| {
        let answer = admin.post(&path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text);
        let cookie = cookies(&answer).into_iter().find(|line| line.starts_with("dropsafe-flash=")).unwrap();
        let text = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        String::from_utf8(data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
    };
    assert!(
        submit(format!("{secret}/install"), &[("auto_install", "off"), ("return_to", "/console/secrets")])
            .await
            .contains("Auto-install is off")
    );
    assert!(
        submit(format!("{secret}/replace"), &[("value", "another-value-of-it"), ("version", &version)])
            .await
            .contains("Saved openai-api-key.")
    );
    let stale = admin.post(&format!("{secret}/replace"), &[("value", "third"), ("version", &version)]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "somebody else's change is not overwritten");
    assert!(
        submit(
            format!("{secret}/edit"),
            &[("plugin", "mail"), ("auto_install", "on"), ("description", "<b>Bold</b>")]
        )
        .await
        .contains("Updated openai-api-key.")
    );
    for page in [secret.as_str(), "/console/secrets?q=bold%3C"] {
        let page = admin.get(page).await.text;
        assert!(page.contains("&#60;b&#62;Bold&#60;/b&#62;"), "{page}");
    }
    submit(
        "/console/plugins".to_owned(),
        &[("plugin", "mail"), ("required", "openai-api-key smtp-password")],
    )
    .await;
    let plugins = admin.get("/console/plugins").await.text;
    assert!(plugins.contains("1 required secret is missing"), "{plugins}");
    submit(
        "/console/plugins/fill".to_owned(),
        &[("plugin", "mail"), ("name", "smtp-password"), ("value", "x"), ("scope", "shared")],
    )
    .await;
    assert!(admin.get("/console/plugins").await.text.contains("All required secrets are set"));
    assert!(
        submit("/console/plugins/enable".to_owned(), &[("plugin", "mail"), ("enabled", "off")])
            .await
            .contains("disabled")
    );
    let added = admin.post("/console/members", &[("name", "zoe"), ("role", "member")]).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    assert!(added.text.contains("Enrolment of zoe") && added.text.contains("dse_"), "{}", added.text);
    assert!(!admin.get("/console/members").await.text.contains("dse_"), "the code is displayed once");
    submit("/console/members/zoe/role".to_owned(), &[("role", "auditor")]).await;
    submit("/console/members/zoe/remove".to_owned(), &[]).await;

    let preview = admin
        .post(
            "/console/import",
            &[
                ("env", "NEW_ONE=a\nOPENAI_API_KEY=b"),
                ("scope", "shared"),
                ("existing", "replace"),
                ("mode", "preview"),
            ],
        )
        .await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    assert!(preview.text.contains("Nothing is stored yet"), "{}", preview.text);
    assert!(!admin.get("/console/secrets").await.text.contains("NEW_ONE"));
    assert!(
        submit(
            "/console/import".to_owned(),
            &[
                ("env", "NEW_ONE=a\nOPENAI_API_KEY=b"),
                ("scope", "shared"),
                ("existing", "replace"),
                ("mode", "store")
            ]
        )
        .await
        .contains("1 new, 1 replaced")
    );

    let page = admin.get("/console/tickets").await.text;
    let key = between(&page, "name=\"idempotency_key\" value=\"", "\"").to_owned();
    let fields =
        [("idempotency_key", key.as_str()), ("ttl", "1"), ("unit", "hours"), ("uses", "1"), ("label", "ci")];
    let made = admin.post("/console/tickets", &fields).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let ticket = between(&made.text, "readonly rows=\"4\">", "<").to_owned();
    assert!(ticket.starts_with("dst_"), "{ticket}");
    let again = admin.post("/console/tickets", &fields).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "loading the answer again makes no second ticket");
    assert!(!again.text.contains("dst_") && !admin.get("/console/tickets").await.text.contains(&ticket));

    let credential = BootTicket::parse(&ticket).unwrap().credential().to_text().to_string();
    let boot = json!({ "include": ["NEW_ONE"] });
    let boot = api.ask_as(&credential, "POST", "/v1/boot", boot).await.expect(200);
    let history = admin.get("/console/audit?secret=NEW_ONE").await.text;
    assert!(history.contains(boot["boot"].as_str().unwrap()), "{history}");
    assert!(history.contains("<code>secret.create</code>") && history.contains("<code>NEW_ONE</code>"));
    assert!(!history.contains("<code>session.start</code>"));
    assert!(history.contains("dropsafe audit --secret NEW_ONE"));
    assert!(submit(format!("{secret}/delete"), &[]).await.contains("Deleted openai-api-key."));
    let trail = admin.get("/console/audit/export").await;
    assert_eq!(trail.headers["content-type"], "application/x-ndjson");
    for action in [
        "session.start",
        "secret.create",
        "secret.replace",
        "secret.edit",
        "secret.delete",
        "plugin.edit",
        "member.create",
        "ticket.create",
    ] {
        assert!(
            trail.text.lines().any(|line| line.contains(&format!("\"{action}\""))),
            "{action} is not in the audit log"
        );
    }
    let verified = admin.post("/console/audit/verify", &[]).await;
    assert!(verified.text.contains("Audit log verified"));
}

#[tokio::test]
async fn an_admin_changes_the_settings_and_sees_what_is_over_budget() {
    let api = TestApi::new().await;
    let (admin, member) =
        (TestBrowser::new(&api, Who::Admin).await, TestBrowser::new(&api, Who::Member).await);
    member.deposit("mine", VALUE, &[]).await;
    let page = admin.get("/console/settings").await.text;
    assert!(!page.contains("Over budget") && page.contains("At least 30, which the operator set."), "{page}");
    let rules = [("variable_ceiling", "1000"), ("member_share", "20"), ("everyone_changes", "on")];
    let budgets = [
        ("shared_variables", "1000"),
        ("private_variables", "20"),
        ("shared_files", "0"),
        ("private_files", "0"),
    ];
    let retention = [("keep_boots", "90"), ("keep_audit", "")];
    let forms = [("rules", &rules[..]), ("budgets", &budgets[..]), ("retention", &retention[..])];
    for (form, fields) in forms {
        let path = format!("/console/settings/{form}");
        assert_eq!(member.post(&path, fields).await.status, StatusCode::FORBIDDEN, "{form}");
        let saved = admin.post(&path, fields).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{form}: {}", saved.text);
    }
    let policy = api.ask(Who::Admin, "GET", "/v1/org", serde_json::Value::Null).await.expect(200);
    // A box that is not checked is off.
    assert_eq!((&policy["shared_by_members"], &policy["hints"]), (&json!(false), &json!(false)));
    assert_eq!((&policy["shared_changes"], &policy["member_share"]), (&json!("everyone"), &json!(20)));
    assert_eq!(policy["retention"], json!({ "boots": 90, "audit": null }));
    for browser in [&admin, &member] {
        let page = browser.get("/console/settings").await.text;
        let whose = page.contains("the private scope of mel") || page.contains("your private scope");
        assert!(page.contains("Over budget:") && whose, "{page}");
    }
    // An auditor reads the settings, and nobody but an admin gets a form.
    let auditor = TestBrowser::new(&api, Who::Auditor).await.get("/console/settings").await;
    assert!(
        auditor.status == StatusCode::OK && !auditor.text.contains("/console/settings/"),
        "{}",
        auditor.text
    );
    let short = admin.post("/console/settings/retention", &[("keep_boots", ""), ("keep_audit", "29")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.text.contains("Audit entries are kept for at least 30 days"), "{}", short.text);
    let large = [("shared_variables", "1900000"), ("private_variables", "1"), ("shared_files", "x")];
    let large = admin.post("/console/settings/budgets", &large).await;
    assert!(large.text.contains("shared_files: expected a number"), "{}", large.text);
    assert_eq!(
        TestBrowser::new(&api, Who::Operator).await.get("/console/settings").await.status,
        StatusCode::FORBIDDEN
    );
}

/// A preview of an import says what the budget would refuse.
#[tokio::test]
async fn a_preview_of_an_import_says_which_line_is_over_budget() {
    let api = TestApi::new().await;
    let budget = json!({ "budgets": { "private_variables": 100 } });
    api.ask(Who::Admin, "PATCH", "/v1/org", budget).await.expect(200);
    let member = TestBrowser::new(&api, Who::Member).await;
    let preview = member.post("/console/import", &[("env", "A=1\nB=2\n"), ("mode", "preview")]).await;
    assert!(preview.text.contains("the budget is 100"), "{}", preview.text);
}

#[tokio::test]
async fn on_a_locked_store_one_deposits_and_the_operator_unlocks() {
    let api = TestApi::new().await;
    let member = TestBrowser::new(&api, Who::Member).await;
    api.ask(Who::Operator, "POST", "/v1/lock", serde_json::Value::Null).await.expect(200);
    let page = member.get("/console/secrets").await.text;
    assert!(page.contains("The store is locked."));
    member.deposit("while-locked", VALUE, &[]).await;
    let operator = TestBrowser::new(&api, Who::Operator).await;
    assert_eq!(operator.get("/console/secrets").await.status, StatusCode::FORBIDDEN);
    let wrong = operator.post("/console/status/unlock", &[("key_text", "dropsafe-key-1wrong")]).await;
    assert!(wrong.status.is_client_error(), "{}", wrong.status);
    let right = operator.post("/console/status/unlock", &[("key_text", api.key_file.as_str())]).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER, "{}", right.text);
    assert!(!member.get("/console/secrets").await.text.contains("The store is locked."));
    let all = operator.post("/console/status/re-encrypt", &[]).await;
    assert_eq!(all.status, StatusCode::SEE_OTHER, "{}", all.text);
    let made = operator.post("/console/status/orgs", &[("name", "acme"), ("admin", "ann")]).await;
    // The operator sees no credential of a member: the first administrator redeems an enrolment.
    assert!(made.text.contains("dse_") && !made.text.contains("dsm_"), "{}", made.text);
    operator.post("/console/status/lock", &[]).await;
    assert!(member.get("/console/secrets").await.text.contains("The store is locked."));
}

#[tokio::test]
async fn every_command_line_that_a_page_shows_is_one() {
    let api = TestApi::new().await;
    let admin = TestBrowser::new(&api, Who::Admin).await;
    let secret = admin.deposit("openai-api-key", VALUE, &[("scope", "shared")]).await;
    let mut paths: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    paths.extend([
        secret,
        "/console/secrets?q=openai&scope=shared&category=custom&plugin=mail".to_owned(),
        "/console/boots?secret=openai-api-key&live=true".to_owned(),
        "/console/audit?q=x&action=secret.create&actor=ada".to_owned(),
    ]);
    let mut pages = Vec::new();
    for path in &paths {
        pages.push(admin.get(path).await.text);
    }
    for who in [Who::Operator, Who::Member] {
        let visitor = TestBrowser::new(&api, who).await;
        pages.push(visitor.get("/console/status").await.text);
        pages.push(visitor.get("/console/members").await.text);
    }
    let mut lines = std::collections::BTreeSet::new();
    for page in &pages {
        for (at, prompt) in page.match_indices("aria-hidden=\"true\">$ </span>") {
            lines.insert(page[at + prompt.len()..].split(['\n', '<']).next().unwrap().trim().to_owned());
        }
    }
    assert!(lines.len() > 25, "{lines:?}");
    for line in lines {
        let words: Vec<&str> = line.rsplit("| ").next().unwrap().split_whitespace().collect();
        let (program, arguments) = words.split_first().unwrap();
        let program = match *program {
            "dropsafe" => env!("CARGO_BIN_EXE_dropsafe"),
            "dropsafe-agent" => env!("CARGO_BIN_EXE_dropsafe-agent"),
            other => panic!("{other}: {line}"),
        };
        // clap refuses an unknown flag or command before it prints the help.
        let ran = std::process::Command::new(program).args(arguments).arg("--help").output().unwrap();
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[tokio::test]
async fn a_manager_deposits_imports_and_creates_tickets_for_a_service() {
    let api = TestApi::new().await;
    let mia = TestBrowser::new(&api, Who::Manager).await;
    for path in ["/console/secrets/new", "/console/import", "/console/secrets/preset?preset=stripe"] {
        let page = mia.get(path).await.text;
        assert!(page.contains("value=\"service:svc\""), "{path}: {page}");
    }
    let page = mia.deposit("db-url", VALUE, &[("scope", "service:svc")]).await;
    assert!(mia.get(&page).await.text.contains("svc"));
    let fields = [("env", "REGION=eu"), ("scope", "service:svc"), ("mode", "store")];
    assert_eq!(mia.post("/console/import", &fields).await.status, StatusCode::SEE_OTHER);
    let preset = [("preset", "openai"), ("value.access_token", "sk-x"), ("scope", "service:svc")];
    let stored = mia.post("/console/secrets/preset", &preset).await;
    assert_eq!(stored.status, StatusCode::SEE_OTHER, "{}", stored.text);
    let listed =
        api.ask(Who::Manager, "GET", "/v1/secrets?owner=svc", serde_json::Value::Null).await.expect(200);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["env"].clone()).collect();
    assert!(
        names.contains(&json!("DB_URL")) && names.contains(&json!("REGION")) && names.len() == 3,
        "{names:?}"
    );
    // A refused form comes back with the choice, so that the next attempt is not for somebody else.
    let again =
        mia.post("/console/secrets", &[("name", "db-url"), ("value", "x"), ("scope", "service:svc")]).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    assert!(again.text.contains("value=\"service:svc\" checked"), "{}", again.text);

    let ticket = [("member", "svc"), ("uses", "1"), ("lifetime", "90"), ("lifetime_unit", "minutes")];
    let issued = mia.post("/console/tickets", &ticket).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    assert!(issued.text.contains("lifetime 90 minutes"), "{}", issued.text);
    let views = api.ask(Who::Manager, "GET", "/v1/tickets", serde_json::Value::Null).await.expect(200);
    let svc =
        views["items"].as_array().unwrap().iter().find(|item| item["lifetime_seconds"] == 5400).unwrap();
    assert_eq!(svc["member"], "svc");
    let wrong = mia.post("/console/tickets", &[("member", "svc"), ("lifetime", "soon")]).await;
    assert!(wrong.text.contains("Lifetime: expected a whole number"), "{}", wrong.text);

    // Whoever does not manage it is not offered the service, and is refused.
    let mel = TestBrowser::new(&api, Who::Member).await;
    assert!(!mel.get("/console/secrets/new").await.text.contains("service:svc"));
    let planted =
        mel.post("/console/secrets", &[("name", "planted"), ("value", "x"), ("scope", "service:svc")]).await;
    assert_eq!(planted.status, StatusCode::FORBIDDEN, "{}", planted.text);
    // The other manager's name and not an id.
    let audit = mia.get("/console/audit?action=ticket.create").await.text;
    assert!(audit.contains("<span class=\"sub\">author</span> mia"), "{audit}");
}

#[tokio::test]
async fn a_key_slot_with_a_weak_passphrase_needs_the_checkbox() {
    let api = TestApi::new().await;
    let operator = TestBrowser::new(&api, Who::Operator).await;
    let refused = operator.post("/console/status/keyslots", &[("passphrase", "P@ssw0rd1")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    assert!(refused.text.contains("five or more random words") && !refused.text.contains("P@ssw0rd1"));
    let accepted = [("passphrase", "P@ssw0rd1"), ("allow_weak", "on")];
    assert_eq!(operator.post("/console/status/keyslots", &accepted).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_identity_is_created_confirmed_and_revoked() {
    let api = TestApi::new().await;
    let (admin, member) =
        (TestBrowser::new(&api, Who::Admin).await, TestBrowser::new(&api, Who::Member).await);
    let issuer = [("name", "cluster"), ("url", "https://cluster.example"), ("algorithms", "RS256 ES256")];
    let refused = member.post("/console/issuers", &issuer).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(admin.post("/console/issuers", &issuer).await.status, StatusCode::SEE_OTHER);
    let bad = admin.post("/console/issuers", &[("name", "cluster"), ("url", "http://cluster.example")]).await;
    assert!(bad.status.is_client_error() && bad.text.contains("starts with https://"), "{}", bad.text);

    let key = |page: &str| between(page, "name=\"idempotency_key\" value=\"", "\"").to_owned();
    let page = member.get("/console/identities").await.text;
    assert!(page.contains("cluster") && !page.contains("Save issuer"), "{page}");
    let key = key(&page);
    let fields = [
        ("idempotency_key", key.as_str()),
        ("template", "kubernetes"),
        ("issuer", "cluster"),
        ("claims", "namespace=prod\r\nservice-account=api\r\n"),
        ("label", "pods"),
    ];
    let made = member.post("/console/identities", &fields).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let card = between(&made.text, "readonly rows=\"4\">", "<").to_owned();
    assert!(card.starts_with("dsi_"), "{card}");
    // The same form again: the same identity.
    assert!(member.post("/console/identities", &fields).await.text.contains(&card));
    let page = member.get("/console/identities").await.text;
    assert_eq!(page.matches("/kubernetes.io/namespace = prod").count(), 1, "{page}");
    assert!(page.contains(&card), "a card is no secret, and is shown again");
    let id = format!("idn_{}", between(&page, "<code class=\"env\">idn_", "<"));

    // A change of the issuer waits for the person.
    let changed = [("name", "cluster"), ("url", "https://other.example")];
    admin.post("/console/issuers", &changed).await;
    let page = member.get("/console/identities").await.text;
    assert!(page.contains("suspended") && page.contains("An administrator changed its issuer."), "{page}");
    let confirm = format!("/console/identities/{id}/confirm");
    assert!(!admin.get("/console/identities").await.text.contains(&confirm));
    let sent = [("digest", between(&page, "name=\"digest\" value=\"", "\""))];
    assert_eq!(admin.post(&confirm, &sent).await.status, StatusCode::FORBIDDEN);
    assert!(member.post(&confirm, &[]).await.status.is_client_error());
    let digest = between(&page, "name=\"digest\" value=\"", "\"").to_owned();
    admin.post("/console/issuers", &[("name", "cluster"), ("url", "https://third.example")]).await;
    assert_eq!(member.post(&confirm, &[("digest", &digest)]).await.status, StatusCode::CONFLICT);
    admin.post("/console/issuers", &changed).await;
    assert_eq!(member.post(&confirm, &[("digest", &digest)]).await.status, StatusCode::SEE_OTHER);
    assert!(!member.get("/console/identities").await.text.contains("suspended"));

    let revoke = format!("/console/identities/{id}/revoke");
    assert_eq!(member.post(&revoke, &[]).await.status, StatusCode::SEE_OTHER);
    assert!(member.get("/console/identities").await.text.contains("revoked"));
    assert_eq!(
        admin.post("/console/issuers/remove", &[("name", "cluster")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(!admin.get("/console/identities").await.text.contains("other.example"));
}
