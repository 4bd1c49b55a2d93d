//! The OpenAPI 3.1 document of the API, generated from the handlers: every route, its parameters with their limits, and
//! every status of its responses. Contains nothing of what a store holds.

mod errors;
mod schemas;

use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Method, header};
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{HttpMethod, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::errors::{
    AUTHENTICATED, UnauthenticatedErrors, WITH_BODY, WRITE, error_responses, error_responses_for,
};
use super::Api;
use super::query::{NoParams, QueryParams};
use crate::wire::{Problem, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(skeleton()).routes(routes!(openapi))
}

/// Get this document
#[utoipa::path(get, path = paths::OPENAPI, tag = "server", operation_id = "openapi", security(()),
    responses((status = 200, body = Object, description = "The OpenAPI document."), UnauthenticatedErrors))]
async fn openapi(State(api): State<Api>, QueryParams(NoParams): QueryParams<NoParams>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.document())
}

/// Lists the methods and paths of the document, in its order.
pub(crate) fn operations(document: &OpenApi) -> Vec<(Method, String)> {
    let all = [
        (HttpMethod::Get, Method::GET),
        (HttpMethod::Put, Method::PUT),
        (HttpMethod::Post, Method::POST),
        (HttpMethod::Delete, Method::DELETE),
        (HttpMethod::Patch, Method::PATCH),
    ];
    // HEAD is absent, since axum answers it on every GET route.
    let mut found = Vec::new();
    for (path, item) in &document.paths.paths {
        let present = [&item.get, &item.put, &item.post, &item.delete, &item.patch];
        for ((_, method), operation) in all.iter().zip(present) {
            if operation.is_some() {
                found.push((method.clone(), path.clone()));
            }
        }
    }
    found
}

/// Renders the document as it is served, with what the derives cannot express.
pub(crate) fn render(document: &OpenApi) -> Bytes {
    // A document is made of texts, numbers and maps of them, so serializing it cannot fail.
    let mut json = serde_json::to_value(document).unwrap_or_default();
    if let Some(Value::Object(schemas)) = json.pointer_mut("/components/schemas") {
        schemas::add_patterns(schemas);
    }
    if let Some(Value::Object(schemas)) = json.pointer_mut("/components/schemas") {
        flatten_all_of(schemas);
    }
    // OpenAPI has no word for "exactly one of these fields", so every alternative is written out.
    for (name, forms) in EXACTLY_ONE {
        if let Some(schema) = json.pointer_mut(&format!("/components/schemas/{name}")) {
            let mut alternatives: Vec<Value> =
                forms.iter().map(|form| with_form(schema, form, forms)).collect();
            // An item of a preview needs no value.
            alternatives.extend((name == "ImportItemRequest").then(|| without_forms(schema, forms)));
            *schema = json!({ "description": schema["description"], "type": "object", "oneOf": Value::Array(alternatives) });
        }
    }
    // Added here, as the middleware does: no route declares it.
    let id = json!({ "description": "Identifies the request in the server's log and in the audit log.", "required": true,
        "schema": { "type": "string", "pattern": "^[0-9a-f]{16}$" } });
    for_each_response(&mut json, |response| {
        if let Some(headers) = response.entry("headers").or_insert_with(|| json!({})).as_object_mut() {
            headers.insert("x-request-id".to_owned(), id.clone());
        }
    });
    Bytes::from(serde_json::to_vec(&json).unwrap_or_default())
}

/// Puts the properties of flattened structs among those of the body. `allOf` would refuse each part's fields in the other,
/// since bodies have no additional properties.
fn flatten_all_of(schemas: &mut serde_json::Map<String, Value>) {
    let parts = schemas.clone();
    for (name, schema) in schemas.iter_mut() {
        let Some(all_of) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else { continue };
        if name.ends_with("Request") {
            // serde refuses unknown fields of flattened bodies too, but the derive says so only for the others.
            schema["additionalProperties"] = false.into();
        }
        for part in all_of.as_array().into_iter().flatten() {
            let part_name = part["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
            merge_object(schema, part_name.and_then(|name| parts.get(name)).unwrap_or(part));
        }
    }
}

fn merge_object(schema: &mut Value, part: &Value) {
    for (key, value) in part.as_object().into_iter().flatten() {
        match (&mut schema[key], value) {
            (Value::Object(fields), Value::Object(more)) => fields.extend(more.clone()),
            (Value::Array(names), Value::Array(more)) => names.extend(more.iter().cloned()),
            (there @ Value::Null, value) => *there = value.clone(),
            // The body's own description goes before that of a part.
            _ => {}
        }
    }
}

/// Bodies that must have exactly one of several fields.
const EXACTLY_ONE: [(&str, &[&str]); 6] = [
    ("CreateSecretRequest", &["value", "value_base64", "sealed"]),
    ("ReplaceSecretRequest", &["value", "value_base64", "sealed"]),
    ("ImportItemRequest", &["value", "value_base64", "sealed"]),
    ("ImportRequest", &["env", "items"]),
    ("UnlockRequest", &["passphrase", "key_file", "sealed"]),
    ("AddKeyslotRequest", &["passphrase", "key_file", "sealed"]),
];

/// Narrows `schema`: the field `form` is required, and the other `forms` are absent or null.
fn with_form(schema: &Value, form: &str, forms: &[&str]) -> Value {
    let mut own = schema["properties"][form].clone();
    let mut schema = without_forms(schema, forms);
    // utoipa writes an optional text or list as two types, and an optional object as a reference or null.
    if let Some(of) = own["type"].as_array().and_then(|types| types.iter().find(|of| **of != "null")) {
        own["type"] = of.clone();
    } else if let Some(reference) =
        own["oneOf"].as_array().and_then(|of| of.iter().find(|one| one["$ref"].is_string()))
    {
        own = reference.clone();
    }
    schema["properties"][form] = own;
    if form == "sealed" && schema["properties"]["type"].is_object() {
        // The store must be able to show a plain value, so it is never sealed.
        schema["properties"]["type"] = json!({ "const": "encrypted" });
    }
    if !schema["required"].is_array() {
        schema["required"] = json!([]);
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.push(json!(form));
    }
    schema
}

fn without_forms(schema: &Value, forms: &[&str]) -> Value {
    let mut schema = schema.clone();
    for form in forms {
        schema["properties"][*form] = json!({ "type": "null" });
    }
    schema
}

fn for_each_response(json: &mut Value, mut edit: impl FnMut(&mut serde_json::Map<String, Value>)) {
    let paths = json.get_mut("paths").and_then(Value::as_object_mut);
    for item in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
            for response in responses.into_iter().flat_map(|responses| responses.values_mut()) {
                if let Some(response) = response.as_object_mut() {
                    edit(response);
                }
            }
        }
    }
}

fn skeleton() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "dropsafe",
            description = "A write-only secret store. People deposit values, and only boots receive them.\n\n\
                An error response is a problem (RFC 9457) with a stable `code`. A list has pages: the `next` of a page \
                is the `cursor` of the following one. Times are RFC 3339 in UTC, sizes are bytes, and durations are seconds.",
            license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
        ),
        servers((url = "/")),
        components(schemas(Problem)),
        tags(
            (name = "secrets", description = "Deposits and the metadata of secrets"),
            (name = "boots", description = "The release of values, and the records of boots"),
            (name = "organization", description = "Members, tokens, boot tickets, policy"),
            (name = "catalog", description = "Plugins, categories, presets, statistics"),
            (name = "compat", description = "Compatibility APIs for clients of other stores"),
            (name = "audit", description = "The audit log"),
            (name = "keys", description = "Locking, key slots, re-encryption"),
            (name = "server", description = "The state of the server"),
        ),
    )]
    struct Skeleton;

    // `servers` is relative: the program does not know the address that its clients use.
    let mut document = <Skeleton as utoipa::OpenApi>::openapi();
    let schemes = [
        ("member", "dsm_", "A member's token."),
        ("operator", "dso_", "An operator's token."),
        ("enrolment", "dse_", "The code of an enrolment."),
        (
            "ticket",
            "dsc_",
            "A boot ticket's credential. Where TLS is not end to end, `Authorization: Dropsafe-Proof` in its place; the response is \
             then `application/vnd.dropsafe.sealed`.",
        ),
        ("boot", "dsb_", "The credential that a boot received to end itself."),
    ];
    let components = document.components.get_or_insert_default();
    components.schemas.extend(schemas::identifiers());
    for (name, prefix, description) in schemes {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format(format!("{prefix}…"))
            .description(Some(description))
            .build();
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_slice(&crate::api::openapi::render(&crate::api::all_routes().1)).unwrap()
    }

    fn each(value: &Value, found: &mut impl FnMut(&str, &Value)) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                found(key, value);
                each(value, found);
            }),
            Value::Array(items) => items.iter().for_each(|item| each(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut references = 0;
        each(&document, &mut |key, value| {
            if key == "$ref" {
                references += 1;
                let path = value.as_str().unwrap().trim_start_matches('#');
                assert!(document.pointer(path).is_some(), "{path}");
            }
        });
        assert!(references > 100);
    }

    #[test]
    fn every_route_says_who_may_ask_and_what_it_refuses_with() {
        let document = document();
        for (method, path) in super::super::routes() {
            let operation = &document["paths"][&path][method.as_str().to_lowercase()];
            assert!(operation["security"].is_array(), "{method} {path} says nothing of credentials");
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{method} {path}"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("400") && responses.contains_key("503"), "{method} {path}");
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }

    #[test]
    fn patterns_and_parsers_agree_on_the_first_and_last_character() {
        // The rest of each pattern is tried by the property-based client against the running server.
        let document = document();
        let id = crate::domain::id::SecretId::from_bytes([0xff; 16]).to_string();
        assert!(id.ends_with('4'));
        let pattern = document["components"]["schemas"]["SecretId"]["pattern"].as_str().unwrap();
        assert_eq!(pattern, "^sec_[a-z2-7]{25}[aeimquy4]$");
        for name in
            ["SecretName", "EnvName", "OrgName", "MemberName", "PluginName", "Category", "Hint", "Digest"]
        {
            assert!(document["components"]["schemas"][name]["pattern"].is_string(), "{name} has no pattern");
        }
    }
}
