//! Who may do what, through the whole API: every route for every kind of caller. A route without a row fails.

#[path = "api/test_api.rs"]
#[allow(dead_code, reason = "shared with the tests of the API")]
mod test_api;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_api::{TestApi, Who};

/// Status for each caller. `{shared}` and `{private}` are secrets, the latter of the member who asks in the column
/// `member`. What a caller may not even see is not there: 404.
const MATRIX: &str = "
                                       operator admin member auditor ticket expired revoked other nobody
GET    /healthz                        200      200   200    200     200    200     200     200   200
GET    /readyz                         200      200   200    200     200    200     200     200   200
GET    /v1/openapi.json                200      200   200    200     200    200     200     200   200
GET    /metrics                        200      403   403    403     403    401     401     403   401
GET    /v1/status                      200      200   200    200     403    401     401     200   401
GET    /v1/whoami                      200      200   200    200     403    401     401     200   401
GET    /v1/deposit-key                 403      200   200    200     403    401     401     200   401
GET    /v1/secrets                     403      200   200    200     403    401     401     200   401
POST   /v1/secrets                     403      201   201    403     403    401     401     201   401
GET    /v1/secrets/{shared}            403      200   200    200     404    401     401     404   401
PUT    /v1/secrets/{shared}            403      200   200    403     404    401     401     404   401
PATCH  /v1/secrets/{shared}            403      200   200    403     404    401     401     404   401
DELETE /v1/secrets/{shared}            403      200   200    403     404    401     401     404   401
POST   /v1/secrets/{shared}/re-encrypt 403      200   200    403     404    401     401     404   401
GET    /v1/secrets/{private}           403      200   200    200     404    401     401     404   401
PUT    /v1/secrets/{private}           403      403   200    403     404    401     401     404   401
PATCH  /v1/secrets/{private}           403      403   200    403     404    401     401     404   401
DELETE /v1/secrets/{private}           403      200   200    403     404    401     401     404   401
POST   /v1/secrets/{private}/re-encrypt 403     200   200    403     404    401     401     404   401
GET    /v1/secrets/re-encrypt          200      200   200    200     403    401     401     200   401
POST   /v1/secrets/re-encrypt          202      403   403    403     403    401     401     403   401
POST   /v1/boot                        403      403   403    403     200    401     401     403   401
POST   /v1/boot/explain                403      200   200    200     200    401     401     200   401
GET    /v1/boots                       403      200   200    200     403    401     401     200   401
GET    /v1/boots/{boot}                403      200   200    200     404    401     401     404   401
POST   /v1/boots/{boot}/report         403      403   403    403     204    401     401     404   401
GET    /v1/members                     403      200   403    200     403    401     401     200   401
POST   /v1/members                     403      201   403    403     403    401     401     201   401
GET    /v1/members/{member}            403      200   403    200     403    401     401     404   401
PATCH  /v1/members/{member}            403      200   403    403     403    401     401     404   401
DELETE /v1/members/{member}            403      200   403    403     403    401     401     404   401
GET    /v1/tokens                      200      200   200    200     403    401     401     200   401
POST   /v1/tokens                      201      201   201    201     403    401     401     201   401
DELETE /v1/tokens/{token}              404      200   200    403     403    401     401     404   401
GET    /v1/tickets                     403      200   200    200     403    401     401     200   401
POST   /v1/tickets                     403      201   201    403     403    401     401     201   401
GET    /v1/tickets/{ticket}            403      200   200    200     404    401     401     404   401
DELETE /v1/tickets/{ticket}            403      200   200    403     404    401     401     404   401
GET    /v1/orgs                        200      403   403    403     403    401     401     403   401
POST   /v1/orgs                        201      403   403    403     403    401     401     403   401
GET    /v1/org                         403      200   200    200     403    401     401     200   401
PATCH  /v1/org                         403      200   403    403     403    401     401     200   401
GET    /v1/plugins                     403      200   200    200     403    401     401     200   401
GET    /v1/plugins/{plugin}            403      200   200    200     403    401     401     404   401
PUT    /v1/plugins/{plugin}            403      200   403    403     403    401     401     200   401
PATCH  /v1/plugins/{plugin}            403      200   403    403     403    401     401     404   401
DELETE /v1/plugins/{plugin}            403      200   403    403     403    401     401     404   401
GET    /v1/categories                  403      200   200    200     403    401     401     200   401
PUT    /v1/categories/{category}       403      200   403    403     403    401     401     200   401
DELETE /v1/categories/{category}       403      200   403    403     403    401     401     404   401
GET    /v1/presets                     403      200   200    200     403    401     401     200   401
GET    /v1/statistics                  403      200   200    200     403    401     401     200   401
GET    /v1/audit                       200      200   403    200     403    401     401     200   401
GET    /v1/audit/export                200      200   403    200     403    401     401     200   401
POST   /v1/import                      403      200   200    403     403    401     401     200   401
GET    /api/secrets                    403      200   200    200     403    401     401     200   401
PUT    /api/secrets                    403      200   200    403     403    401     401     200   401
GET    /vault/secrets                  403      200   200    200     403    401     401     200   401
POST   /vault/secrets                  403      201   201    403     403    401     401     201   401
GET    /vault/secrets/{shared}         403      403   403    403     404    401     401     404   401
DELETE /vault/secrets/{shared}         403      200   200    403     404    401     401     404   401
POST   /vault/secrets/{shared}/rotate  403      200   200    403     404    401     401     404   401
GET    /vault/secrets/{private}        403      403   403    403     404    401     401     404   401
DELETE /vault/secrets/{private}        403      200   200    403     404    401     401     404   401
POST   /vault/secrets/{private}/rotate 403      200   200    403     404    401     401     404   401
POST   /vault/rotate-all               200      200   200    403     403    401     401     200   401
GET    /vault/audit-log                200      200   403    200     403    401     401     200   401
GET    /vault/status                   403      200   200    200     403    401     401     200   401
GET    /v1/audit/verify                200      200   403    200     403    401     401     200   401
POST   /v1/unlock                      200      403   403    403     403    401     401     403   401
POST   /v1/lock                        200      403   403    403     403    401     401     403   401
GET    /v1/keyslots                    200      403   403    403     403    401     401     403   401
POST   /v1/keyslots                    201      403   403    403     403    401     401     403   401
DELETE /v1/keyslots/{slot}             200      403   403    403     403    401     401     403   401
GET    /v1/backup                      200      403   403    403     403    401     401     403   401
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
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (parameter, after) = rest.split_once('}').unwrap();
    let by_name = ["member", "plugin", "category"].contains(&parameter);
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
async fn every_caller_may_do_what_its_column_says_and_no_more() {
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
            let body = body(&api, row.method, row.path);
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

/// The credential is judged before the body: whoever has none learns nothing of what a route takes.
#[tokio::test]
async fn without_a_credential_no_route_looks_at_path_query_or_body() {
    let api = TestApi::new().await;
    for row in rows().iter().filter(|row| row.expected.last() == Some(&401)) {
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
        "slot" => made(api, Who::Operator, "/v1/keyslots", json!({ "key_file": key_file() })).await,
        "member" => {
            made(api, Who::Admin, "/v1/members", json!({ "name": "tmp" })).await;
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
        other => panic!("{other}"),
    };
    format!("{before}{id}{after}")
}

async fn made(api: &TestApi, who: Who, path: &str, body: Value) -> String {
    api.ask(who, "POST", path, body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

fn key_file() -> String {
    use dropsafe::crypto::keyfile::UnlockKey;
    use dropsafe::crypto::random::Kernel;
    UnlockKey::generate(&mut Kernel).to_text().to_string()
}

fn body(api: &TestApi, method: &str, path: &str) -> Value {
    match (method, path) {
        ("POST", "/v1/secrets") => json!({ "name": "new", "value": "v" }),
        ("PUT", "/api/secrets") => json!({ "secrets": { "NEW": "v" } }),
        ("POST", "/vault/secrets") => json!({ "orgId": "org-123", "name": "new", "value": "v" }),
        ("POST", "/v1/import") => json!({ "env": "NEW=v" }),
        ("PUT", "/v1/plugins/{plugin}") => json!({ "required": ["A"] }),
        ("PUT", "/v1/categories/{category}") => json!({ "title": "New", "colour": "blue" }),
        ("PATCH", "/v1/plugins/{plugin}") => json!({ "enabled": false }),
        ("PUT", _) => json!({ "value": "w" }),
        ("PATCH", "/v1/org") => json!({ "hints": false }),
        ("PATCH", "/v1/members/{member}") => json!({ "role": "auditor" }),
        ("PATCH", _) => json!({ "auto_install": false }),
        ("POST", "/v1/boots/{boot}/report") => {
            // Of a boot that was given nothing.
            let digest = dropsafe::domain::receipt::Receipt::default().digest().to_string();
            json!({ "digest": digest, "variables": 0 })
        }
        ("POST", "/v1/boot" | "/v1/boot/explain" | "/v1/tokens" | "/v1/tickets") => json!({}),
        ("POST", "/v1/members") => json!({ "name": "new" }),
        ("POST", "/v1/orgs") => json!({ "name": "new", "admin": "ada" }),
        ("POST", "/v1/unlock") => json!({ "key_file": api.key_file.as_str() }),
        ("POST", "/v1/keyslots") => json!({ "key_file": key_file() }),
        _ => Value::Null,
    }
}
