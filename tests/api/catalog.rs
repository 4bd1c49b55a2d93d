//! Plugins, categories, presets, statistics, the import of a file and the export of the audit log.

use serde_json::{Value, json};

use super::test_api::{TestApi, Who};

async fn get(api: &TestApi, who: Who, path: &str) -> Value {
    api.ask(who, "GET", path, Value::Null).await.expect(200)
}

async fn import(api: &TestApi, body: Value) -> super::test_api::Answer {
    api.ask(Who::Member, "POST", "/v1/import", body).await
}

/// `line fate name env` of each line.
fn fates(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = answer["lines"].as_array().unwrap().iter();
    lines.map(|line| format!("{} {} {}", line["line"], text(&line["fate"]), text(&line["env"]))).collect()
}

#[tokio::test]
async fn a_plugin_lists_missing_secrets_and_withholds_its_own_while_disabled() {
    let api = TestApi::new().await;
    let path = "/v1/plugins/@acme%2Fdb";
    let body = json!({ "title": "Database", "required": ["db-url"], "optional": ["LOG_LEVEL"] });
    let made = api.ask(Who::Admin, "PUT", path, body).await.expect(200);
    assert_eq!((&made["name"], &made["missing"]), (&json!("@acme/db"), &json!(["DB_URL"])));
    let secret = json!({ "name": "DB_URL", "value": "v", "plugin": "@acme/db" });
    let id = api.ask(Who::Member, "POST", "/v1/secrets", secret).await.expect(201)["id"].clone();
    let seen = get(&api, Who::Member, path).await;
    assert_eq!((&seen["missing"], &seen["secrets"]), (&json!([]), &json!(1)));
    let need = json!({ "name": "db-url", "env": "DB_URL", "secret": id, "scope": "private" });
    assert_eq!(seen["required"], json!([need]));
    assert_eq!(get(&api, Who::Admin, "/v1/plugins").await["items"][0]["missing"], json!(["DB_URL"]));

    api.ask(Who::Admin, "PATCH", path, json!({ "enabled": false })).await.expect(200);
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    assert_eq!(boot["receipt"]["skipped"][0]["reason"], "plugin_disabled");
    assert_eq!(boot["count"], 0);
    let off = get(&api, Who::Member, "/v1/secrets?plugin_enabled=false").await;
    assert_eq!(off["items"][0]["id"], id);
    api.ask(Who::Admin, "DELETE", path, Value::Null).await.expect(200);
    let left = get(&api, Who::Member, path).await;
    assert_eq!((&left["declared"], &left["enabled"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn all_faults_of_a_declaration_are_reported_once() {
    let api = TestApi::new().await;
    let body = json!({ "title": " ", "required": ["ok", "can ary"], "optional": ["canary!"] });
    let refused = api.ask(Who::Admin, "PUT", "/v1/plugins/p", body).await;
    assert_eq!((refused.code().as_str(), refused.text.contains("ary")), ("name_invalid", false));
    let fields: Vec<Value> =
        refused.json()["errors"].as_array().unwrap().iter().map(|fault| fault["field"].clone()).collect();
    assert_eq!(fields, ["title", "required[1]", "optional[0]"]);
    let many: Vec<String> = (0..101).map(|i| format!("N{i}")).collect();
    let refused = api.ask(Who::Admin, "PUT", "/v1/plugins/p", json!({ "required": many })).await;
    assert_eq!(refused.code(), "unprocessable");
    let body = json!({ "title": "T", "colour": "canary" });
    let refused = api.ask(Who::Admin, "PUT", "/v1/categories/c", body).await;
    assert_eq!((refused.code().as_str(), refused.text.contains("canary")), ("invalid_request", false));
}

#[tokio::test]
async fn categories_have_titles_colours_and_counts() {
    let api = TestApi::new().await;
    let body = json!({ "title": "Payments", "colour": "teal", "description": "Money" });
    api.ask(Who::Admin, "PUT", "/v1/categories/payments", body).await.expect(200);
    let secret = json!({ "name": "a", "value": "v", "category": "payments" });
    api.ask(Who::Member, "POST", "/v1/secrets", secret).await.expect(201);
    let all = get(&api, Who::Member, "/v1/categories").await;
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 6);
    assert_eq!((&items[0]["title"], &items[0]["colour"]), (&json!("Deploy Credentials"), &json!("indigo")));
    assert_eq!((&items[5]["title"], &items[5]["secrets"]), (&json!("Payments"), &json!(1)));
    let counts = get(&api, Who::Member, "/v1/statistics").await;
    assert_eq!((&counts["total"], &counts["by_category"]), (&json!(1), &json!({ "payments": 1 })));
}

#[tokio::test]
async fn presets_name_their_secrets_and_how_values_begin() {
    let api = TestApi::new().await;
    let all = get(&api, Who::Member, "/v1/presets").await;
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 16);
    let stripe = items.iter().find(|preset| preset["id"] == "stripe").unwrap();
    assert_eq!(stripe["fields"][1]["name"], "skill:stripe:webhook_secret");
    assert_eq!(stripe["fields"][1]["env"], "SKILL_STRIPE_WEBHOOK_SECRET");
    assert_eq!(
        (&stripe["fields"][0]["optional"], &stripe["fields"][1]["optional"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(stripe["fields"][0]["prefixes"][0], "sk_live_");
    let odd = json!({ "name": "skill:stripe:access_token", "value": "nonsense" });
    let written = api.ask(Who::Member, "POST", "/v1/secrets", odd).await.expect(201);
    let warning = written["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("values of this name usually begin with sk_live_"), "{warning}");
    let key = json!({ "name": "note", "type": "plain", "value": "ghp_0123456789012345678901234567890123AB" });
    let written = api.ask(Who::Member, "POST", "/v1/secrets", key).await.expect(201);
    assert!(written["warnings"][0].as_str().unwrap().contains("looks like a key"));
}

#[tokio::test]
async fn a_preview_says_each_lines_fate_and_stores_nothing() {
    let api = TestApi::new().await;
    let there = json!({ "name": "db-url", "value": "before" });
    let id = api.ask(Who::Member, "POST", "/v1/secrets", there).await.expect(201)["id"].clone();
    let file = "# comment\nNEW=canary\nDB_URL='canary'\nOPENAI_API_KEY=canary\nLD_PRELOAD=canary\nBAD = canary\nNEW=canary\n";
    let preview = import(&api, json!({ "env": file, "preview": true })).await;
    assert!(!preview.text.contains("canary"), "{}", preview.text);
    let preview = preview.expect(200);
    assert_eq!(preview["stored"], false);
    assert_eq!(
        fates(&preview),
        [
            "2 create NEW",
            "3 replace DB_URL",
            "4 create OPENAI_API_KEY",
            "5 refused LD_PRELOAD",
            "6 refused -",
            "7 refused NEW",
        ]
    );
    assert_eq!((&preview["lines"][1]["secret"], &preview["lines"][1]["name"]), (&id, &json!("db-url")));
    assert!(preview["lines"][2]["warnings"][0].as_str().unwrap().contains("sk-"));
    assert!(preview["lines"][3]["why"].as_str().unwrap().contains("refused"));
    assert!(preview["lines"][5]["why"].as_str().unwrap().contains("line 2"));
    let preview = import(&api, json!({ "env": "DB_URL=x", "existing": "keep", "preview": true })).await;
    assert_eq!(fates(&preview.expect(200)), ["1 keep DB_URL"]);
    let refused = import(&api, json!({ "env": "DB_URL=x", "existing": "refuse", "preview": true })).await;
    assert_eq!(fates(&refused.expect(200)), ["1 refused DB_URL"]);
    assert_eq!(get(&api, Who::Member, "/v1/secrets").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_is_stored_completely_or_not_at_all() {
    let api = TestApi::new().await;
    let bad = import(&api, json!({ "env": "A=1\nPATH=canary\nB=2\n", "scope": "shared" })).await;
    assert_eq!((bad.code().as_str(), bad.text.contains("canary")), ("unprocessable", false));
    assert_eq!(bad.json()["errors"][0]["field"], "env line 2");
    assert_eq!(get(&api, Who::Member, "/v1/secrets").await["items"], json!([]));

    let body = json!({ "env": "A=1\nB='2\n3'\n", "scope": "shared", "category": "custom", "plugin": "mcp" });
    let stored = import(&api, body).await.expect(200);
    assert_eq!(
        (fates(&stored), &stored["stored"]),
        (vec!["1 create A".into(), "2 create B".into()], &json!(true))
    );
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    assert_eq!(boot["count"], 2);
    assert!(boot["values"].to_string().contains("2\\n3"));
    let trail = get(&api, Who::Admin, "/v1/audit?action=secret").await;
    let actions: Vec<&str> =
        trail["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["secret.import", "secret.create", "secret.create"]);
    // Again: new versions, and what was given for new ones changes nothing.
    let again = import(&api, json!({ "env": "A=2\nB=2", "scope": "shared", "plugin": "other" })).await;
    assert_eq!(fates(&again.expect(200)), ["1 replace A", "2 replace B"]);
    let listed = get(&api, Who::Member, "/v1/secrets?plugin=mcp").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(import(&api, json!({ "env": "# nothing\n" })).await.code(), "unprocessable");
}

#[tokio::test]
async fn comments_say_something_of_the_next_line() {
    let api = TestApi::new().await;
    let file = "# dropsafe: plain plugin=mail\nREGION=eu\n# dropsafe: no-install file\nCERT='a\nb'\nKEY=v\n";
    import(&api, json!({ "env": file, "category": "custom" })).await.expect(200);
    let of = async |name: &str| {
        get(&api, Who::Member, &format!("/v1/secrets?name={name}")).await["items"][0].clone()
    };
    let region = of("REGION").await;
    assert_eq!(
        (&region["value"], &region["plugin"], &region["category"]),
        (&json!("eu"), &json!("mail"), &json!("custom"))
    );
    let cert = of("CERT").await;
    assert_eq!(
        (&cert["delivery"], &cert["auto_install"], &cert["type"]),
        (&json!("file"), &json!(false), &json!("encrypted"))
    );
    assert_eq!(of("KEY").await["plugin"], Value::Null);
    let wrong =
        import(&api, json!({ "env": "# dropsafe: canary\nA=1\n", "preview": true })).await.expect(200);
    assert_eq!(fates(&wrong), ["1 refused -", "2 create A"]);
    assert!(!wrong.to_string().contains("canary"));
    let refused = import(&api, json!({ "env": "# dropsafe: allow-refused\nLD_PRELOAD=x\n" })).await;
    assert_eq!(refused.code(), "forbidden", "only an administrator's word counts");
}

#[tokio::test]
async fn more_lines_than_one_import_takes_are_refused_and_more_than_one_commit_takes_are_stored() {
    let api = TestApi::new().await;
    let file = |lines: usize| (0..lines).map(|i| format!("NAME_{i}=v\n")).collect::<String>();
    let too_many = import(&api, json!({ "env": file(10_001) })).await;
    assert_eq!(too_many.code(), "unprocessable");
    let stored = import(&api, json!({ "env": file(5000), "type": "plain" })).await.expect(200);
    assert_eq!(stored["stored"], true);
    assert_eq!(get(&api, Who::Member, "/v1/statistics").await["total"], 5000);
}

#[tokio::test]
async fn parsed_lines_are_planned_without_values_and_report_every_fault() {
    let api = TestApi::new().await;
    let there = json!({ "name": "db-url", "as": "DATABASE", "value": "before", "category": "custom" });
    let there = api.ask(Who::Member, "POST", "/v1/secrets", there).await.expect(201);
    let items = json!([
        { "name": "db-url", "change": { "category": "custom" } },
        { "name": "region", "type": "plain" },
        { "name": "database" },
    ]);
    let preview = import(&api, json!({ "items": items, "preview": true })).await.expect(200);
    assert_eq!(fates(&preview), ["1 replace DATABASE", "2 create REGION", "3 refused DATABASE"]);
    let line = &preview["lines"][0];
    assert_eq!((&line["secret"], &line["version"]), (&there["id"], &there["version"]));
    assert_eq!((&line["type"], &line["same_settings"]), (&json!("encrypted"), &json!(true)));

    let store = |items: Value| import(&api, json!({ "items": items }));
    for (items, field) in [
        (json!([{ "name": "region" }]), "items"),
        (json!([{ "name": "no name", "value": "canary" }]), "items[0].name"),
        (json!([{ "name": "a", "value": "canary", "value_base64": "" }]), "items[0].value"),
        (json!([{ "name": "a", "value": "v" }, { "name": "ld-preload", "value": "canary" }]), "item 2"),
        (json!([{ "name": "a", "value": "v" }, { "name": "A", "value": "canary" }]), "item 2"),
    ] {
        let refused = store(items).await;
        assert_eq!(refused.json()["errors"][0]["field"], field);
        assert!(!refused.text.contains("canary"), "{}", refused.text);
    }
    assert_eq!(import(&api, json!({})).await.code(), "invalid_request");
    assert_eq!(get(&api, Who::Member, "/v1/statistics").await["total"], 1);
    let items =
        json!([{ "name": "region", "type": "plain", "value": "eu" }, { "name": "db-url", "value": "v" }]);
    let stored = store(items.clone()).await.expect(200);
    assert_eq!(fates(&stored), ["1 create REGION", "2 replace DATABASE"]);
    // The plain value is the same. Of the other, only its client could tell.
    assert_eq!(fates(&store(items).await.expect(200)), ["1 keep REGION", "2 replace DATABASE"]);
    let refused =
        api.ask(Who::Auditor, "POST", "/v1/import", json!({ "items": [{ "name": "a" }], "preview": true }));
    assert_eq!(refused.await.code(), "forbidden");
}

#[tokio::test]
async fn the_trail_is_exported_as_json_lines() {
    let api = TestApi::new().await;
    for i in 0..30 {
        let body = json!({ "name": format!("s{i}"), "value": "v" });
        api.ask(Who::Member, "POST", "/v1/secrets", body).await.expect(201);
    }
    let all = api.ask(Who::Auditor, "GET", "/v1/audit/export?action=secret.create", Value::Null).await;
    assert_eq!(all.headers["content-type"], "application/jsonl");
    let lines: Vec<Value> = all.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 30);
    let page = get(&api, Who::Auditor, "/v1/audit?action=secret.create&limit=500").await;
    assert_eq!(json!(lines), page["items"], "the same entries in the same order");
    let none = api.ask(Who::Auditor, "GET", "/v1/audit/export?until=2000-01-01T00:00:00Z", Value::Null).await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (200, ""));
}
