//! Calls with a token, over real connections.

use std::time::Instant;

use zeroize::Zeroizing;

use super::*;
use crate::client::error::ResponseFault;
use crate::client::list::SecretListFilter;
use crate::client::tests::mock_server::{
    MockAction, MockServer, RecordedRequest, TestCertificate, json, raw,
};
use crate::domain::credential::CredentialKind;
use crate::domain::id::{MemberId, SecretId};
use crate::domain::role::{MemberKind, Role};
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::wire::{
    CreateMemberRequest, CreateMemberResponse, LockResponse, MemberView, PageView, Problem, SecretView,
    UpdateMemberRequest, UpdateSecretRequest,
};

fn token() -> Credential {
    Credential::new(CredentialKind::Member, [1; 16], Zeroizing::new([2; 32]))
}

/// A client of a mock store on loopback.
pub(crate) async fn client(
    answers: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Client, MockServer) {
    let server = MockServer::new(answers);
    let endpoint = Endpoint::parse(&format!("http://{}", server.on_loopback().await)).unwrap();
    (Client::new(endpoint, &token(), None).unwrap(), server)
}

const SECRET: SecretId = SecretId::from_bytes([4; 16]);

fn member(name: &str) -> CreateMemberResponse {
    CreateMemberResponse { issued: None, view: view(name) }
}

fn view(name: &str) -> MemberView {
    MemberView {
        id: MemberId::from_bytes([1; 16]),
        name: name.parse().unwrap(),
        role: Role::Member,
        kind: MemberKind::Person,
        created_at: Timestamp::from_millis(0),
        author: None,
        managers: Vec::new(),
        enrolment: None,
    }
}

fn with_close(mut actions: Vec<MockAction>) -> Vec<MockAction> {
    actions.push(MockAction::Close);
    actions
}

fn problem(code: Code, headers: &str) -> Vec<MockAction> {
    json(code.status(), headers, &Problem::new(code, "said"))
}

#[tokio::test]
async fn calls_share_a_connection_and_carry_the_token() {
    let (mut client, server) = client(|_, _| json(200, "", &member("a"))).await;
    client.member("a").await.unwrap();
    client.member("b").await.unwrap();
    let requests = server.requests();
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0));
    assert_eq!(requests[1].line(), "GET /v1/members/b HTTP/1.1");
    assert_eq!(requests[1].header("authorization").unwrap(), format!("Bearer {}", *token().to_text()));
}

#[tokio::test]
async fn works_over_pinned_tls() {
    let (identity, other) =
        (TestCertificate::named("store.example"), TestCertificate::named("store.example"));
    let server = MockServer::new(|_, _| json(200, "", &member("a")));
    let address = server.on_tls(&identity).await;
    let endpoint = Endpoint::parse(&format!("https://{address}#{}", identity.pin())).unwrap();
    Client::new(endpoint, &token(), None).unwrap().member("a").await.unwrap();
    let endpoint = Endpoint::parse(&format!("https://{address}#{}", other.pin())).unwrap();
    let error = Client::new(endpoint, &token(), None).unwrap().member("a").await.unwrap_err();
    assert!(matches!(error, CallError::Refused(CallRefusal::WrongPin { .. })));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_that_the_store_closed_is_opened_again() {
    let (mut client, server) = client(|_, _| with_close(json(200, "", &member("a")))).await;
    for _ in 0..3 {
        client.member("a").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.requests().last().unwrap().connection, 2);
}

/// Makes a second call on a connection that the store closes right after the request.
async fn call_on_a_closing_connection<T>(
    call: impl AsyncFnOnce(&mut Client) -> Result<T, CallError>,
) -> (Result<T, CallError>, Vec<RecordedRequest>) {
    let (mut client, server) = client(|number, _| match number {
        1 => vec![MockAction::Close],
        _ => json(200, "", &member("a")),
    })
    .await;
    client.member("a").await.unwrap();
    let result = call(&mut client).await;
    (result, server.requests())
}

#[tokio::test]
async fn a_repeatable_request_is_sent_again_when_an_idle_connection_closes() {
    let (result, requests) = call_on_a_closing_connection(async |client| client.member("a").await).await;
    result.unwrap();
    assert_eq!(requests.len(), 3);

    let new = CreateMemberRequest::person("a".into(), Role::Member);
    let (result, requests) =
        call_on_a_closing_connection(async |client| client.create_member(&new).await).await;
    result.unwrap();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].header("idempotency-key").unwrap().len(), 32);
    assert_eq!(requests[1].header("idempotency-key"), requests[2].header("idempotency-key"));
}

#[tokio::test]
async fn a_request_that_is_not_repeatable_returns_the_outage() {
    let change = UpdateMemberRequest { role: Role::Admin };
    let (result, requests) =
        call_on_a_closing_connection(async |client| client.change_member("a", &change).await).await;
    assert!(matches!(result, Err(CallError::Outage(CallOutage::Broken { during: CallStage::Waiting, .. }))));
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn two_creations_have_two_keys() {
    let (mut client, server) = client(|_, _| json(201, "", &member("a"))).await;
    let new = CreateMemberRequest::person("a".into(), Role::Member);
    client.create_member(&new).await.unwrap();
    client.create_member(&new).await.unwrap();
    let requests = server.requests();
    assert_ne!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
    assert_eq!(requests[0].body, r#"{"name":"a","role":"member","kind":"person"}"#);
}

#[tokio::test]
async fn a_store_under_load_is_called_again_after_its_retry_after() {
    for code in [Code::RateLimited, Code::Overloaded] {
        let (mut client, server) = client(move |number, _| match number {
            0 => problem(code, "retry-after: 1\r\n"),
            _ => json(200, "", &member("a")),
        })
        .await;
        let started = Instant::now();
        client.member("a").await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn other_outages_are_returned_at_once() {
    for (code, headers) in [
        (Code::Locked, "retry-after: 5\r\n"),
        (Code::Unavailable, "retry-after: 5\r\n"),
        (Code::Overloaded, ""),
        (Code::Internal, ""),
        (Code::Corrupt, ""),
        (Code::StoreFull, ""),
    ] {
        let (mut client, server) = client(move |_, _| problem(code, headers)).await;
        let error = client.member("a").await.unwrap_err();
        assert!(matches!(error, CallError::Outage(_)));
        assert_eq!(error.code(), Some(code));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_unreachable_store_is_reported_at_once() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint::parse(&format!("http://{closed}")).unwrap();
    let mut client = Client::new(endpoint, &token(), None).unwrap();
    let error = client.status().await.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{closed} cannot be reached: connection refused"));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn lists_are_read_to_the_end_past_empty_pages() {
    let (mut client, server) = client(|number, _| {
        let next = (number < 3).then(|| format!("c&{number}"));
        let items = if number == 1 { Vec::new() } else { vec![member(&number.to_string())] };
        json(200, "", &PageView { items, next })
    })
    .await;
    let all = Client::members().all(&mut client).await.unwrap();
    assert_eq!(all.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["0", "2", "3"]);
    let lines: Vec<_> = server.requests().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(lines[0], "GET /v1/members?limit=500 HTTP/1.1");
    assert_eq!(lines[2], "GET /v1/members?limit=500&cursor=c%261 HTTP/1.1");
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_list_fetches_pages_on_demand_and_stops_at_a_repeated_cursor() {
    let endless = |_: usize, _: &RecordedRequest| {
        json(200, "", &PageView { items: vec![member("a"), member("b")], next: Some("same".into()) })
    };
    let (mut client, server) = client(endless).await;
    assert_eq!(Client::members().next(&mut client).await.unwrap().unwrap().len(), 2);
    assert_eq!(server.requests().len(), 1);
    let error = Client::members().all(&mut client).await.unwrap_err();
    assert!(matches!(
        error,
        CallError::Refused(CallRefusal::BadResponse { why: ResponseFault::Unreadable, .. })
    ));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn filters_and_versions_are_sent() {
    let (mut client, server) = client(|number, _| match number {
        0 => json(200, "", &PageView::<SecretView> { items: Vec::new(), next: None }),
        _ => problem(Code::VersionMismatch, ""),
    })
    .await;
    let filter = SecretListFilter { scope: Some(ScopeKind::Private), ..SecretListFilter::default() };
    Client::secrets(&filter).all(&mut client).await.unwrap();
    let change = UpdateSecretRequest { auto_install: Some(false), ..UpdateSecretRequest::default() };
    let error = client.change_secret(SECRET, &change, Some("ver_a")).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::VersionMismatch));
    let requests = server.requests();
    assert_eq!(requests[0].line(), "GET /v1/secrets?scope=private&limit=500 HTTP/1.1");
    assert_eq!(requests[1].line(), format!("PATCH /v1/secrets/{SECRET} HTTP/1.1"));
    assert_eq!(requests[1].header("if-match"), Some("\"ver_a\""));
    assert_eq!(requests[1].body, r#"{"auto_install":false}"#);
}

#[tokio::test]
async fn names_cannot_reach_another_path_or_header() {
    let (mut client, server) = client(|_, _| json(200, "", &member("a"))).await;
    client.member("../secrets?x#y\r\nX-Evil: 1\r\n\r\nGET /").await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(
        request.line(),
        "GET /v1/members/..%2Fsecrets%3Fx%23y%0D%0AX-Evil%3A%201%0D%0A%0D%0AGET%20%2F HTTP/1.1"
    );
    assert_eq!(request.header("x-evil"), None);
    let change = UpdateSecretRequest::default();
    let error = client.change_secret(SECRET, &change, Some("a\"\r\nX-Evil: 1")).await.unwrap_err();
    assert_eq!(error, CallError::Refused(CallRefusal::Request("the version")));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_removal_needs_no_response_body() {
    let (mut client, server) = client(|number, _| match number {
        0 => raw("HTTP/1.1 204 No Content\r\n\r\n"),
        1 => json(200, "", &member("a")),
        _ => problem(Code::LastAdmin, ""),
    })
    .await;
    client.remove_member("a").await.unwrap();
    client.revoke_token("tok_a").await.unwrap();
    assert_eq!(client.remove_member("a").await.unwrap_err().code(), Some(Code::LastAdmin));
    assert_eq!(server.requests()[1].line(), "DELETE /v1/tokens/tok_a HTTP/1.1");
}

#[tokio::test]
async fn a_post_without_a_body_has_a_content_length() {
    let (mut client, server) = client(|_, _| json(200, "", &LockResponse { locked: true })).await;
    client.lock().await.unwrap();
    assert_eq!(server.requests()[0].header("content-length"), Some("0"));
    assert_eq!(server.requests()[0].header("content-type"), None);
}

#[tokio::test]
async fn a_backup_is_streamed() {
    let piece = "x".repeat(100_000);
    let (mut client, _) = client(move |_, _| {
        let mut actions = raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..300 {
            actions.extend(raw(&format!("{:x}\r\n{piece}\r\n", piece.len())));
        }
        actions.extend(raw("0\r\n\r\n"));
        actions
    })
    .await;
    let (mut total, mut pieces) = (0, 0);
    let mut sink = |piece: &[u8]| {
        total += piece.len();
        pieces += 1;
        Ok(())
    };
    client.backup(&mut sink).await.unwrap();
    assert_eq!(total, 30_000_000);
    assert!(pieces > 300, "the body was buffered");
}

#[tokio::test]
async fn an_incomplete_backup_is_an_error() {
    for (answers, why) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed while"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "closed while"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "has no known length"),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "redirect"),
    ] {
        let (mut client, _) = client(move |_, _| with_close(raw(answers))).await;
        let error = client.backup(&mut |_| Ok(())).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let (mut client, _) = client(|_, _| problem(Code::Forbidden, "")).await;
    assert_eq!(client.backup(&mut |_| Ok(())).await.unwrap_err().code(), Some(Code::Forbidden));
    let (mut client, _) = self::client(|_, _| json(200, "", &"hello")).await;
    let full = &mut |_: &[u8]| Err(io::ErrorKind::StorageFull.into());
    let error = client.backup(full).await.unwrap_err();
    assert_eq!(error, CallError::Refused(CallRefusal::Sink(io::ErrorKind::StorageFull)));
}
