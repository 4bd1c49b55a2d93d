//! Bodies, paths and error codes of the HTTP API. Requests hold plain strings, which the API parses into domain
//! types and answers with every fault at once; only [`Value`] carries a secret, and nothing here prints one.

mod account;
mod attributes;
mod audit;
mod boot;
#[cfg(feature = "server")]
mod catalog;
#[cfg(feature = "server")]
mod checkpoint;
#[cfg(feature = "server")]
mod compat;
#[cfg(feature = "server")]
mod identity;
mod import;
mod keys;
#[cfg(feature = "server")]
mod launcher;
mod number;
mod object;
mod org;
mod page;
pub(crate) mod paths;
mod problem;
mod sealed;
mod secret;
#[cfg(feature = "server")]
mod sign_in;
mod status;
#[cfg(feature = "server")]
mod ticket;
mod unparsed;
mod value;

pub use account::{
    ConvertMemberRequest, CreateEnrolmentRequest, CreateEnrolmentResponse, CreateMemberRequest,
    CreateMemberResponse, CreateTokenRequest, CreateTokenResponse, EnrolmentView, MemberView,
    RedeemEnrolmentRequest, TokenView, UpdateMemberRequest,
};
pub use attributes::{AttributeError, AttributesRequest, UpdateSecretRequest};
pub use audit::{
    AuditEntryView, AuditVerificationView, ChainView, ReleasedVersionView, RowFaultsView, StateView,
};
pub use boot::{
    BootEndView, BootRequest, BootResponse, BootView, EndBootRequest, ExplainResponse, HeldView,
    HolderCountsView, HolderView, HoldersResponse, NamedSecretView, ReleasedView, ReportBootRequest,
};
#[cfg(feature = "server")]
pub use catalog::{
    CategoryView, DeclareCategoryRequest, DeclarePluginRequest, HolderStatisticsView, NeedView,
    OutdatedSecretView, PluginView, PresetFieldView, PresetView, StatisticsView, UpdatePluginRequest,
};
#[cfg(feature = "server")]
pub use checkpoint::{ChainSizeRequest, CheckpointRequest};
#[cfg(feature = "server")]
pub use compat::{
    CreateVaultSecretRequest, DeleteVaultSecretResponse, RotateVaultResponse, SetVariablesRequest,
    SetVariablesResponse, VariableView, VariablesView, VaultEntryView, VaultLogView, VaultSecretView,
    VaultSecretsView, VaultStatusView,
};
#[cfg(feature = "server")]
pub use identity::{
    AcceptedTokensView, ClaimRuleView, ConfirmIssuerRequest, CreateIdentityRequest, ForEachServiceBody,
    IssuerView, MachineIdentityView, PutIssuerRequest, TestTokenRequest, TestTokenResponse, TokenCheckView,
};
pub use import::{ImportItemRequest, ImportLineView, ImportRequest, ImportResponse};
pub use keys::{
    AddKeyslotRequest, DepositKeyView, GenerationView, KeyslotView, LockResponse, ReencryptView,
    SealedTextBody, UnlockKind, UnlockRequest, UnlockResponse, UnlockText,
};
#[cfg(feature = "server")]
pub use launcher::{AcceptLauncherRequest, LauncherView};
pub use object::Object;
pub use org::{
    CreateOrgRequest, CreateOrgResponse, OrgView, UpdateBudgetsRequest, UpdateOrgRequest,
    UpdateQuotasRequest, UpdateRetentionRequest,
};
pub use page::PageView;
pub use problem::{Code, FieldFault, Problem};
#[cfg(feature = "server")]
pub(crate) use sealed::render_challenge;
pub(crate) use sealed::{IDENTITY_HEADER, PROOF_SCHEME, SEALED_MEDIA_TYPE, TOKEN_HEADER, parse_challenge};
pub use secret::{CreateSecretRequest, DeleteSecretResponse, ReplaceSecretRequest, SealedBody, SecretView};
#[cfg(feature = "server")]
pub use sign_in::{
    BeginBrowserSignInRequest, BeginBrowserSignInResponse, BeginDeviceSignInRequest,
    BeginDeviceSignInResponse, CreateSignInTokenRequest, CreateSignInTokenResponse, LinkAccountRequest,
    LinkedAccountView, ProveSignInRequest, ProveSignInResponse, SignInProviderView, SignInProvidersView,
};
pub use status::{HealthView, IdentityView, StateCheckView, StatusView, UnusableSecretsView};
#[cfg(feature = "server")]
pub use ticket::{CreateTicketRequest, CreateTicketResponse, TicketView};
pub use unparsed::{EnvNameText, SecretNameText, Unparsed};
pub(crate) use unparsed::{MemberNameText, OrgNameText};
pub use value::{Value, ValueBase64};

fn yes() -> bool {
    true
}
