//! Machines without any stored secret: they boot with a token of an issuer. The store is real, and so are the tokens of an issuer on
//! loopback; the metadata services of clouds are stand-ins that ask that issuer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dropsafe::domain::card::StoreCard;
use dropsafe::domain::location::StoreLocation;
use serde_json::{Value, json};

use super::harness::{Ran, Site, agent_program, bare, environment, free_port, holds_piece};
use super::tls_proxy::{Message, Store, TlsProxy};
use test_issuer::TestIssuer;

#[path = "../../src/oidc/tests/test_issuer.rs"]
#[allow(dead_code, reason = "the issuer serves other suites too")]
mod test_issuer;

pub const CANARY: &str = "sk-canary-8c1f0d5e97b34a62";
/// The least time between two fetches of an issuer's keys.
const REFETCH: Duration = Duration::from_secs(10);

/// A site whose organization trusts a test issuer, with the service `prod-api`.
pub struct TokenSite {
    pub site: Site,
    pub issuer: Arc<TestIssuer>,
    proxy: Option<TlsProxy>,
}

impl TokenSite {
    pub fn new() -> Self {
        Self::start(false)
    }

    /// With a proxy that terminates TLS in front of a second listener.
    fn proxied() -> Self {
        Self::start(true)
    }

    fn start(is_proxied: bool) -> Self {
        let mut site = Site::new();
        let config = site.data().join("server.yaml");
        let mut text = fs::read_to_string(&config).unwrap() + "\nissuers:\n  allow_networks: [127.0.0.0/8]\n";
        let (port, listener) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
        let public = listener.local_addr().unwrap().port();
        if is_proxied {
            text += &format!(
                "listeners:\n  - address: 127.0.0.1:{port}\n    tls: terminated\n    advertise: [localhost:{public}]\n"
            );
        }
        fs::write(&config, text).unwrap();
        site.serve_unlocked();
        let proxy = is_proxied.then(|| TlsProxy::start(listener, Store::new(port), site.folder.path()));
        let issuer = Arc::new(TestIssuer::start());
        let authorities = site.folder.path().join("issuer.pem");
        fs::write(&authorities, &issuer.authorities).unwrap();
        let authorities = authorities.to_str().unwrap();
        site.cli(&["issuer", "set", "cluster", "--url", &issuer.url(), "--ca", authorities]).ok();
        site.cli(&["member", "add", "prod-api", "--service", "--manager", "admin"]).ok();
        site.set("api-key", CANARY, &["--for", "prod-api"]).ok();
        Self { site, issuer, proxy }
    }

    /// Adds an identity of the service, and returns its card.
    pub fn add(&self, template: &str, claims: &[&str]) -> StoreCard {
        let rest = ["--issuer", "cluster", "--for", "prod-api"];
        let line = [&["identity", "add", template], claims, &rest].concat();
        self.site.cli(&line).ok().out.trim().parse().unwrap()
    }

    fn kubernetes(&self) -> StoreCard {
        self.add("kubernetes", &["namespace=prod", "service-account=api"])
    }

    /// A projected token of Kubernetes for the store of a card, in a file.
    fn write_token(&self, card: &StoreCard, namespace: &str) -> (PathBuf, String) {
        let mut claims = self.claims(&audience(card));
        claims["kubernetes.io"] = json!({ "namespace": namespace, "serviceaccount": { "name": "api" } });
        let token = self.issuer.key("RS256").sign(&claims);
        let path = self.site.folder.path().join("token");
        fs::write(&path, &token).unwrap();
        (path, token)
    }

    pub fn claims(&self, audience: &str) -> Value {
        self.issuer.claims(audience, "system:serviceaccount:prod:api", now())
    }

    /// The agent without any setting of its own.
    pub fn bare_agent(&self, arguments: &[&str]) -> Command {
        let mut command = bare(agent_program(), self.site.folder.path());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// The agent with a card and an otherwise empty environment.
    fn agent(&self, card: &StoreCard, source: &str, arguments: &[&str]) -> Command {
        let mut command = self.bare_agent(arguments);
        command.env("DROPSAFE_CARD", card.to_string()).env("DROPSAFE_TOKEN_FROM", source);
        command.env("DROPSAFE_LOG", "trace");
        if let Some(proxy) = &self.proxy {
            command.env("DROPSAFE_CA", &proxy.authority);
        }
        command
    }

    fn boots(&self) -> Vec<Value> {
        self.site.cli(&["boots", "--json"]).ok().json().as_array().unwrap().clone()
    }

    /// Waits until the store has the reports of all boots.
    fn settled_boots(&self) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let boots = self.boots();
            if boots.iter().all(|boot| boot["state"] != "presumed_running") || Instant::now() > until {
                return boots;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn audit(&self) -> String {
        self.site.cli(&["audit", "--json"]).ok().out
    }
}

pub fn audience(card: &StoreCard) -> String {
    format!("dropsafe:{}", card.store())
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn run(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap())
}

/// A stand-in for a metadata service: it answers each request for a token with what `answer` makes of the audience.
pub fn metadata(mut answer: impl FnMut(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut header = String::new();
            while reader.read_line(&mut header).unwrap() > 2 {
                header.clear();
            }
            let query = line.split(' ').nth(1).unwrap();
            let parameter =
                |part: &'static str| query.split(['?', '&']).find_map(|found| found.strip_prefix(part));
            let audience = parameter("audience=").or_else(|| parameter("resource=")).unwrap();
            let audience = audience.replace("%3A", ":").replace("%23", "#").replace("%2F", "/");
            let body = answer(&audience);
            let head = "HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\ncontent-length:";
            write!(reader.get_mut(), "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    port
}

/// The files below a folder that hold a piece of the needle.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files_with(&path, needle)),
            kind if kind.is_file() && holds_piece(&fs::read(&path).unwrap(), needle).is_some() => {
                found.push(path);
            }
            _ => {}
        }
    }
    found
}

#[test]
fn a_projected_token_boots_a_service_without_any_ticket() {
    let tokens = TokenSite::new();
    let card = tokens.kubernetes();
    let (file, token) = tokens.write_token(&card, "prod");
    let source = format!("file:{}", file.display());
    let ran = run(&mut tokens.agent(&card, &source, &["exec", "--", "env", "-0"])).ok();
    let variables = environment(&ran.out);
    assert_eq!(variables["API_KEY"], CANARY);
    assert!(variables.keys().all(|name| !name.starts_with("DROPSAFE_")), "{variables:?}");
    let status = ["exec", "--init", "--", "sh", "-c", "cat /proc/*/cmdline 2>/dev/null; exit 7"];
    let ended = run(&mut tokens.agent(&card, &source, &status));
    assert_eq!(ended.status.code(), Some(7), "{}", ended.err);
    let explained = run(&mut tokens.agent(&card, &source, &["explain"])).ok();
    assert!(explained.out.contains("A boot for prod-api of default") && explained.out.contains("API_KEY"));
    let checked = run(&mut tokens.agent(&card, &source, &["check"])).ok();
    let identity = card.identity().to_string();
    assert!(checked.out.contains(&format!("card: {identity}, from DROPSAFE_CARD")), "{}", checked.out);
    assert!(checked.out.contains(&format!("token: from {source}")), "{}", checked.out);
    // The report of a start, and that of an end with the boot's own credential.
    let boots = tokens.settled_boots();
    assert_eq!((&boots[0]["state"], &boots[0]["end"]["status"]), (&"ended".into(), &7.into()), "{boots:?}");
    assert_eq!((&boots[1]["state"], &boots[1]["member"]), (&"running".into(), &"prod-api".into()));
    assert_eq!(boots.len(), 2);
    // The signature is what nobody else can make.
    let signature = token.rsplit('.').next().unwrap();
    for output in [&ran, &ended, &explained, &checked] {
        for text in [&output.out, &output.err, &tokens.site.log(), &tokens.audit()] {
            assert_eq!(holds_piece(text.as_bytes(), signature.as_bytes()), None);
        }
    }
    assert_eq!(files_with(tokens.site.folder.path(), signature.as_bytes()), [file]);
    assert!(tokens.site.cli(&["ticket", "list", "--json"]).ok().json().as_array().unwrap().is_empty());
}

#[test]
fn a_wrong_claim_is_denied_and_only_the_audit_log_says_why() {
    let tokens = TokenSite::new();
    let card = tokens.kubernetes();
    let (file, _) = tokens.write_token(&card, "staging");
    let source = format!("file:{}", file.display());
    let denied = run(&mut tokens.agent(&card, &source, &["exec", "--", "true"]));
    let denied = denied.fails(77, &["does not prove this identity"]);
    assert!(!denied.err.contains("claim") && !denied.err.contains("staging"), "{}", denied.err);
    assert!(tokens.audit().contains("claim_differs"), "{}", tokens.audit());
    // What is wrong with a token is not told either, whichever it is.
    let other = StoreCard::new(
        dropsafe::domain::id::StoreId::from_bytes([1; 16]),
        card.identity(),
        card.location().clone(),
    );
    let (_, _) = tokens.write_token(&other.unwrap(), "prod");
    let audience = run(&mut tokens.agent(&card, &source, &["exec", "--", "true"]));
    let audience = audience.fails(77, &["does not prove this identity"]);
    let reason = |ran: &Ran| ran.err.lines().last().unwrap_or_default().to_owned();
    assert_eq!(reason(&denied), reason(&audience));
    assert!(tokens.boots().is_empty());
}

#[test]
fn the_issuer_rotates_its_keys() {
    let tokens = TokenSite::new();
    let card = tokens.kubernetes();
    let (file, _) = tokens.write_token(&card, "prod");
    let source = format!("file:{}", file.display());
    run(&mut tokens.agent(&card, &source, &["exec", "--", "true"])).ok();
    tokens.issuer.rotate();
    std::thread::sleep(REFETCH + Duration::from_secs(1));
    tokens.write_token(&card, "prod");
    run(&mut tokens.agent(&card, &source, &["exec", "--", "true"])).ok();
    assert_eq!(tokens.boots().len(), 2);
}

/// A machine whose service manager starts the workloads, and reports their end at shutdown.
#[test]
fn the_end_of_a_machine_is_reported_without_its_token() {
    let tokens = TokenSite::proxied();
    let proxy = tokens.proxy.as_ref().unwrap();
    let key = tokens.issuer.key("RS256");
    let mut claims = tokens.claims("");
    claims["google"] = json!({ "compute_engine": { "project_number": "7" } });
    let google = metadata(move |audience| {
        claims["aud"] = audience.into();
        key.sign(&claims)
    });
    let direct = tokens.add("gcp", &["project-number=7"]);
    for card in [direct_only(&direct, &tokens), behind_proxy(&direct, proxy)] {
        let files = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = |line: &str| {
            let mut command = tokens.agent(&card, "gcp", &[line]);
            command.env("DROPSAFE_FILES_DIR", files.path()).env("DROPSAFE_REPORT_END", "yes");
            run(command.env("GCE_METADATA_HOST", format!("127.0.0.1:{google}"))).ok()
        };
        at("boot");
        assert!(fs::read_to_string(files.path().join("env")).unwrap().contains(CANARY));
        let note = fs::read_to_string(files.path().join("end")).unwrap();
        // Three parts with dots between them, and a long one in front.
        assert!(!note.contains("eyJ"), "{note}");
        assert_eq!(tokens.settled_boots()[0]["state"], "running");
        at("ended");
        let boots = tokens.boots();
        assert_eq!((&boots[0]["state"], &boots[0]["end"]["source"]), (&"ended".into(), &"agent".into()));
    }
    assert_eq!(tokens.boots().len(), 2);
    assert!(proxy.requests().iter().any(|request| request.path().ends_with("/end")));
}

/// The card as behind the proxy: the store's own address, with its pin, is a way around it.
fn behind_proxy(card: &StoreCard, proxy: &TlsProxy) -> StoreCard {
    let url = format!("https://localhost:{}", proxy.port);
    assert!(card.location().urls().contains(&url) && card.location().pins().is_none(), "{card:?}");
    let location = StoreLocation::new(vec![url], None, card.location().answer_key()).unwrap();
    StoreCard::new(card.store(), card.identity(), location).unwrap()
}

#[test]
fn a_proxy_sees_bound_tokens_and_can_use_none() {
    let tokens = TokenSite::proxied();
    let proxy = tokens.proxy.as_ref().unwrap();
    let direct = tokens.add("gcp", &["project-number=7"]);
    let card = behind_proxy(&direct, proxy);
    let sign = {
        let claims = tokens.claims("");
        let key = tokens.issuer.key("RS256");
        move |audience: &str| {
            let mut claims = claims.clone();
            claims["aud"] = audience.into();
            claims["google"] = json!({ "compute_engine": { "project_number": "7" } });
            key.sign(&claims)
        }
    };
    let google = metadata(sign.clone());
    let github = metadata(move |audience| json!({ "value": sign(audience) }).to_string());
    let at = |source: &str, arguments: &[&str]| {
        let mut command = tokens.agent(&card, source, arguments);
        command.env("GCE_METADATA_HOST", format!("127.0.0.1:{google}"));
        command
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("http://127.0.0.1:{github}/token?api-version=2.0"));
        run(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token"))
    };
    for source in ["gcp", "github"] {
        let printed = at(source, &["exec", "--init", "--", "sh", "-c", "printenv API_KEY; exit 7"]);
        assert_eq!((printed.status.code(), printed.out.trim()), (Some(7), CANARY), "{}", printed.err);
        at(source, &["exec", "--require", "API_KEY", "--", "true"]).ok();
        at(source, &["explain"]).ok();
        at(source, &["check"]).ok();
    }
    let boots = tokens.settled_boots();
    assert_eq!(boots.len(), 4);
    for (running, ended) in [(&boots[0], &boots[1]), (&boots[2], &boots[3])] {
        assert_eq!((&running["state"], &ended["end"]["status"]), (&"running".into(), &7.into()));
    }
    let requests = proxy.requests();
    for expected in ["/v1/boot", "/v1/boot/explain", "/report", "/end"] {
        assert!(requests.iter().any(|request| request.path().ends_with(expected)), "{expected} did not pass");
    }
    let seen = proxy.seen();
    assert_eq!(holds_piece(&seen, CANARY.as_bytes()), None);
    for prefix in ["dsb_", "dsc_", "Bearer "] {
        assert!(!seen.windows(prefix.len()).any(|window| window == prefix.as_bytes()), "{prefix}");
    }
    // A recorded request gets nothing again, and the token that it has is of no use without its key.
    let store = |request: &Message| -> Message {
        let port = requests_port(&tokens);
        Store::new(port).ask(request)
    };
    let with_token = requests.iter().filter(|request| request.header("dropsafe-token").is_some());
    let recorded: Vec<&Message> = with_token.collect();
    assert!(recorded.len() >= 8, "{}", recorded.len());
    for request in &recorded {
        let answer = store(request);
        assert!(answer.head.starts_with("HTTP/1.1 409"), "{}", answer.head);
    }
    let token = recorded[0].header("dropsafe-token").unwrap();
    let variable = ["exec", "--", "true"];
    // The card with a pin, so that the agent sends it as a bearer token.
    run(tokens.agent(&direct_only(&direct, &tokens), "env:STOLEN", &variable).env("STOLEN", token))
        .fails(77, &["does not prove this identity"]);
    assert!(tokens.audit().contains("key_differs"));
    let other = recorded.iter().rfind(|other| other.header("dropsafe-token") != Some(token)).unwrap();
    let other = other.header("dropsafe-token").unwrap();
    // In the proof of another key, the token is not the one that the proof is for.
    let head = recorded[0].head.replace(token, other);
    let answer = store(&Message { head, body: recorded[0].body.clone() });
    assert!(answer.head.starts_with("HTTP/1.1 401"), "{}", answer.head);
    assert_eq!(tokens.boots().len(), 4);
}

/// The port of the listener behind the proxy.
fn requests_port(tokens: &TokenSite) -> u16 {
    let config = fs::read_to_string(tokens.site.data().join("server.yaml")).unwrap();
    let line = config.lines().find_map(|line| line.trim().strip_prefix("- address: 127.0.0.1:")).unwrap();
    line.parse().unwrap()
}

/// The card with the store's own address and pin alone.
fn direct_only(card: &StoreCard, tokens: &TokenSite) -> StoreCard {
    let own = tokens.site.url.clone();
    let location = StoreLocation::new(vec![own], None, card.location().answer_key()).unwrap();
    StoreCard::new(card.store(), card.identity(), location).unwrap()
}

#[test]
fn a_token_that_is_not_bound_is_sent_to_no_proxy() {
    let tokens = TokenSite::proxied();
    let proxy = tokens.proxy.as_ref().unwrap();
    let direct = tokens.kubernetes();
    let card = behind_proxy(&direct, proxy);
    let (file, token) = tokens.write_token(&card, "prod");
    let source = format!("file:{}", file.display());
    for line in [&["exec", "--", "true"][..], &["explain"]] {
        run(&mut tokens.agent(&card, &source, line)).fails(78, &["has no pin", "bound to a key"]);
    }
    assert!(proxy.requests().is_empty());
    let checked = run(&mut tokens.agent(&card, &source, &["check"]));
    assert_eq!(checked.status.code(), Some(78));
    assert!(checked.out.contains("bound to a key"), "{}", checked.out);
    assert!(proxy.requests().iter().all(|request| request.path() == "/healthz"));
    assert_eq!(holds_piece(&proxy.seen(), token.as_bytes()), None);
    // Around the proxy, it is fine; and through it, the store does not take it either.
    run(&mut tokens.agent(&direct_only(&direct, &tokens), &source, &["exec", "--", "true"])).ok();
    let head = format!(
        "POST /v1/boot HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
         dropsafe-identity: {}",
        card.identity()
    );
    let answer = Store::new(requests_port(&tokens)).ask(&Message::new(&head, b"{}"));
    assert!(answer.head.starts_with("HTTP/1.1 403"), "{}", answer.head);
}
