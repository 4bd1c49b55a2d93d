//! The types of request bodies in JSON, and which of them hold a secret that is not sealed: a value, a passphrase or the text of a
//! key file. A new type has to be listed here before a route can read it.

use serde::de::DeserializeOwned;

use crate::wire::{
    AcceptLauncherRequest, AddKeyslotRequest, BeginBrowserSignInRequest, BeginDeviceSignInRequest,
    BootRequest, CheckpointRequest, ConfirmIssuerRequest, ConvertMemberRequest, CreateEnrolmentRequest,
    CreateIdentityRequest, CreateMemberRequest, CreateOrgRequest, CreateSecretRequest,
    CreateSignInTokenRequest, CreateTicketRequest, CreateTokenRequest, CreateVaultSecretRequest,
    DeclareCategoryRequest, DeclarePluginRequest, EndBootRequest, ImportRequest, LinkAccountRequest,
    ProveSignInRequest, PutIssuerRequest, RedeemEnrolmentRequest, ReplaceSecretRequest, ReportBootRequest,
    SetVariablesRequest, TestTokenRequest, UnlockRequest, UpdateMemberRequest, UpdateOrgRequest,
    UpdatePluginRequest, UpdateQuotasRequest, UpdateSecretRequest,
};

/// The body of a request.
pub(crate) trait RequestBody: DeserializeOwned {
    /// Whether the body holds a secret that is not sealed, so that its connection must not be used again.
    fn holds_secret(&self) -> bool;
}

macro_rules! request_bodies {
    (public: $($public:ident),*; $($type:ident: $holds:expr;)*) => {
        $(impl RequestBody for $public {
            fn holds_secret(&self) -> bool {
                false
            }
        })*
        $(impl RequestBody for $type {
            fn holds_secret(&self) -> bool {
                let holds: fn(&Self) -> bool = $holds;
                holds(self)
            }
        })*
    };
}

request_bodies! {
    public: AcceptLauncherRequest, BeginBrowserSignInRequest, BeginDeviceSignInRequest, BootRequest, CheckpointRequest, ConfirmIssuerRequest, ConvertMemberRequest, CreateEnrolmentRequest, CreateMemberRequest,
        CreateOrgRequest, CreateTicketRequest, CreateTokenRequest, DeclareCategoryRequest, DeclarePluginRequest,
        CreateIdentityRequest, EndBootRequest, PutIssuerRequest, RedeemEnrolmentRequest, ReportBootRequest, UpdateMemberRequest, UpdateOrgRequest,
        UpdatePluginRequest, UpdateQuotasRequest, UpdateSecretRequest;
    CreateSecretRequest: |body| body.value.is_some() || body.value_base64.is_some();
    ReplaceSecretRequest: |body| body.value.is_some() || body.value_base64.is_some();
    ImportRequest: |body| {
        body.env.is_some()
            || body.items.iter().flatten().any(|item| item.value.is_some() || item.value_base64.is_some())
    };
    // What they hold signs a person in, once. No buffer of a connection must keep it.
    ProveSignInRequest: |_| true;
    CreateSignInTokenRequest: |_| true;
    LinkAccountRequest: |_| true;
    SetVariablesRequest: |_| true;
    TestTokenRequest: |_| true;
    CreateVaultSecretRequest: |_| true;
    UnlockRequest: |body| body.passphrase.is_some() || body.key_file.is_some();
    AddKeyslotRequest: |body| body.passphrase.is_some() || body.key_file.is_some();
}
