//! Machines with a store card: each source of tokens, and what is wrong with one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dropsafe::domain::card::StoreCard;
use dropsafe::domain::id::{IdentityId, StoreId};
use dropsafe::domain::location::{AnswerKey, StoreLocation};
use dropsafe::wire::Code;

use super::store::{Answer, Store, private, problem, release};
use super::{agent, configuration, run};

const IDENTITY: IdentityId = IdentityId::from_bytes([2; 16]);
const FIRST: &str = "e30.e30.first-canary";
const SECOND: &str = "e30.e30.second-canary";

fn card(url: &str) -> String {
    let location = StoreLocation::new(vec![url.to_owned()], None, Some(AnswerKey([5; 32]))).unwrap();
    StoreCard::new(StoreId::from_bytes([1; 16]), IDENTITY, location).unwrap().to_string()
}

fn releasing() -> Store {
    Store::releasing(vec![private("api-key", "1")])
}

fn at(store: &Store, source: &str, line: &[&str]) -> Command {
    let mut command = agent(line);
    command.env("DROPSAFE_CARD", card(&store.url)).env("DROPSAFE_TOKEN_FROM", source);
    command.env("DROPSAFE_DEADLINE", "1s").env("DROPSAFE_LOG", "trace");
    command
}

const BOOT: [&str; 3] = ["exec", "--", "env"];

fn bearer(store: &Store, index: usize) -> String {
    let requests = store.requests();
    assert_eq!(requests[index].header("dropsafe-identity").unwrap(), IDENTITY.to_string());
    requests[index].header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

#[test]
fn a_file_is_read_again_for_each_try() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, FIRST).unwrap();
    let rotated = file.clone();
    let store = Store::new(move |path, earlier| match (path, earlier) {
        ("/v1/boot", 0) => {
            // As kubelet does it: another file takes its place.
            std::fs::write(rotated.with_extension("new"), format!("{SECOND}\n")).unwrap();
            std::fs::rename(rotated.with_extension("new"), &rotated).unwrap();
            problem(Code::Locked)
        }
        ("/v1/boot", _) => release(&[private("api-key", "1")]),
        _ => (204, String::new()),
    });
    let source = format!("file:{}", file.display());
    let ran = run(at(&store, &source, &BOOT).env("DROPSAFE_DEADLINE", "20s"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("API_KEY=1") && !ran.out.contains("DROPSAFE"), "{}", ran.out);
    assert_eq!((bearer(&store, 0).as_str(), bearer(&store, 1).as_str()), (FIRST, SECOND));
    let keys: Vec<_> =
        store.requests().iter().map(|r| r.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys[0], keys[1]);
    // The report of the start has the token of the boot, over its connection.
    let until = Instant::now() + Duration::from_secs(20);
    while store.requests().len() < 3 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(store.requests()[2].path.ends_with("/report"));
    assert_eq!(bearer(&store, 2), SECOND);
}

#[test]
fn a_file_that_is_not_there_yet_is_an_outage_and_one_with_something_else_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let store = releasing();
    let boot = || run(&mut at(&store, &format!("file:{}", file.display()), &BOOT));
    let missing = boot();
    assert_eq!(missing.code, Some(69), "{}", missing.err);
    assert!(missing.err.contains("has no token: there is no such file"), "{}", missing.err);
    std::fs::write(&file, "hunter2").unwrap();
    let other = boot();
    assert_eq!(other.code, Some(78), "{}", other.err);
    assert!(other.err.contains("is not a token") && !other.err.contains("hunter2"), "{}", other.err);
    assert!(store.requests().is_empty());
}

#[test]
fn the_workload_does_not_get_the_variable_with_the_token() {
    let store = releasing();
    let ran = run(at(&store, "env:CI_TOKEN", &BOOT).env("CI_TOKEN", FIRST).env("OTHER", "x"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("OTHER=x") && !ran.out.contains("CI_TOKEN"), "{}", ran.out);
    assert_eq!(bearer(&store, 0), FIRST);
}

/// A stand-in for a metadata service, which answers with plain text.
fn metadata(answer: impl Fn(&str, usize) -> Answer + Send + 'static) -> Store {
    Store::new(answer)
}

fn host(service: &Store) -> &str {
    service.url.strip_prefix("http://").unwrap()
}

#[test]
fn azure_is_asked_as_it_documents_and_again_while_it_is_updated() {
    let service = metadata(|_, earlier| match earlier {
        0 => (404, String::new()),
        1 => (429, String::new()),
        _ => (200, format!(r#"{{"access_token":"{FIRST}","expires_in":"86399","token_type":"Bearer"}}"#)),
    });
    let store = releasing();
    let mut command = at(&store, "azure:00000000-0000-4000-8000-000000000000", &BOOT);
    command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.url).env("DROPSAFE_DEADLINE", "20s");
    let ran = run(command.env("DROPSAFE_TOKEN_AUDIENCE", "api://app"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(bearer(&store, 0), FIRST);
    let request = &service.requests()[2];
    assert_eq!(
        request.path,
        "/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=00000000-0000-4000-8000-000000000000\
         &resource=api%3A%2F%2Fapp"
    );
    assert_eq!(request.header("metadata"), Some("true"));
}

/// A token for the audience in the path of a request.
fn token_for(path: &str) -> String {
    let audience = path.split("audience=").nth(1).unwrap().replace("%3A", ":").replace("%23", "#");
    let claims = data_encoding::BASE64URL_NOPAD.encode(format!(r#"{{"aud":"{audience}"}}"#).as_bytes());
    format!("e30.{claims}.c2ln")
}

/// As behind a proxy of the platform's service that cuts the audience.
#[test]
fn a_token_that_is_not_bound_is_not_sent() {
    let store = releasing();
    let github = metadata(|path, _| {
        let cut = path.split("%23").next().unwrap();
        (200, format!(r#"{{"count":1,"value":"{}"}}"#, token_for(cut)))
    });
    let mut command = at(&store, "github", &BOOT);
    command.env("ACTIONS_ID_TOKEN_REQUEST_URL", &github.url);
    let ran = run(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-canary"));
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("is for another audience"), "{}", ran.err);
    assert_eq!((github.requests().len(), store.requests().len()), (1, 0));
}

#[test]
fn google_and_github_bind_each_token_to_a_key() {
    let store = releasing();
    let google = metadata(|_, _| (200, FIRST.to_owned()));
    let github = metadata(|path, _| (200, format!(r#"{{"count":1,"value":"{}"}}"#, token_for(path))));
    let url = format!("{}/token?api-version=2.0", github.url);
    for source in ["gcp", "github"] {
        let mut command = at(&store, source, &BOOT);
        command.env("GCE_METADATA_HOST", host(&google)).env("ACTIONS_ID_TOKEN_REQUEST_URL", &url);
        let ran = run(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-canary"));
        // This store cannot seal an answer, and this metadata service is not Google's.
        assert_eq!(ran.code, Some(69), "{}", ran.err);
        assert!(!ran.err.contains("canary"), "{}", ran.err);
        let why = if source == "gcp" { "something else answers" } else { "without the store's signature" };
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    let audience = "audience=dropsafe%3Asto_aeaqcaibaeaqcaibaeaqcaibae%23";
    let asked = &google.requests()[0];
    let start = "/computeMetadata/v1/instance/service-accounts/default/identity?format=full&";
    let thumbprint = asked.path.strip_prefix(&format!("{start}{audience}")).unwrap();
    assert_eq!((thumbprint.len(), asked.header("metadata-flavor")), (43, Some("Google")));
    let asked = github.requests();
    let thumbprints: Vec<_> = asked
        .iter()
        .map(|asked| {
            assert_eq!(asked.header("authorization"), Some("Bearer request-canary"));
            asked.path.strip_prefix(&format!("/token?api-version=2.0&{audience}")).unwrap()
        })
        .collect();
    // A key of its own for each try.
    assert!(thumbprints.len() > 1 && thumbprints[0] != thumbprints[1], "{thumbprints:?}");
    for request in store.requests() {
        assert_eq!(
            (request.header("dropsafe-token").map(|token| &token[..4]), request.header("dropsafe-identity")),
            (Some("e30."), None)
        );
        assert!(request.header("authorization").unwrap().starts_with("Dropsafe-Proof "));
    }
    assert_eq!(store.requests().len(), asked.len());
}

#[test]
fn what_a_service_cannot_give_is_told_apart() {
    let store = releasing();
    let cases: [(&str, u16, i32); 5] = [
        ("busy", 503, 69),
        ("slow down", 429, 69),
        ("bad request", 400, 78),
        ("no identity", 403, 78),
        ("elsewhere", 302, 78),
    ];
    for (body, status, code) in cases {
        let service = metadata(move |_, _| (status, body.to_owned()));
        let mut command = at(&store, "azure", &BOOT);
        command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.url);
        let ran = run(command.env("DROPSAFE_TOKEN_AUDIENCE", "api://app"));
        assert_eq!(ran.code, Some(code), "{status}: {}", ran.err);
        assert!(ran.err.contains(&format!("azure has no token: it answered {status}")), "{}", ran.err);
        assert_eq!(service.requests().len() > 1, code == 69);
    }
    // Nothing listens there, or what is there never answers.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let started = Instant::now();
        let ran = run(at(&store, "gcp", &BOOT).env("GCE_METADATA_HOST", address.to_string()));
        assert_eq!(ran.code, Some(69), "{}", ran.err);
        assert!(
            ran.err.contains("gcp has no token") && started.elapsed() < Duration::from_secs(8),
            "{}",
            ran.err
        );
    }
    // No service is asked in plain HTTP that is not the machine's own.
    let remote = run(at(&store, "gcp", &BOOT).env("GCE_METADATA_HOST", "192.0.2.1"));
    assert_eq!(remote.code, Some(78), "{}", remote.err);
    let github = run(&mut at(&store, "github", &BOOT));
    assert_eq!(github.code, Some(78), "{}", github.err);
    assert!(github.err.contains("id-token: write"), "{}", github.err);
    assert!(store.requests().is_empty());
}

#[test]
fn a_program_that_hangs_or_prints_too_much_stops_the_boot() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("token");
    let store = releasing();
    let boot = |text: &str| {
        std::fs::write(&script, text).unwrap();
        run(&mut at(&store, &format!("command:/bin/sh {} password-canary", script.display()), &BOOT))
    };
    let started = Instant::now();
    for (text, code, why) in [
        ("exec sleep 1000", 69, "did not end in time"),
        ("exit 3", 69, "the program ended with status 3"),
        ("exec cat /dev/zero", 78, "more than the 16 KiB"),
        ("echo canary", 78, "is not a token"),
    ] {
        let ran = boot(text);
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.err);
        assert!(ran.err.contains(why) && !ran.err.contains("canary"), "{text}: {}", ran.err);
    }
    assert!(started.elapsed() < Duration::from_secs(30) && store.requests().is_empty());
    let ran = boot(&format!("printf %s {FIRST}"));
    assert_eq!((ran.code, bearer(&store, 0).as_str()), (Some(0), FIRST), "{}", ran.err);
}

#[test]
fn a_card_without_what_it_needs_is_refused_before_anything_is_sent() {
    let store = releasing();
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        configuration(folder.path(), &format!("card: {}\ntoken_from: file:/token\n", card(&store.url)));
    for (line, more, says) in [
        (&["exec", "--", "true"][..], &[][..], "token_from is not set"),
        (&["check"], &[], "token_from is not set"),
        (&["exec", "--", "true"], &[("DROPSAFE_TOKEN_FROM", "azure")], "token_audience is not set"),
        (
            &["exec", "--on-outage", "cache", "--", "true"],
            &[("DROPSAFE_TOKEN_FROM", "github")],
            "cannot be cache",
        ),
        (&["check", "--on-outage", "cache"], &[("DROPSAFE_TOKEN_FROM", "github")], "cannot be cache"),
        (&["boot", "--on-outage", "cache"], &[("DROPSAFE_TOKEN_FROM", "github")], "cannot be cache"),
        (&["check"], &[("DROPSAFE_TOKEN_FROM", "e30.e30.canary")], "write file:PATH"),
        (&["check"], &[("DROPSAFE_TOKEN_FROM", "file:/x"), ("DROPSAFE_TOKEN_AUDIENCE", "a#b")], "without #"),
    ] {
        let mut command = agent(line);
        command.env("DROPSAFE_CARD", card(&store.url)).envs(more.iter().copied());
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(78), "{line:?}: {}{}", ran.out, ran.err);
        let said = ran.out + &ran.err;
        assert!(said.contains(says) && !said.contains("canary"), "{line:?}: {said}");
    }
    let ran = run(agent(["check"]).env("DROPSAFE_CONFIG", &yaml).env("DROPSAFE_DEADLINE", "200ms"));
    assert_eq!(ran.code, Some(69), "{}", ran.out);
    let place = format!("card: {IDENTITY}, from {}:1 card", yaml.display());
    assert!(ran.out.contains(&place) && ran.out.contains("token: from file:/token"), "{}", ran.out);
    assert!(store.requests().iter().all(|request| request.path == "/healthz"));
}

#[test]
fn a_denial_is_one_and_shows_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = token(folder.path());
    let store = Store::new(|_, _| problem(Code::Unauthorized));
    for line in [&BOOT[..], &["explain"], &["check"], &["exec", "--require", "A", "--", "true"]] {
        for format in ["text", "json"] {
            let ran = run(at(&store, &file, line).env("DROPSAFE_LOG_FORMAT", format));
            assert_eq!(ran.code, Some(77), "{line:?}: {}{}", ran.out, ran.err);
            assert!(!(ran.out + &ran.err).contains("canary"));
        }
    }
}

fn token(folder: &Path) -> String {
    let file = folder.join("token");
    std::fs::write(&file, FIRST).unwrap();
    format!("file:{}", file.display())
}

#[test]
fn the_folder_of_files_has_the_id_of_the_identity() {
    use dropsafe::domain::value::Delivery;

    let folder = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir_in("/dev/shm").unwrap();
    let secret = super::store::Secret { delivery: Delivery::File, ..private("tls-key", "pem") };
    let store = Store::releasing(vec![secret]);
    let mut command = at(&store, &token(folder.path()), &["exec", "--", "printenv", "TLS_KEY_FILE"]);
    let ran = run(command.env("DROPSAFE_FILES_DIR", files.path()));
    assert_eq!(
        ran.out.trim(),
        files.path().join(IDENTITY.to_string()).join("TLS_KEY").display().to_string(),
        "{}",
        ran.err
    );
}
