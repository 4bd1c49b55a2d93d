//! The OpenAPI document is correct: a property-based client (schemathesis) sends valid and invalid requests.

use std::process::Command;

use super::harness::{Site, skip};

#[test]
fn a_property_based_client_finds_no_deviation() {
    let Some(program) = std::env::var_os("DROPSAFE_SCHEMATHESIS") else {
        return skip("schemathesis (tests/run installs it from PyPI)");
    };
    let mut site = Site::new();
    // It sends wrong credentials all the time, and would soon be throttled.
    let config = site.data().join("server.yaml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str("limits: {guesses: 1000000}\n");
    std::fs::write(&config, text).unwrap();
    site.serve_unlocked();
    site.set("shared-one", "v", &["--shared"]).ok();
    site.set("private-one", "v", &["--plain"]).ok();
    let pem = site.data().join("tls/ca.pem");
    let base = format!("https://127.0.0.1:{}", site.port);
    // Once for each kind of credential. The test of permissions covers the requests that would end this run, such as locking
    // the store or revoking the credential in use.
    for (who, token) in [("admin", &site.admin), ("operator", &site.operator)] {
        let report = Command::new(&program)
            .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml"), "run"])
            .arg(format!("{base}/v1/openapi.json"))
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .arg("--tls-verify")
            .arg(&pem)
            .args(["--exclude-path-regex", "^/v1/(lock|unlock|backup)$"])
            .args([
                "--max-examples",
                "25",
                "--seed",
                "7",
                "--request-timeout",
                "20",
                "--workers",
                "1",
                "--no-color",
            ])
            .args(["--suppress-health-check", "all"])
            .current_dir(site.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&report.stdout);
        assert!(report.status.success(), "as {who}:\n{text}\n{}", String::from_utf8_lossy(&report.stderr));
    }
    assert!(!site.log().contains("panicked"), "{}", site.log());
}
