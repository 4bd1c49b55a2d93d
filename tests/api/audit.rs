//! The audit log through the API: one query for all boots that received a secret, and which reads leave an entry.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::task::Poll;

use serde_json::{Value, json};

use crate::test_api::{TestApi, Who};

async fn get(api: &TestApi, who: Who, path: &str) -> Value {
    api.ask(who, "GET", path, Value::Null).await.expect(200)
}

async fn deposit(api: &TestApi, who: Who, body: Value) -> String {
    api.ask(who, "POST", "/v1/secrets", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_request_lists_the_boots_that_received_a_secret() {
    let api = TestApi::new().await;
    let body = json!({ "name": "openai-api-key", "scope": "shared", "value": "sk-1" });
    let id = deposit(&api, Who::Admin, body).await;
    deposit(&api, Who::Member, json!({ "name": "own", "value": "v" })).await;
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    let entry = |receipt: &Value| {
        receipt["entries"].as_array().unwrap().iter().find(|entry| entry["id"] == *id).unwrap().clone()
    };
    let received = entry(&boot["receipt"]);
    let expected = json!([{
        "env": "OPENAI_API_KEY",
        "name": "openai-api-key",
        "secret": id,
        "scope": "shared",
        "version": received["version"],
    }]);

    let found = get(&api, Who::Auditor, "/v1/audit?secret=OPENAI_API_KEY").await;
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{found}");
    assert_eq!((&items[0]["action"], &items[0]["target_id"]), (&json!("boot"), &boot["boot"]));
    assert_eq!(items[0]["released"], expected);
    assert_eq!((&items[1]["action"], items[1].get("released")), (&json!("secret.create"), None));

    let lines = api.ask(Who::Admin, "GET", "/v1/audit/export?secret=OPENAI_API_KEY", Value::Null).await;
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["released"], expected);
    // The member that the boot acted for sees it with all that it received, and no other organization sees anything.
    let own = get(&api, Who::Member, "/v1/audit?action=boot").await;
    assert_eq!(own["items"][0]["target_id"], boot["boot"]);
    assert_eq!(own["items"][0]["released"].as_array().unwrap().len(), 2);
    assert_eq!(get(&api, Who::Other, "/v1/audit?secret=OPENAI_API_KEY").await["items"], json!([]));
    let of_operator = get(&api, Who::Operator, "/v1/audit?limit=500").await.to_string();
    assert!(!of_operator.to_lowercase().contains("openai"), "{of_operator}");
    let empty = api.ask(Who::Admin, "GET", "/v1/audit?secret=", Value::Null).await;
    assert_eq!(empty.code(), "invalid_request");
}

/// The table of docs/operating.md: what each GET route leaves in the audit log.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let row = |line: &str| {
        let (route, entry) = line.strip_prefix("| `GET ")?.trim_end_matches(" |").split_once("` | ")?;
        // Every other piece between backticks is code.
        let words = entry.split('`').skip(1).step_by(2);
        let actions = words.filter(|word| word.contains('.') && !word.contains('/')).map(str::to_owned);
        Some((route.to_owned(), actions.collect()))
    };
    text.lines().filter_map(row).collect()
}

#[tokio::test]
async fn each_read_leaves_the_entry_that_the_documentation_says_and_no_other() {
    let api = TestApi::new().await;
    let table = documented();
    let routes: Vec<String> = dropsafe::api::routes()
        .into_iter()
        .filter(|(method, _)| *method == "GET")
        .map(|(_, path)| path)
        .collect();
    let listed: Vec<&String> = table.keys().collect();
    let mut sorted: Vec<&String> = routes.iter().collect();
    sorted.sort();
    assert_eq!(sorted, listed, "docs/operating.md lists every GET route");

    let plain = json!({ "name": "level", "scope": "shared", "value": "debug", "type": "plain" });
    let secret = deposit(&api, Who::Admin, plain).await;
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200)["boot"].clone();
    let ticket = api.ask(Who::Admin, "POST", "/v1/tickets", json!({})).await.expect(201)["id"].clone();
    api.ask(Who::Admin, "PUT", "/v1/plugins/tmp", json!({})).await.expect(200);
    let id = |route: &str| match route {
        _ if route.starts_with("/v1/boots") => boot.as_str().unwrap().to_owned(),
        _ if route.starts_with("/v1/tickets") => ticket.as_str().unwrap().to_owned(),
        _ => secret.clone(),
    };
    let name = |route: &str| if route.starts_with("/v1/plugins") { "tmp" } else { "mel" };
    for route in &routes {
        let path = route.replace("{id}", &id(route)).replace("{name}", name(route));
        let path = if *route == "/v1/boots" { format!("{path}?secret=LEVEL") } else { path };
        let mut left = std::collections::BTreeSet::new();
        for who in [Who::Admin, Who::Operator] {
            // Later than the limit of reads that are entries of their own.
            api.pass(60_000);
            let since = api.now();
            let answer = api.ask(who, "GET", &path, Value::Null).await;
            let may_read = answer.status.is_success() || route == "/vault/secrets/{id}";
            let found = get(&api, Who::Operator, &format!("/v1/audit?since={since}")).await;
            // A denied read always leaves an entry, and is not what the table is about.
            left.extend(may_read.then_some(found["items"].as_array().unwrap()).into_iter().flatten().map(
                |item| {
                    assert!(
                        item["outcome"] == "allowed" || route == "/vault/secrets/{id}",
                        "{route}: {item}"
                    );
                    item["action"].as_str().unwrap().to_owned()
                },
            ));
        }
        let documented = &table[route];
        assert!(left.iter().all(|action| documented.contains(action)), "{route} leaves {left:?}");
        assert_eq!(
            left.is_empty(),
            documented.is_empty(),
            "{route} leaves {left:?}, documented: {documented:?}"
        );
    }
}

/// A verification reads the whole log, so that many at once would take all of a server's time.
#[tokio::test]
async fn one_verification_runs_at_a_time_and_ends_with_its_client() {
    let api = TestApi::new().await;
    let mut first = Box::pin(api.ask(Who::Admin, "GET", "/v1/audit/verify", json!(null)));
    // It waits for its entry in the log.
    let pending =
        std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    for (method, path, body) in
        [("GET", "/v1/audit/verify", json!(null)), ("POST", "/v1/audit/checkpoint", json!({}))]
    {
        let second = api.ask(Who::Other, method, path, body).await;
        assert_eq!(
            (second.status.as_u16(), second.code()),
            (429, "rate_limited".to_owned()),
            "{}",
            second.text
        );
        assert!(second.headers.contains_key("retry-after") && second.text.contains("another request"));
    }
    // Nobody keeps the operator out, and who may not verify waits for nothing.
    api.ask(Who::Operator, "GET", "/v1/audit/verify", json!(null)).await.expect(200);
    assert_eq!(api.ask(Who::Member, "GET", "/v1/audit/verify", json!(null)).await.code(), "forbidden");
    drop(first);
    api.ask(Who::Other, "GET", "/v1/audit/verify", json!(null)).await.expect(200);
    api.ask(Who::Admin, "GET", "/v1/audit/verify", json!(null)).await.expect(200);
}
