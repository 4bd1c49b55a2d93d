//! Tests with an issuer on loopback.
//!
//! - `hostile`: tokens that must be refused, each with its reason
//! - `accepted`: tokens that must not be, and what is said of them
//! - `caching`: when keys are fetched, kept and replaced
//! - `faults`: issuers that are slow, broken, hostile or in the wrong place
//! - `platforms`: tokens of the shapes that platforms document, and their templates
//! - `parsers`: arbitrary input for whatever a stranger can reach
//! - `test_issuer`: the issuer; no test

mod accepted;
mod caching;
mod faults;
mod hostile;
mod parsers;
mod platforms;
#[allow(dead_code, unreachable_pub, reason = "shared with the suites in tests/")]
mod test_issuer;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use self::test_issuer::TestIssuer;
use super::fetch::Fetcher;
use super::resolver::{AddressesFuture, NameResolver, SystemResolver};
use super::*;
use crate::client::Host;
use crate::domain::cidr::Cidr;
use crate::domain::jwt::{IssuerSpec, JwtAlgorithm, TokenRefusal, VerifiedToken};
use crate::domain::time::Timestamp;

const AUDIENCE: &str = "dropsafe:sto_test";
const SUBJECT: &str = "repo:acme/app:ref:refs/heads/main";
/// 2026-09-01T00:00:00Z, in seconds.
const NOW: i64 = 1_788_220_800;
/// Enough for a busy machine, and short enough to wait for.
const LIMIT: Duration = Duration::from_millis(1500);

/// The time `seconds` after [`NOW`].
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((NOW + seconds) * 1000)
}

/// Permits these networks besides public addresses.
fn policy(allowed: &[&str]) -> EgressPolicy {
    EgressPolicy { allowed: allowed.iter().map(|block| Cidr::parse(block).unwrap()).collect() }
}

/// A verifier that may contact loopback.
fn keys() -> IssuerKeys {
    keys_with(policy(&["127.0.0.1"]), Box::new(SystemResolver))
}

fn keys_with(policy: EgressPolicy, resolver: Box<dyn NameResolver>) -> IssuerKeys {
    IssuerKeys::with_fetcher(Fetcher::new(policy, resolver, LIMIT))
}

/// The issuer as an organization trusts it.
fn spec(issuer: &TestIssuer) -> IssuerSpec {
    IssuerSpec {
        url: issuer.url().parse().unwrap(),
        algorithms: [JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa].into(),
        authorities: Some(issuer.authorities.clone()),
        keys: None,
    }
}

/// The usual claims, changed by `change`.
fn claims(issuer: &TestIssuer, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut claims = issuer.claims(AUDIENCE, SUBJECT, NOW);
    change(claims.as_object_mut().unwrap());
    claims
}

async fn verify(
    keys: &IssuerKeys,
    spec: &IssuerSpec,
    token: &str,
    now: Timestamp,
) -> Result<VerifiedToken, TokenRefusal> {
    keys.verify(spec, AUDIENCE, token, now).await
}

/// Verifies a good token, and returns the reason if that fails.
async fn outcome(keys: &IssuerKeys, issuer: &TestIssuer, now: Timestamp) -> Result<(), &'static str> {
    let mut claims = issuer.claims(AUDIENCE, SUBJECT, now.as_millis() / 1000);
    claims["jti"] = now.as_millis().into();
    let token = issuer.key("ES256").sign(&claims);
    verify(keys, &spec(issuer), &token, now).await.map(drop).map_err(TokenRefusal::reason)
}

/// A resolver with a list of answers for each name: one for each lookup, and the last one for all that follow.
#[derive(Default)]
struct TestResolver(Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>);

impl TestResolver {
    fn with(name: &str, answers: &[&[&str]]) -> Box<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        Box::new(Self(Mutex::new([(name.to_owned(), answers)].into())))
    }
}

impl NameResolver for TestResolver {
    fn resolve<'a>(&'a self, host: &'a Host, port: u16) -> AddressesFuture<'a> {
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(&host.to_string());
        let addresses = answers.map_or_else(Vec::new, |answers| {
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        });
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Box::pin(std::future::ready(addresses))
    }
}
