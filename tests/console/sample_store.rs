//! A store that fills every page.

use crate::harness::{Ran, Site, bare, feed};

/// Values that no page may contain.
pub const CANARIES: &[&str] = &[
    "sk-canary0123456789abcdefghijKLMN",
    "canary-of-the-database-9f8e7d6c5b4a",
    "canary-private-of-mel-1a2b3c4d5e",
];

/// Creates members, secrets of every kind, plugins, tickets and boots.
pub fn create_sample_store() -> Site {
    let site = Site::unlocked();
    let mel = site.member("mel", "member");
    site.member("aud", "auditor");
    site.set(
        "skill:openai:access_token",
        CANARIES[0],
        &["--shared", "--category", "skill_credential", "--plugin", "assistant"],
    )
    .ok();
    site.set(
        "database-url",
        CANARIES[1],
        &[
            "--shared",
            "--category",
            "deploy_credential",
            "--description",
            "Read and write, the primary in Frankfurt",
        ],
    )
    .ok();
    site.set_as(
        &mel,
        "openai-api-key",
        CANARIES[2].as_bytes(),
        &["--private", "--as", "SKILL_OPENAI_ACCESS_TOKEN"],
    )
    .ok();
    for (name, value, flags) in [
        (
            "smtp-host",
            "mail.example.net",
            &["--shared", "--plain", "--category", "deploy_credential", "--plugin", "@acme/mail"][..],
        ),
        (
            "aws-secret-access-key",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYcanarykey0",
            &["--shared", "--category", "cloud_storage"],
        ),
        ("region", "eu-west-1", &["--shared", "--plain"]),
        (
            "tls/server.key",
            "-----BEGIN KEY-----\ncanary\n-----END KEY-----\n",
            &["--shared", "--as-file", "--no-install", "--category", "deploy_credential"],
        ),
        (
            "pagerduty.token",
            "canary-pagerduty-0123456789",
            &[
                "--shared",
                "--no-install",
                "--category",
                "api_key",
                "--description",
                "Expires at the end of each quarter; renew it on the vendor's billing page and replace the value here before that",
            ],
        ),
        ("a-name-that-somebody-made-as-long-as-one-can-before-anyone-complains-about-it", "x", &["--shared"]),
    ] {
        site.set(name, value, flags).ok();
    }
    let mail = r#"{"title": "Mail", "required": ["smtp-host", "smtp-password"], "optional": ["smtp-port"]}"#;
    api(&site, &site.admin, "PUT", "/v1/plugins/@acme%2Fmail", mail);
    let assistant = r#"{"title": "Assistant", "required": ["skill:openai:access_token"]}"#;
    api(&site, &site.admin, "PUT", "/v1/plugins/assistant", assistant);
    let ticket = site.ticket("mel", &["--label", "ci runner"]);
    site.ticket("mel", &["--ttl", "7d", "--uses", "3", "--plugin", "@acme/mail", "--source", "10.0.0.0/8"]);
    site.boot(&ticket, &[]);
    // The earlier boot now holds an outdated version.
    site.set("database-url", "canary-of-the-database-newer-value", &["--shared"]).ok();
    site.boot(&ticket, &[]);
    site.cli(&["member", "add", "prod-api", "--service", "--manager", "admin"]).ok();
    site.cli(&["set", "db-url", "--for", "prod-api", "--file", "/etc/hostname"]).ok();
    site.cli(&["ticket", "new", "--for", "prod-api", "--lifetime", "90m", "--label", "prod"]).ok();
    let url = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF";
    site.cli(&["issuer", "set", "production-cluster", "--url", url]).ok();
    let pods = ["identity", "add", "kubernetes", "namespace=prod", "service-account=api"];
    site.cli(
        &[&pods[..], &["--issuer", "production-cluster", "--for", "prod-api", "--label", "pods"]].concat(),
    )
    .ok();
    site.cli(&["identity", "add", "github", "repository-id=74", "environment=production", "--ttl", "30d"])
        .ok();
    for name in ["devboxes", "notebooks-of-the-data-science-department"] {
        let code = site.cli(&["launcher", "add", name]).ok().out;
        site.cli_as("", &["enroll", "--print"], code.as_bytes()).ok();
    }
    site.cli(&["launcher", "add", "not-enrolled-yet"]).ok();
    site.cli(&["launcher", "accept", "devboxes"]).ok();
    site
}

/// Sends a request to the API over its Unix socket and returns the body of the successful response.
pub fn api(site: &Site, token: &str, method: &str, path: &str, body: &str) -> String {
    let mut command = bare("curl", site.folder.path());
    command
        .args(["--silent", "--show-error", "--fail-with-body", "--request", method, "--unix-socket"])
        .arg(site.data().join("dropsafe.sock"))
        .args([
            "--header",
            &format!("authorization: Bearer {token}"),
            "--header",
            "content-type: application/json",
        ])
        .args(["--data-binary", "@-", &format!("http://store{path}")]);
    Ran::of(feed(command, body.as_bytes())).ok().out
}
