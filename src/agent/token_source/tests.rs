//! Each kind of source, and what is wrong with one.
#![expect(clippy::disallowed_methods, reason = "a test writes the file of a token")]

use std::time::Instant;

use super::*;
use crate::client::{CallError, ProgramEnd};

const TOKEN: &str = "e30.e30.canary";
const LONG: Duration = Duration::from_secs(20);

fn reader(source: &str, variables: &[(&str, &str)]) -> Result<TokenReader, TokenSourceError> {
    let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
    TokenReader::new(Some(&TokenSource::parse(source).unwrap()), None, &environment)
}

/// The token, or what is wrong and whether another try may help.
fn fetch(source: &str, variables: &[(&str, &str)], limit: Duration) -> Result<String, (TokenFault, bool)> {
    let reader = reader(source, variables).unwrap();
    let runtime = crate::agent::runtime::start().unwrap();
    match runtime.block_on(reader.fetch("dropsafe:x", limit)) {
        Ok(token) => Ok(token.expose().to_owned()),
        Err(CallError::Outage(CallOutage::Token { why, from })) => {
            assert_eq!(from, reader.source().to_string());
            Err((why, true))
        }
        Err(CallError::Refused(CallRefusal::Token { why, .. })) => Err((why, false)),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn sources_are_read_and_shown_without_their_arguments() {
    for (text, shown) in [
        ("file:/run/token", "file:/run/token"),
        ("env:A", "env:A"),
        ("github", "github"),
        ("gcp", "gcp"),
        ("azure", "azure"),
        ("azure:00000000-0000-4000-8000-000000000000", "azure"),
        ("command:/bin/x --password canary", "command:/bin/x"),
    ] {
        let source = TokenSource::parse(text).unwrap();
        assert_eq!((source.to_string(), format!("{source:?}")), (shown.to_owned(), shown.to_owned()));
    }
    for text in [
        "",
        "file",
        "file:",
        "env:",
        "env:A=canary",
        "github:canary",
        "azure:canary",
        "command: ",
        "e30.e30.canary",
        "/run/token",
    ] {
        assert!(!TokenSource::parse(text).unwrap_err().contains("canary"), "{text}");
    }
}

#[test]
fn a_file_is_read_anew_for_each_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let source = format!("file:{}", path.display());
    let file = reader(&source, &[]).unwrap();
    let runtime = crate::agent::runtime::start().unwrap();
    let read = || runtime.block_on(file.fetch("x", LONG)).ok().map(|token| token.expose().to_owned());
    assert_eq!(read(), None);
    assert_eq!(fetch(&source, &[], LONG), Err((TokenFault::NoFile, true)));
    for token in ["e30.e30.b25l", "e30.e30.dHdv"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        assert_eq!(read().as_deref(), Some(token));
    }
    for (content, fault, is_outage) in [
        (b"".to_vec(), TokenFault::Empty, true),
        (b"canary".to_vec(), TokenFault::NotAToken, false),
        (b"\xff.a.b".to_vec(), TokenFault::NotAToken, false),
        (vec![b'a'; MAX_TOKEN + 65], TokenFault::TooLarge, false),
    ] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(fetch(&source, &[], LONG), Err((fault, is_outage)));
    }
    let folder = format!("file:{}", folder.path().display());
    assert_eq!(fetch(&folder, &[], LONG), Err((TokenFault::File(io::ErrorKind::IsADirectory), false)));
}

#[test]
fn variables_are_required_when_they_are_named() {
    assert_eq!(fetch("env:A", &[("A", TOKEN)], LONG).as_deref(), Ok(TOKEN));
    let error = |source, variables: &[(&str, &str)]| reader(source, variables).err().unwrap();
    assert_eq!(error("env:A", &[]), TokenSourceError::NoVariable("A".into()));
    let invalid = error("env:A", &[("A", "canary")]);
    assert_eq!(invalid, TokenSourceError::Variable { name: "A".into(), why: TokenFault::NotAToken });
    assert!(!invalid.to_string().contains("canary"));
    let github = error("github", &[(GITHUB.0, "https://github.example/x?canary")]);
    assert_eq!(github, TokenSourceError::NoVariable(GITHUB.1.into()));
    assert!(github.hint().unwrap().contains("id-token: write"));
    let remote = error("github", &[(GITHUB.0, "http://github.example/x?canary"), (GITHUB.1, "x")]);
    assert!(matches!(remote, TokenSourceError::Address { name: "ACTIONS_ID_TOKEN_REQUEST_URL", .. }));
    assert!(!remote.to_string().contains("canary"));
    for (source, name) in [("gcp", "GCE_METADATA_HOST"), ("gcp", "GCE_METADATA_HOST")] {
        assert!(matches!(error(source, &[(name, "10.0.0.1")]), TokenSourceError::Address { .. }));
    }
    assert_eq!(error("azure", &[]), TokenSourceError::NoAudience);
    assert_eq!(TokenReader::new(None, None, &Environment::default()).err(), Some(TokenSourceError::Unset));
}

#[test]
fn a_program_prints_a_token_and_gets_nothing_of_the_agent() {
    let path = [("PATH", "/usr/bin:/bin"), ("DROPSAFE_TICKET", "canary")];
    assert_eq!(fetch("command:echo e30.e30.b25l", &path, LONG).as_deref(), Ok("e30.e30.b25l"));
    // Its environment, base64url apart, is what the token's parts are made of.
    let script = tempfile::tempdir().unwrap();
    let file = script.path().join("token");
    let write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        format!("command:/bin/sh {}", file.display())
    };
    let source =
        write("echo \"a.${DROPSAFE_TICKET:-none}.$(printf %s \"$DROPSAFE_TOKEN_AUDIENCE\" | tr : -)\"");
    assert_eq!(fetch(&source, &path, LONG).as_deref(), Ok("a.none.dropsafe-x"));
    for (text, fault, is_outage) in [
        ("echo canary; exit 3", TokenFault::Ended(ProgramEnd::Status(3)), true),
        ("kill -9 $$", TokenFault::Ended(ProgramEnd::Signal(9)), true),
        ("echo canary canary", TokenFault::NotAToken, false),
        ("true", TokenFault::Empty, true),
        ("exec cat /dev/zero", TokenFault::TooLarge, false),
    ] {
        assert_eq!(fetch(&write(text), &path, LONG), Err((fault, is_outage)), "{text}");
    }
    let missing = fetch("command:/no/such/program", &path, LONG);
    assert_eq!(missing, Err((TokenFault::Start(io::ErrorKind::NotFound), false)));
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (script, pids) = (folder.path().join("script"), folder.path().join("pids"));
    let path = [("PATH", "/usr/bin:/bin")];
    for text in ["sleep 1000", "exec >&-; sleep 1000"] {
        std::fs::write(&script, format!("sleep 1001 & echo $$ $! > {}\n{text}\n", pids.display())).unwrap();
        let started = Instant::now();
        let hung = fetch(&format!("command:/bin/sh {}", script.display()), &path, Duration::from_millis(500));
        assert_eq!(hung, Err((TokenFault::Late, true)));
        assert!(started.elapsed() < LONG);
        let pids = std::fs::read_to_string(&pids).unwrap();
        for pid in pids.split_ascii_whitespace() {
            // The child of the program is reaped by whoever adopts it, which may take a moment.
            let until = Instant::now() + LONG;
            while is_running(pid) {
                assert!(Instant::now() < until, "{text}: {pid} is still there");
                std::thread::yield_now();
            }
        }
    }
}

/// Whether a process exists that has not ended.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
}
