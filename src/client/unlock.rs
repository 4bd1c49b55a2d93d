//! Passphrases and key files on their way to a server: sealed to the key of its process, so that nothing on the way holds
//! them. They are never sent in another form, and never where a proxy may terminate TLS: it could put its own key in place of
//! the server's.

use data_encoding::BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api_client::Client;
use super::error::{CallError, CallRefusal, ResponseFault};
use crate::crypto::process_key::{TextContext, seal};
use crate::crypto::random::Kernel;
use crate::wire::{
    AddKeyslotRequest, Code, KeyslotView, SealedTextBody, UnlockKind, UnlockRequest, UnlockResponse, paths,
};

/// How often a text is sealed anew because another client has used the key meanwhile, or another server has answered.
const TRIES: usize = 5;

impl Client {
    /// Loads the release key: `POST /v1/unlock`.
    pub(crate) async fn unlock(&mut self, kind: UnlockKind, text: &str) -> Result<UnlockResponse, CallError> {
        let body = |sealed| UnlockRequest { passphrase: None, key_file: None, sealed: Some(sealed) };
        self.send_sealed(paths::UNLOCK, kind, text, body).await
    }

    /// Adds a key slot with the attributes of `slot`: `POST /v1/keyslots`.
    pub(crate) async fn add_keyslot(
        &mut self,
        kind: UnlockKind,
        text: &str,
        slot: &AddKeyslotRequest,
    ) -> Result<KeyslotView, CallError> {
        let body = |sealed| AddKeyslotRequest {
            passphrase: None,
            key_file: None,
            sealed: Some(sealed),
            label: slot.label.clone(),
            ..*slot
        };
        self.send_sealed(paths::KEYSLOTS, kind, text, body).await
    }

    async fn send_sealed<B: Serialize, T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: UnlockKind,
        text: &str,
        body: impl Fn(SealedTextBody) -> B,
    ) -> Result<T, CallError> {
        // The key that the text is sealed to comes from whoever answers.
        self.require_store_itself()?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let sealed = self.seal_text(path, kind, text).await?;
            match self.post(path.to_owned(), &body(sealed)).await {
                Err(error) if error.code() == Some(Code::StaleProcessKey) && tries > 0 => {}
                result => return result,
            }
        }
    }

    async fn seal_text(
        &mut self,
        path: &str,
        kind: UnlockKind,
        text: &str,
    ) -> Result<SealedTextBody, CallError> {
        let status = self.status().await?;
        let unreadable = || CallRefusal::BadResponse {
            address: self.address().to_owned(),
            why: ResponseFault::Unreadable,
        };
        let key = BASE64.decode(status.process_key.as_bytes()).ok();
        let key: [u8; 32] = key.and_then(|key| key.try_into().ok()).ok_or_else(unreadable)?;
        let context = TextContext { store: status.store.as_bytes(), path, kind: kind.as_str() };
        let sealed = seal(&key, context, text.as_bytes(), &mut Kernel).map_err(|_| unreadable())?;
        Ok(SealedTextBody {
            kind,
            process_key: status.process_key,
            enc: BASE64.encode(&sealed.enc),
            ciphertext: BASE64.encode(&sealed.ciphertext),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::client::api_client::tests::client;
    use crate::client::endpoint::Endpoint;
    use crate::client::tests::mock_server::{MockAction, RecordedRequest, TestCertificate, json as respond};
    use crate::crypto::process_key::{ProcessKey, SealedText};
    use crate::domain::credential::{Credential, CredentialKind};
    use crate::domain::id::StoreId;
    use crate::wire::Problem;

    fn status(process_key: &str) -> Vec<MockAction> {
        let status = json!({
            "store": StoreId::from_bytes([1; 16]), "version": "", "locked": true, "generation": 1, "fingerprint": "",
            "process_key": process_key, "backend": "memory", "revision": 1, "healthy": true, "identity": "operator",
            "started_at": "2026-01-01T00:00:00Z",
            "reencrypt": { "running": false, "generation": 1, "done": 0, "total": null },
        });
        respond(200, "", &status)
    }

    #[tokio::test]
    async fn a_passphrase_is_sealed_and_is_not_in_the_error() {
        let key = ProcessKey::generate(&mut Kernel);
        let public = BASE64.encode(key.public());
        let (mut client, server) =
            client(
                move |_, request: &RecordedRequest| {
                    if request.line().starts_with("GET ") { status(&public) } else { wrong_passphrase() }
                },
            )
            .await;
        let error = client.unlock(UnlockKind::Passphrase, "canary").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        assert!(!requests[1].body.contains("canary"));
        let body: UnlockRequest = serde_json::from_str(&requests[1].body).unwrap();
        let sealed = body.sealed.unwrap();
        let decode = |text: &str| BASE64.decode(text.as_bytes()).unwrap();
        let text = SealedText { enc: decode(&sealed.enc), ciphertext: decode(&sealed.ciphertext) };
        let context = TextContext { store: &[1; 16], path: "/v1/unlock", kind: "passphrase" };
        assert_eq!(key.open(context, &text).unwrap().as_slice(), b"canary");
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test writes the file of authorities")]
    async fn a_passphrase_is_not_sent_to_a_server_that_only_an_authority_vouches_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, TestCertificate::named("store.example").pem()).unwrap();
        let token = Credential::new(CredentialKind::Operator, [1; 16], Zeroizing::new([2; 32]));
        let client = |url: &str| Client::new(Endpoint::parse(url).unwrap(), &token, Some(&file)).unwrap();
        let mut unpinned = client("https://store.example");
        let error = unpinned.unlock(UnlockKind::Passphrase, "canary").await.unwrap_err();
        assert!(matches!(error, CallError::Refused(CallRefusal::NeedsPin { .. })), "{error:?}");
        assert!(error.hint().is_some());
        let pin = format!("https://store.example#{}", TestCertificate::named("x").pin());
        for allowed in [pin.as_str(), "https://127.0.0.1:1", "http://localhost:1", "unix:/s"] {
            assert!(client(allowed).require_store_itself().is_ok(), "{allowed}");
        }
    }

    fn wrong_passphrase() -> Vec<MockAction> {
        respond(403, "", &Problem::new(Code::WrongPassphrase, ""))
    }

    #[tokio::test]
    async fn a_passphrase_is_sealed_anew_for_another_key_and_never_sent_without_one() {
        let public = BASE64.encode(ProcessKey::generate(&mut Kernel).public());
        let (mut client, server) = client(move |number, _| match number {
            0 | 2 => status(&public),
            1 => respond(409, "", &Problem::new(Code::StaleProcessKey, "")),
            3 => wrong_passphrase(),
            // Of a server that has no such key, or of somebody in its place.
            4 => status(&BASE64.encode(&[0; 32])),
            _ => status("none"),
        })
        .await;
        assert_eq!(
            client.unlock(UnlockKind::Passphrase, "canary").await.unwrap_err().code(),
            Some(Code::WrongPassphrase)
        );
        for _ in 0..2 {
            let error = client.unlock(UnlockKind::Passphrase, "canary").await.unwrap_err();
            let unreadable = matches!(
                error,
                CallError::Refused(CallRefusal::BadResponse { why: ResponseFault::Unreadable, .. })
            );
            assert!(unreadable, "{error:?}");
        }
        let requests = server.requests();
        assert_eq!(requests.iter().filter(|request| request.line().starts_with("POST ")).count(), 2);
        assert_ne!(requests[1].body, requests[3].body);
    }
}
