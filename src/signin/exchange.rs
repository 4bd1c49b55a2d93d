//! One HTTP exchange with a provider, as `openidconnect` asks for it: over TLS 1.3, or plain on loopback; bounded in size and time.
//! Never follows a redirect, which could lead anywhere.

use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use openidconnect::{AsyncHttpClient, HttpRequest as OidcRequest, HttpResponse as OidcResponse};

use super::settings::check_address;
use crate::client::{CallError, ConnectTarget, Connection, Endpoint, HttpRequest, Roots, RootsError};

/// The time limit for connecting.
const CONNECT: Duration = Duration::from_secs(5);
/// The time limit for an exchange, with all that it does.
const EXCHANGE: Duration = Duration::from_secs(10);
/// The largest answer that is read. Key sets and tokens with hundreds of groups have some ten thousand bytes.
const MAX_ANSWER: usize = 512 * 1024;

/// The HTTP client of one provider.
pub(crate) struct ProviderHttp {
    roots: Option<Roots>,
    system: OnceLock<Roots>,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderHttpError {
    /// An address that is not HTTPS.
    #[error("the address cannot be used")]
    Address,
    /// The provider does not answer, or not as an HTTP server does.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The whole exchange took too long.
    #[error("the provider did not answer in time")]
    Late,
}

impl ProviderHttp {
    pub(crate) fn new(roots: Option<Roots>) -> Self {
        Self { roots, system: OnceLock::new() }
    }

    async fn exchange(&self, request: OidcRequest) -> Result<OidcResponse, ProviderHttpError> {
        // The sum of the limits below would be longer: each chunk of a slow answer has one of its own.
        match tokio::time::timeout(EXCHANGE, self.exchange_unbounded(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProviderHttpError::Late),
        }
    }

    async fn exchange_unbounded(&self, request: OidcRequest) -> Result<OidcResponse, ProviderHttpError> {
        let (head, body) = request.into_parts();
        let address = head.uri.to_string();
        // Also the addresses that the provider's own document names.
        check_address(&address).map_err(|_| ProviderHttpError::Address)?;
        let scheme = head.uri.scheme_str().ok_or(ProviderHttpError::Address)?;
        let authority = head.uri.authority().ok_or(ProviderHttpError::Address)?;
        let endpoint =
            Endpoint::parse(&format!("{scheme}://{authority}")).map_err(|_| ProviderHttpError::Address)?;
        let target = ConnectTarget::new(endpoint, || self.roots()).map_err(CallError::from)?;
        let call = HttpRequest {
            method: head.method,
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            body: (!body.is_empty()).then(|| Bytes::from(body)),
            limit: MAX_ANSWER,
        };
        // One connection for each exchange: sign-ins are rare, and a pool would keep a connection that the provider has closed.
        let mut connection = Connection::open(&target, CONNECT).await?;
        let mut answer = connection.exchange(&call, EXCHANGE).await?;
        let mut response = OidcResponse::new(std::mem::take(&mut *answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    fn roots(&self) -> Result<Roots, RootsError> {
        if let Some(roots) = self.roots.as_ref().or_else(|| self.system.get()) {
            return Ok(roots.clone());
        }
        // At the first exchange, so that a server whose providers are all on loopback needs no bundle.
        let roots = Roots::load(None)?;
        Ok(self.system.get_or_init(|| roots).clone())
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderHttp {
    type Error = ProviderHttpError;
    type Future = Pin<Box<dyn Future<Output = Result<OidcResponse, ProviderHttpError>> + Send + 'c>>;

    fn call(&'c self, request: OidcRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}
