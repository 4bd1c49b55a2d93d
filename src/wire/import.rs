//! A file of variables at once.

use serde::{Deserialize, Serialize};

use super::attributes::AttributesRequest;
use super::value::Value;
use crate::domain::import::{ExistingPolicy, ImportOutcome};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;

/// `POST /v1/import`. All but the file, the scope and `existing` is for secrets that are new: those that are there keep
/// their attributes.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The text of a `.env` file: `NAME=VALUE` lines, quoted where programs would read them differently.
    #[cfg_attr(feature = "server", schema(value_type = String, write_only))]
    pub env: Value,
    /// Where the lines go; `private` unless said.
    #[serde(default = "private")]
    pub scope: ScopeKind,
    /// What to do with secrets that are there already; `replace` unless said.
    #[serde(default = "replace")]
    pub existing: ExistingPolicy,
    /// `encrypted` unless said.
    #[serde(default = "encrypted", rename = "type")]
    pub kind: Kind,
    /// Of new secrets.
    #[serde(flatten)]
    pub attributes: AttributesRequest,
    /// Say what would become of each line, and store nothing.
    #[serde(default)]
    pub preview: bool,
}

/// What became of a file, or would.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportResponse {
    /// False for a preview. A file of which a line is refused is not stored at all, and that is an error.
    pub stored: bool,
    /// The assignments and faults, in their order.
    pub lines: Vec<ImportLineView>,
}

/// What becomes of one line.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ImportLineView {
    /// Counted from 1.
    pub line: usize,
    /// The name, as far as one could be read; of a secret that is there, that one's.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::SecretName>))]
    pub name: Option<String>,
    /// What it is exported as.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::EnvName>))]
    pub env: Option<String>,
    /// What becomes of it.
    pub fate: ImportOutcome,
    /// Why it is refused, and what to do.
    pub why: Option<String>,
    /// What the depositor should know.
    pub warnings: Vec<String>,
    /// The secret that is there, or was made.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::id::SecretId>))]
    pub secret: Option<String>,
}

fn private() -> ScopeKind {
    ScopeKind::Private
}

fn replace() -> ExistingPolicy {
    ExistingPolicy::Replace
}

fn encrypted() -> Kind {
    Kind::Encrypted
}
