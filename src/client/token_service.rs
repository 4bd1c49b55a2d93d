//! Services that issue a token to the machine or the job that asks: the metadata services of Google and Azure, and GitHub Actions.
//!
//! Each is asked once for each token, over a connection of its own. No redirect is followed, and nothing of an answer is
//! quoted. What is specific to a service is in its constructor; the rest is the same for all.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::boot::{IssuerToken, MAX_TOKEN};
use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallError, CallRefusal, TokenFault};
use super::request;
use super::request::HttpRequest;
use super::roots::Roots;
use super::timer::{SystemTimer, Timer};
use super::transport::{Connection, HttpResponse};
use crate::wire::Value;

/// The largest answer: Azure's has more than a token.
const MAX_ANSWER: usize = MAX_TOKEN + (16 << 10);
/// The header with which Google's answers prove that they are its own (and without which it refuses requests).
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");

/// Everything but the unreserved characters (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A service that issues tokens.
pub(crate) struct TokenService {
    target: ConnectTarget,
    /// Path and query, to which the audience is added.
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    answer: TokenAnswer,
    /// Client errors that the service documents as temporary.
    passing: &'static [StatusCode],
}

/// What a service answers with.
#[derive(Clone, Copy)]
enum TokenAnswer {
    /// The token itself, in a response with Google's header.
    Google,
    /// JSON.
    Json,
}

/// GitHub's answer has `value`, and Azure's `access_token`.
#[derive(Deserialize)]
struct TokenDocument {
    #[serde(alias = "access_token")]
    value: Value,
}

impl TokenService {
    /// Google's metadata server at `host`:
    /// <https://cloud.google.com/compute/docs/instances/verifying-instance-identity#request_signature>.
    pub(crate) fn google(host: &str) -> Result<Self, CallRefusal> {
        Ok(Self {
            target: connect_plainly(host)?,
            path: "/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience="
                .to_owned(),
            headers: vec![(FLAVOR, GOOGLE)],
            answer: TokenAnswer::Google,
            passing: &[],
        })
    }

    /// Azure's metadata service at `host`, for the machine's only managed identity or the one with this client id:
    /// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.
    pub(crate) fn azure(host: &str, client_id: Option<&str>) -> Result<Self, CallRefusal> {
        let client = client_id.map(|id| format!("&client_id={}", encode_query(id))).unwrap_or_default();
        Ok(Self {
            target: connect_plainly(host)?,
            path: format!("/metadata/identity/oauth2/token?api-version=2018-02-01{client}&resource="),
            headers: vec![(HeaderName::from_static("metadata"), HeaderValue::from_static("true"))],
            answer: TokenAnswer::Json,
            // Documented for updates of the service.
            passing: &[StatusCode::NOT_FOUND, StatusCode::GONE],
        })
    }

    /// The service of GitHub Actions, of which a job has the URL and a token of its own:
    /// <https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect>.
    pub(crate) fn github(url: &str, request_token: &str) -> Result<Self, CallRefusal> {
        // A fragment is never sent (RFC 9110, section 4.2.5), and the audience must not become a part of one.
        let url = url.split('#').next().unwrap_or(url);
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
        let (origin, path) = url.split_at(end);
        let separator = if path.contains('?') { '&' } else { '?' };
        let root = if path.starts_with('/') { "" } else { "/" };
        // Of the system: the authorities of the configuration are those of the store.
        let target = ConnectTarget::new(Endpoint::parse(origin)?, || Roots::load(None))?;
        Ok(Self {
            target,
            path: format!("{root}{path}{separator}audience="),
            headers: vec![request::bearer(request_token)?],
            answer: TokenAnswer::Json,
            passing: &[],
        })
    }

    /// Asks for a token.
    pub(crate) async fn fetch(&self, audience: &str, limit: Duration) -> Result<IssuerToken, TokenFault> {
        let response =
            self.exchange(audience, limit).await.map_err(|error| TokenFault::Call(Box::new(error)))?;
        let status = response.status;
        if !status.is_success() {
            let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            let passes = status.is_server_error() || busy.contains(&status) || self.passing.contains(&status);
            return Err(TokenFault::Status { status: status.as_u16(), passes });
        }
        match self.answer {
            // Whatever else answers at a link-local address, on a machine that is not Google's.
            TokenAnswer::Google if response.headers.get(FLAVOR) != Some(&GOOGLE) => {
                Err(TokenFault::Unreadable)
            }
            TokenAnswer::Google => {
                IssuerToken::parse(str::from_utf8(&response.body).map_err(|_| TokenFault::NotAToken)?)
            }
            TokenAnswer::Json => {
                // The parser's message would quote the token.
                let document: TokenDocument =
                    serde_json::from_slice(&response.body).map_err(|_| TokenFault::Unreadable)?;
                IssuerToken::parse(document.value.expose())
            }
        }
    }

    async fn exchange(&self, audience: &str, limit: Duration) -> Result<HttpResponse, CallError> {
        let timer = SystemTimer::start();
        let call = HttpRequest {
            method: Method::GET,
            path: format!("{}{}", self.path, encode_query(audience)),
            headers: self.headers.clone(),
            body: None,
            limit: MAX_ANSWER,
        };
        let mut connection = Connection::open(&self.target, limit).await?;
        connection.exchange(&call, limit.saturating_sub(timer.now())).await
    }
}

fn connect_plainly(host: &str) -> Result<ConnectTarget, CallRefusal> {
    // Without TLS, no authorities are loaded.
    ConnectTarget::new(Endpoint::parse_metadata(host)?, || Roots::load(None))
}

fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::endpoint::EndpointError;

    #[test]
    fn audiences_are_encoded_and_urls_are_completed() {
        assert_eq!(encode_query("dropsafe:sto_a#b-_ é&"), "dropsafe%3Asto_a%23b-_%20%C3%A9%26");
        for (url, origin, path) in [
            (
                "http://127.0.0.1:1/a/token?api-version=2.0",
                "http://127.0.0.1:1",
                "/a/token?api-version=2.0&audience=",
            ),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:1", "/a?audience="),
            ("http://127.0.0.1:1/a?x=y#z", "http://127.0.0.1:1", "/a?x=y&audience="),
            ("http://127.0.0.1:1?x=y", "http://127.0.0.1:1", "/?x=y&audience="),
            ("http://127.0.0.1:1", "http://127.0.0.1:1", "/?audience="),
        ] {
            let service = TokenService::github(url, "canary").unwrap();
            assert_eq!((service.target.address.as_str(), service.path.as_str()), (origin, path));
        }
    }

    #[test]
    fn plain_http_leaves_the_machine_for_its_own_metadata_service_only() {
        for host in
            ["169.254.169.254", "metadata.google.internal", "127.0.0.1:8080", "[::1]:1", "[fd20:ce::254]"]
        {
            assert!(TokenService::google(host).is_ok() && TokenService::azure(host, None).is_ok(), "{host}");
        }
        for host in ["10.0.0.1", "metadata.google.internal.example", "store.example:80", "[fe80::1]"] {
            let refused = TokenService::google(host).err();
            assert_eq!(refused, Some(CallRefusal::Endpoint(EndpointError::PlainRemote)), "{host}");
        }
        let remote = TokenService::github("http://github.example/token", "canary").err();
        assert_eq!(remote, Some(CallRefusal::Endpoint(EndpointError::PlainRemote)));
    }
}
