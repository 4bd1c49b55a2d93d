//! Bodies, paths and error codes of the HTTP API. Requests hold plain strings, which the API parses into domain
//! types and answers with every fault at once; only [`Value`] carries a secret, and nothing here prints one.

mod account;
mod attributes;
mod audit;
mod boot;
mod catalog;
mod compat;

mod import;
mod keys;
mod number;
mod object;
mod org;
mod page;
pub mod paths;
mod problem;
mod secret;
mod status;
mod ticket;
mod value;

pub use account::{
    CreateMemberRequest, CreateTokenRequest, CreateTokenResponse, MemberView, TokenView, UpdateMemberRequest,
};
pub use attributes::{AttributeError, AttributesRequest, UpdateSecretRequest};
pub use audit::{AuditEntryView, AuditVerificationView, ChainView};
pub use boot::{
    BootRequest, BootResponse, BootView, ExplainResponse, HolderView, ReleasedView, ReportBootRequest,
};
pub use catalog::{
    CategoryView, DeclareCategoryRequest, DeclarePluginRequest, NeedView, PluginView, PresetFieldView,
    PresetView, StatisticsView, UpdatePluginRequest,
};
pub use compat::{
    CreateVaultSecretRequest, DeleteVaultSecretResponse, RotateVaultResponse, SetVariablesRequest,
    SetVariablesResponse, VariableView, VariablesView, VaultEntryView, VaultLogView, VaultSecretView,
    VaultSecretsView, VaultStatusView,
};
pub use import::{ImportLineView, ImportRequest, ImportResponse};
pub use keys::{
    AddKeyslotRequest, DepositKeyView, KeyslotView, LockResponse, ReencryptView, UnlockRequest,
    UnlockResponse, UnlockText,
};
pub use object::Object;
pub use org::{CreateOrgRequest, CreateOrgResponse, OrgView, UpdateOrgRequest};
pub use page::PageView;
pub use problem::{Code, FieldFault, Problem};
pub use secret::{CreateSecretRequest, DeleteSecretResponse, ReplaceSecretRequest, SealedBody, SecretView};
pub use status::{HealthView, IdentityView, StatusView};
pub use ticket::{CreateTicketRequest, CreateTicketResponse, TicketView};
pub use value::{Value, ValueBase64};

fn yes() -> bool {
    true
}
