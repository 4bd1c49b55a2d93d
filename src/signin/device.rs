//! The device authorization grant (RFC 8628): a command shows a code, and the person enters it in a browser elsewhere.
//!
//! A person can be talked into entering the code of somebody else's command, which nothing in the protocol prevents (RFC 8628,
//! section 5.4). So an operator has to enable it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use openidconnect::Scope;
use openidconnect::core::CoreDeviceAuthorizationResponse;
use serde_json::json;

use super::error::{ProviderError, code_error, device_error};
use super::metadata::OidcClient;
use super::settings::check_address;
use super::{ClientKind, PendingFlow, Provider};
use crate::domain::provider::ProvenAccount;
use crate::domain::time::Timestamp;

/// The shortest and longest pause between two questions, whatever the provider says. The API refuses more of them.
const INTERVALS: std::ops::RangeInclusive<u64> = 3..=60;
/// The longest code that a person can be asked to enter.
const MAX_USER_CODE: usize = 40;

/// What the person needs, and what to remember.
pub(crate) struct BegunDevice {
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    /// The same with the code in it, for a QR code or a click.
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) interval: u64,
    pub(crate) lifetime: Duration,
    pub(crate) flow: PendingFlow,
}

/// The answer to one question.
pub(crate) enum DevicePoll {
    /// The person has not finished. The next question is due after this many seconds.
    Pending {
        interval: u64,
    },
    Proven(Box<ProvenAccount>),
}

impl Provider {
    /// Begins the flow.
    pub(crate) async fn begin_device(&self) -> Result<BegunDevice, ProviderError> {
        if !self.has_device_flow() {
            return Err(ProviderError::NoDeviceFlow);
        }
        let _place = self.enter()?;
        let document = self.document().await?;
        let endpoint = document.additional_metadata().device_authorization_endpoint.clone();
        let endpoint = endpoint.ok_or(ProviderError::NoDeviceFlow)?;
        let client = self.client(&document, ClientKind::CommandLine).set_device_authorization_url(endpoint);
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let request = client.exchange_device_code().add_scopes(scopes);
        let answer: Result<CoreDeviceAuthorizationResponse, _> = request.request_async(&self.http).await;
        let answer = answer.map_err(|error| code_error(&error))?;
        let user_code = answer.user_code().secret().clone();
        let verification_uri = answer.verification_uri().to_string();
        let complete = answer.verification_uri_complete().map(|uri| uri.secret().clone());
        // They reach a terminal, and people follow the addresses.
        let is_code = |text: &str| {
            text.len() <= MAX_USER_CODE && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        if !is_code(&user_code) || !is_address(&verification_uri) {
            return Err(ProviderError::BadAnswer);
        }
        // RFC 8628 leaves it to the provider, and one could say zero, or a day.
        let interval = clamp(answer.interval().as_secs());
        let code = answer.device_code().secret().clone();
        Ok(BegunDevice {
            user_code,
            verification_uri,
            verification_uri_complete: complete.filter(|uri| is_address(uri)),
            interval,
            lifetime: answer.expires_in(),
            flow: PendingFlow::Device { code, interval },
        })
    }

    /// Asks the provider once whether the person has finished.
    pub(crate) async fn poll_device(
        &self,
        flow: &PendingFlow,
        now: Timestamp,
    ) -> Result<DevicePoll, ProviderError> {
        let PendingFlow::Device { code, interval } = flow else { return Err(ProviderError::WrongState) };
        let _place = self.enter()?;
        let document = self.document().await?;
        let client = self.client(&document, ClientKind::CommandLine);
        match self.ask_once(&client, code, *interval).await? {
            AskedOnce::Pending(interval) => Ok(DevicePoll::Pending { interval }),
            // There is no nonce: the token comes from the provider itself, in answer to this server's own question.
            AskedOnce::Tokens(tokens) => {
                let account = self.verify(ClientKind::CommandLine, &tokens, None, now).await?;
                Ok(DevicePoll::Proven(Box::new(account)))
            }
        }
    }

    async fn ask_once(
        &self,
        client: &OidcClient,
        code: &str,
        interval: u64,
    ) -> Result<AskedOnce, ProviderError> {
        // The library asks in a loop, which a server must not wait for. Its clock ends the loop: it stands still for the two looks
        // before the first question, and is past the end at the next one. Its pause says that the person has not finished.
        let details = json!({
            "device_code": code, "user_code": "", "verification_uri": "https://localhost/",
            "expires_in": 1, "interval": interval,
        });
        let details: CoreDeviceAuthorizationResponse =
            serde_json::from_value(details).map_err(|_| ProviderError::BadAnswer)?;
        let (looks, paused, pause) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(interval));
        let sleep = |time: Duration| {
            paused.store(true, Ordering::Relaxed);
            pause.store(time.as_secs(), Ordering::Relaxed);
            std::future::ready(())
        };
        let request = client.exchange_device_access_token(&details);
        let request = request.map_err(|_| ProviderError::BadAnswer)?.set_time_fn(|| {
            let is_over = looks.fetch_add(1, Ordering::Relaxed) >= 2;
            (UNIX_EPOCH + Duration::from_secs(if is_over { 3600 } else { 0 })).into()
        });
        let answer = request.request_async(&self.http, sleep, Some(Duration::from_secs(1))).await;
        match answer {
            Ok(tokens) => Ok(AskedOnce::Tokens(Box::new(tokens))),
            Err(_) if paused.load(Ordering::Relaxed) => {
                Ok(AskedOnce::Pending(clamp(pause.load(Ordering::Relaxed))))
            }
            Err(error) => Err(device_error(&error)),
        }
    }
}

/// The answer to one question, before the token is verified.
enum AskedOnce {
    Pending(u64),
    Tokens(Box<super::metadata::OidcTokens>),
}

fn clamp(seconds: u64) -> u64 {
    seconds.clamp(*INTERVALS.start(), *INTERVALS.end())
}

fn is_address(uri: &str) -> bool {
    uri.len() <= 500 && uri.bytes().all(|byte| byte.is_ascii_graphic()) && check_address(uri).is_ok()
}
