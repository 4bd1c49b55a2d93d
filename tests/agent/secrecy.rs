//! A canary in every value, and every message there is.

use std::os::unix::ffi::OsStrExt;

use dropsafe::domain::digest::Digest;

use super::store::{Store, private, referred, response};
use super::{agent, configuration};

const CANARY: &str = "canary-5f1d0b";

#[test]
fn no_value_is_in_any_message_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = configuration(folder.path(), &format!("secrets: {{a: {CANARY}, b: [{CANARY}]}}\n"));
    let good = configuration(folder.path(), &format!("secrets: {{a: {CANARY}}}\n"));
    let secrets = || vec![private("x", CANARY), referred("db-url", CANARY)];
    let whole = Store::releasing(secrets());
    let broken = Store::new(move |_, _| {
        let mut response = response(&secrets());
        response.digest = Digest::from_bytes([0; 32]);
        (200, serde_json::to_string(&response).unwrap())
    });
    let unreadable =
        Store::new(|_, _| (200, format!("{{\"boot\": \"{CANARY}\", \"values\": [{{\"value\": \"{CANARY}\"")));
    let no = Store::new(|_, _| (403, format!("{{\"value\": \"{CANARY}\"}}")));
    for store in [&whole, &broken, &unreadable, &no] {
        for config in [&yaml, &good] {
            for line in [
                &["exec", "--", "true"][..],
                &["exec", "--", "/etc/passwd"],
                &["explain"],
                &["check"],
                &["explain", "--json"],
            ] {
                for format in ["text", "json"] {
                    let output = agent(line)
                        .env("DROPSAFE_TICKET", &store.ticket)
                        .env("DROPSAFE_CONFIG", config)
                        .env("DROPSAFE_LOG", "trace")
                        .env("DROPSAFE_LOG_FORMAT", format)
                        .env("RUST_LOG", "trace")
                        .env("RUST_BACKTRACE", "full")
                        .env("DROPSAFE_DEADLINE", "2s")
                        .env("INHERITED", CANARY)
                        .env("DATABASE_URL", "dropsafe:db-url")
                        .output()
                        .unwrap();
                    for text in [&output.stdout, &output.stderr] {
                        let text = String::from_utf8_lossy(text);
                        assert!(!text.contains(CANARY), "{line:?} {}: {text}", config.display());
                        let secret = &store.ticket[30..60];
                        assert!(!text.contains(secret), "the ticket is in: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn arguments_that_are_no_text_are_no_reason_to_panic() {
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let output = agent([odd]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let output = agent(["check", "--deadline"]).arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
}
