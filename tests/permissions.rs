//! Who may do what, through the whole API: every route for every kind of caller. A route without a row fails.

#[path = "api/test_api.rs"]
#[allow(dead_code, reason = "shared with the tests of the API")]
mod test_api;

use std::collections::BTreeSet;
use std::time::Duration;

use dropsafe::domain::credential::Credential;
use dropsafe::domain::provider::{ProvenAccount, SignInMethod};
use dropsafe::domain::ticket::BootTicket;
use dropsafe::store::SignInProof;
use serde_json::{Value, json};
use test_api::{TestApi, Who};

/// Status for each caller. `{shared}` and `{private}` are secrets: the latter of the member who asks in the column
/// `member`, the former deposited by an admin. `{orphan}` is a boot of a removed member. A pending member has the code of an enrolment. What a caller may not even see is not there: 404.
const MATRIX: &str = "
                                                    operator admin member auditor service manager pending launcher ticket expired revoked other nobody metrics
GET    /healthz                                     200      200      200      200      200      200      200      200      200      200      200      200      200      200
GET    /readyz                                      200      200      200      200      200      200      200      200      200      200      200      200      200      200
GET    /v1/openapi.json                             200      200      200      200      200      200      200      200      200      200      200      200      200      200
GET    /metrics                                     200      403      403      403      403      403      401      403      403      401      401      403      401      200
GET    /v1/status                                   200      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/whoami                                   200      200      200      200      200      200      401      200      403      401      401      200      401      403
GET    /v1/deposit-key                              403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/secrets                                  403      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /v1/secrets                                  403      201      201      403      201      201      401      403      403      401      401      201      401      403
GET    /v1/secrets/{shared}                         403      200      200      200      200      200      401      404      404      401      401      404      401      403
PUT    /v1/secrets/{shared}                         403      200      403      403      403      403      401      404      404      401      401      404      401      403
PATCH  /v1/secrets/{shared}                         403      200      403      403      403      403      401      404      404      401      401      404      401      403
DELETE /v1/secrets/{shared}                         403      200      403      403      403      403      401      404      404      401      401      404      401      403
POST   /v1/secrets/{shared}/re-encrypt              403      200      200      403      200      200      401      404      404      401      401      404      401      403
GET    /v1/secrets/{private}                        403      200      200      200      404      404      401      404      404      401      401      404      401      403
PUT    /v1/secrets/{private}                        403      403      200      403      404      404      401      404      404      401      401      404      401      403
PATCH  /v1/secrets/{private}                        403      403      200      403      404      404      401      404      404      401      401      404      401      403
DELETE /v1/secrets/{private}                        403      403      200      403      404      404      401      404      404      401      401      404      401      403
POST   /v1/secrets/{private}/re-encrypt             403      200      200      403      404      404      401      404      404      401      401      404      401      403
GET    /v1/secrets/re-encrypt                       200      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /v1/secrets/re-encrypt                       202      403      403      403      403      403      401      403      403      401      401      403      401      403
POST   /v1/boot                                     403      403      403      403      403      403      401      403      200      401      401      403      401      403
POST   /v1/boot/explain                             403      200      200      200      200      200      401      403      200      401      401      200      401      403
GET    /v1/boots                                    403      200      200      200      200      200      401      200      403      401      401      200      401      403
GET    /v1/boots/{boot}                             403      200      200      200      404      404      401      404      404      401      401      404      401      403
POST   /v1/boots/{boot}/report                      403      403      403      403      403      403      401      403      204      401      401      404      401      403
POST   /v1/boots/{boot}/end                         403      403      204      403      404      404      401      404      404      401      401      404      401      403
POST   /v1/boots/{orphan}/end                       403      204      404      403      404      404      401      404      404      401      401      404      401      403
GET    /v1/holders/{shared}                         403      200      200      200      200      200      401      403      403      401      401      404      401      403
GET    /v1/members                                  403      200      403      200      403      403      401      403      403      401      401      200      401      403
POST   /v1/members                                  403      201      403      403      403      403      401      403      403      401      401      201      401      403
GET    /v1/members/{member}                         403      200      403      200      403      403      401      403      403      401      401      404      401      403
PATCH  /v1/members/{member}                         403      200      403      403      403      403      401      403      403      401      401      404      401      403
DELETE /v1/members/{member}                         403      200      403      403      403      403      401      403      403      401      401      404      401      403
GET    /v1/tokens                                   200      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /v1/tokens                                   201      201      201      201      201      201      401      201      403      401      401      201      401      403
DELETE /v1/tokens/{token}                           404      200      200      403      403      403      401      403      403      401      401      404      401      404
GET    /v1/tickets                                  403      200      200      200      200      200      401      200      403      401      401      200      401      403
POST   /v1/tickets                                  403      201      201      403      201      201      401      403      403      401      401      201      401      403
GET    /v1/tickets/{ticket}                         403      200      200      200      404      404      401      404      404      401      401      404      401      403
DELETE /v1/tickets/{ticket}                         403      200      200      403      404      404      401      404      404      401      401      404      401      403
GET    /v1/identities                               403      200      200      200      200      200      401      200      403      401      401      200      401      403
POST   /v1/identities                               403      201      201      403      201      201      401      403      403      401      401      201      401      403
GET    /v1/identities/{identity}                    403      200      200      200      404      404      401      404      404      401      401      404      401      403
DELETE /v1/identities/{identity}                    403      200      200      403      404      404      401      404      404      401      401      404      401      403
POST   /v1/identities/{identity}/confirm            403      403      200      403      404      404      401      404      404      401      401      404      401      403
POST   /v1/identities/{identity}/test               403      200      200      200      404      404      401      404      404      401      401      404      401      403
GET    /v1/issuers                                  403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/issuers/{issuer}                         403      200      200      200      200      200      401      403      403      401      401      404      401      403
PUT    /v1/issuers/{issuer}                         403      200      403      403      403      403      401      403      403      401      401      200      401      403
DELETE /v1/issuers/{issuer}                         403      200      403      403      403      403      401      403      403      401      401      404      401      403
GET    /v1/orgs                                     200      403      403      403      403      403      401      403      403      401      401      403      401      403
POST   /v1/orgs                                     201      403      403      403      403      403      401      403      403      401      401      403      401      403
GET    /v1/org                                      403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/org/usage                                403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/orgs/{org}/quotas                        200      403      403      403      403      403      401      403      403      401      401      403      401      403
PATCH  /v1/orgs/{org}/quotas                        200      403      403      403      403      403      401      403      403      401      401      403      401      403
PATCH  /v1/org                                      403      200      403      403      403      403      401      403      403      401      401      200      401      403
GET    /v1/plugins                                  403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/plugins/{plugin}                         403      200      200      200      200      200      401      403      403      401      401      404      401      403
PUT    /v1/plugins/{plugin}                         403      200      403      403      403      403      401      403      403      401      401      200      401      403
PATCH  /v1/plugins/{plugin}                         403      200      403      403      403      403      401      403      403      401      401      404      401      403
DELETE /v1/plugins/{plugin}                         403      200      403      403      403      403      401      403      403      401      401      404      401      403
GET    /v1/categories                               403      200      200      200      200      200      401      403      403      401      401      200      401      403
PUT    /v1/categories/{category}                    403      200      403      403      403      403      401      403      403      401      401      200      401      403
DELETE /v1/categories/{category}                    403      200      403      403      403      403      401      403      403      401      401      404      401      403
GET    /v1/presets                                  403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/statistics                               403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/audit                                    200      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/audit/export                             200      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /v1/import                                   403      200      200      403      200      200      401      403      403      401      401      200      401      403
GET    /api/secrets                                 403      200      200      200      200      200      401      403      403      401      401      200      401      403
PUT    /api/secrets                                 403      200      200      403      200      200      401      403      403      401      401      200      401      403
GET    /vault/secrets                               403      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /vault/secrets                               403      201      201      403      201      201      401      403      403      401      401      201      401      403
GET    /vault/secrets/{shared}                      403      403      403      403      403      403      401      404      404      401      401      404      401      403
DELETE /vault/secrets/{shared}                      403      200      403      403      403      403      401      404      404      401      401      404      401      403
POST   /vault/secrets/{shared}/rotate               403      200      200      403      200      200      401      404      404      401      401      404      401      403
GET    /vault/secrets/{private}                     403      403      403      403      404      404      401      404      404      401      401      404      401      403
DELETE /vault/secrets/{private}                     403      403      200      403      404      404      401      404      404      401      401      404      401      403
POST   /vault/secrets/{private}/rotate              403      200      200      403      404      404      401      404      404      401      401      404      401      403
POST   /vault/rotate-all                            200      200      200      403      200      200      401      403      403      401      401      200      401      403
GET    /vault/audit-log                             200      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /vault/status                                403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/audit/verify                             200      200      403      200      403      403      401      403      403      401      401      200      401      403
GET    /v1/audit/verify?state=true                  200      403      403      403      403      403      401      403      403      401      401      403      401      403
POST   /v1/audit/checkpoint                         200      200      403      200      403      403      401      403      403      401      401      200      401      403
POST   /v1/unlock                                   200      403      403      403      403      403      401      403      403      401      401      403      401      403
POST   /v1/lock                                     200      403      403      403      403      403      401      403      403      401      401      403      401      403
GET    /v1/keyslots                                 200      403      403      403      403      403      401      403      403      401      401      403      401      403
POST   /v1/keyslots                                 201      403      403      403      403      403      401      403      403      401      401      403      401      403
DELETE /v1/keyslots/{slot}                          200      403      403      403      403      403      401      403      403      401      401      403      401      403
GET    /v1/backup                                   200      403      403      403      403      403      401      403      403      401      401      403      401      403
GET    /v1/launchers                                403      200      200      200      200      200      401      403      403      401      401      200      401      403
GET    /v1/launchers/{launcher}                     403      200      200      200      200      200      401      403      403      401      401      404      401      403
PUT    /v1/launchers/{launcher}/acceptance          403      200      200      403      403      200      401      403      403      401      401      404      401      403
DELETE /v1/launchers/{launcher}/acceptance          403      200      200      200      200      200      401      403      403      401      401      404      401      403
POST   /v1/members/{member}/enrolment               403      201      403      403      403      403      401      403      403      401      401      404      401      403
POST   /v1/members/{member}/convert                 403      403      403      403      403      403      401      403      403      401      401      403      401      403
PUT    /v1/members/{service}/managers/{manager}     403      200      403      403      403      403      401      403      403      401      401      404      401      403
DELETE /v1/members/{service}/managers/{manager}     403      200      403      403      403      403      401      403      403      401      401      404      401      403
GET    /v1/sign-in                                  200      200      200      200      200      200      200      200      200      200      200      200      200      200
POST   /v1/sign-in/browser                          404      404      404      404      404      404      404      404      404      404      404      404      404      404
POST   /v1/sign-in/device                           404      404      404      404      404      404      404      404      404      404      404      404      404      404
POST   /v1/sign-in/proof                            403      403      403      403      403      403      403      403      403      403      403      403      403      403
POST   /v1/sign-in/token                            403      403      403      403      403      403      403      403      403      403      403      403      403      403
GET    /v1/sign-in/accounts                         403      200      200      200      200      200      401      403      403      401      401      200      401      403
POST   /v1/sign-in/accounts                         403      422      422      422      403      422      401      403      403      401      401      422      401      403
DELETE /v1/sign-in/accounts/{account}               403      404      200      404      404      404      401      403      403      401      401      404      401      403
POST   /v1/enrolments/redeem                        401      401      401      401      401      401      201      401      401      401      401      401      401      401
";

struct Row<'a> {
    method: &'a str,
    path: &'a str,
    expected: Vec<u16>,
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let expected: Vec<u16> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(expected.len(), Who::ALL.len(), "{line}");
        Row { method: cells[0], path: cells[1], expected }
    };
    MATRIX.lines().filter(|line| line.contains(" /")).map(row).collect()
}

/// The path as it stands in the API's description.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (parameter, after) = rest.split_once('}').unwrap();
    let by_name =
        ["member", "service", "launcher", "plugin", "category", "org", "issuer"].contains(&parameter);
    let parameter = if by_name { "name" } else { "id" };
    format!("{before}{{{parameter}}}{after}")
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let rows: BTreeSet<(String, String)> =
        rows().iter().map(|row| (row.method.to_owned(), template(row.path))).collect();
    let routes: BTreeSet<(String, String)> =
        dropsafe::api::routes().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    assert_eq!(rows, routes);
}

#[tokio::test]
async fn each_caller_has_exactly_the_permissions_of_its_column() {
    let mut wrong = Vec::new();
    for row in rows() {
        let mut fresh = None;
        for (who, expected) in Who::ALL.into_iter().zip(&row.expected) {
            let (api, path) = match fresh.take() {
                Some(fresh) => fresh,
                None => {
                    let api = TestApi::new().await;
                    let path = filled(&api, row.path).await;
                    (api, path)
                }
            };
            let body = body(&api, row.method, row.path).await;
            let answer = api.ask(who, row.method, &path, body).await;
            // What was refused changed nothing, so the next caller finds the same.
            if row.method == "GET" || !answer.status.is_success() {
                fresh = Some((api, path));
            }
            if answer.status.as_u16() != *expected {
                wrong.push(format!(
                    "{} {} by {who:?}: {} instead of {expected} {}",
                    row.method, row.path, answer.status, answer.text
                ));
            }
            if answer.status.is_client_error() {
                // Also proves that it is a problem.
                answer.code();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The credential is checked before the body: a caller without one learns nothing about a route's body.
#[tokio::test]
async fn without_a_credential_no_route_looks_at_path_query_or_body() {
    let api = TestApi::new().await;
    for row in rows().iter().filter(|row| row.expected[Who::ALL.len() - 2] == 401) {
        let path = format!("{}?no_such=parameter", row.path.replace(['{', '}'], "-"));
        let answer = api.ask(Who::Nobody, row.method, &path, json!("nonsense")).await;
        assert_eq!(answer.status, 401, "{} {}", row.method, row.path);
        assert_eq!(answer.code(), "unauthorized");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
}

async fn filled(api: &TestApi, path: &str) -> String {
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (parameter, after) = rest.split_once('}').unwrap();
    let id = match parameter {
        "shared" => {
            made(api, Who::Admin, "/v1/secrets", json!({ "name": "a", "scope": "shared", "value": "v" }))
                .await
        }
        "private" => made(api, Who::Member, "/v1/secrets", json!({ "name": "a", "value": "v" })).await,
        "token" => made(api, Who::Member, "/v1/tokens", json!({})).await,
        "ticket" => made(api, Who::Member, "/v1/tickets", json!({})).await,
        "account" => linked(api).await,
        "identity" => made(api, Who::Member, "/v1/identities", identity()).await,
        "issuer" => {
            let body = json!({ "url": "https://issuer.example" });
            api.ask(Who::Admin, "PUT", "/v1/issuers/tmp", body).await.expect(200);
            "tmp".to_owned()
        }
        "slot" => made(api, Who::Operator, "/v1/keyslots", json!({ "key_file": key_file() })).await,
        "member" => {
            made(api, Who::Admin, "/v1/members", json!({ "name": "tmp" })).await;
            "tmp".to_owned()
        }
        "service" => "svc".to_owned(),
        "org" => "default".to_owned(),
        "launcher" => {
            api.enroll(json!({ "name": "tmp", "kind": "launcher" })).await;
            "tmp".to_owned()
        }
        "plugin" => {
            api.ask(Who::Admin, "PUT", "/v1/plugins/tmp", json!({})).await.expect(200);
            "tmp".to_owned()
        }
        "category" => {
            let body = json!({ "title": "Tmp", "colour": "red" });
            api.ask(Who::Admin, "PUT", "/v1/categories/tmp", body).await.expect(200);
            "tmp".to_owned()
        }
        "boot" => {
            let booted = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
            booted["boot"].as_str().unwrap().to_owned()
        }
        "orphan" => {
            let token = api.enroll(json!({ "name": "gone" })).await;
            let ticket = api.ask_as(&token, "POST", "/v1/tickets", json!({})).await.expect(201);
            let ticket = BootTicket::parse(ticket["ticket"].as_str().unwrap()).unwrap();
            let credential = ticket.credential().to_text();
            let booted = api.ask_as(&credential, "POST", "/v1/boot", json!({})).await.expect(200);
            api.ask(Who::Admin, "DELETE", "/v1/members/gone", Value::Null).await.expect(200);
            booted["boot"].as_str().unwrap().to_owned()
        }
        other => panic!("{other}"),
    };
    // The second parameter is the service's manager.
    format!("{before}{id}{}", after.replace("{manager}", "mia"))
}

/// An account that the member `mel` has linked.
async fn linked(api: &TestApi) -> String {
    let account = ProvenAccount {
        provider: "corp".parse().unwrap(),
        issuer: "https://id.example".parse().unwrap(),
        subject: "s-mel".parse().unwrap(),
        shown: None,
        member_name: None,
        grants: Vec::new(),
    };
    let expires_at = api.now().plus(Duration::from_secs(600));
    let (governed, method) = (BTreeSet::new(), SignInMethod::Console);
    let proof = SignInProof { id: [7; 16], expires_at, account, governed, method };
    let credential = Credential::parse(api.credential(Who::Member)).unwrap();
    let caller = api.store.authenticate(&credential, None).await.unwrap();
    api.store.link_account(&caller, proof).await.unwrap().id.to_string()
}

async fn made(api: &TestApi, who: Who, path: &str, body: Value) -> String {
    api.ask(who, "POST", path, body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Of a job in one repository of a public issuer.
fn identity() -> Value {
    json!({ "template": "github", "claims": { "repository-id": "1" } })
}

/// The digest of that issuer's settings.
async fn public_issuer(api: &TestApi) -> Value {
    let all = api.ask(Who::Member, "GET", "/v1/identities", Value::Null).await.expect(200);
    let jwt = all["items"].as_array().unwrap().iter().find(|identity| identity["kind"] == "jwt");
    jwt.unwrap()["tokens"]["issuer_digest"].clone()
}

fn key_file() -> String {
    use dropsafe::crypto::keyfile::UnlockKey;
    use dropsafe::crypto::random::Kernel;
    UnlockKey::generate(&mut Kernel).to_text().to_string()
}

async fn body(api: &TestApi, method: &str, path: &str) -> Value {
    match (method, path) {
        ("POST", "/v1/secrets") => json!({ "name": "new", "value": "v" }),
        ("PUT", "/api/secrets") => json!({ "secrets": { "NEW": "v" } }),
        ("POST", "/vault/secrets") => json!({ "orgId": "org-123", "name": "new", "value": "v" }),
        ("POST", "/v1/audit/checkpoint") => json!({}),
        ("POST", "/v1/identities") => identity(),
        ("POST", "/v1/identities/{identity}/confirm") => json!({ "digest": public_issuer(api).await }),
        ("POST", "/v1/identities/{identity}/test") => json!({ "token": "no token" }),
        ("PUT", "/v1/issuers/{issuer}") => json!({ "url": "https://issuer.example" }),
        ("POST", "/v1/import") => json!({ "env": "NEW=v" }),
        ("PUT", "/v1/plugins/{plugin}") => json!({ "required": ["A"] }),
        ("PUT", "/v1/categories/{category}") => json!({ "title": "New", "colour": "blue" }),
        ("PATCH", "/v1/plugins/{plugin}") => json!({ "enabled": false }),
        ("PUT" | "DELETE", "/v1/members/{service}/managers/{manager}") => Value::Null,
        ("POST", "/v1/members/{member}/enrolment" | "/v1/enrolments/redeem") => json!({}),
        ("POST", "/v1/members/{member}/convert") => json!({ "managers": ["ada"] }),
        ("PUT", "/v1/launchers/{launcher}/acceptance") => {
            let launcher = api.ask(Who::Admin, "GET", "/v1/launchers/tmp", Value::Null).await.expect(200);
            json!({ "id": launcher["id"] })
        }
        ("PUT", _) => json!({ "value": "w" }),
        ("PATCH", "/v1/org") => json!({ "hints": false }),
        ("PATCH", "/v1/orgs/{org}/quotas") => json!({ "members": 20 }),
        ("PATCH", "/v1/members/{member}") => json!({ "role": "auditor" }),
        ("PATCH", _) => json!({ "auto_install": false }),
        ("POST", "/v1/boots/{boot}/report") => {
            // Of a boot that was given nothing.
            let digest = dropsafe::domain::receipt::Receipt::default().digest().to_string();
            json!({ "digest": digest, "variables": 0 })
        }
        (
            "POST",
            "/v1/boot"
            | "/v1/boot/explain"
            | "/v1/boots/{boot}/end"
            | "/v1/boots/{orphan}/end"
            | "/v1/tokens"
            | "/v1/tickets",
        ) => {
            json!({})
        }
        ("POST", "/v1/sign-in/browser") => json!({ "provider": "none", "port": 1 }),
        ("POST", "/v1/sign-in/device") => json!({ "provider": "none" }),
        ("POST", "/v1/sign-in/proof") => json!({ "sign_in": "none" }),
        ("POST", "/v1/sign-in/token" | "/v1/sign-in/accounts") => json!({ "proof": "none" }),
        ("POST", "/v1/members") => json!({ "name": "new" }),
        ("POST", "/v1/orgs") => json!({ "name": "new", "admin": "ada" }),
        ("POST", "/v1/unlock") => json!({ "key_file": api.key_file.as_str() }),
        ("POST", "/v1/keyslots") => json!({ "key_file": key_file() }),
        _ => Value::Null,
    }
}
