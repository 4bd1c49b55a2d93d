//! Names and ids in requests. The server parses them after the body, so that one response reports the faults of all
//! fields.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::domain::description::Description;
use crate::domain::digest::Digest;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{Category, EnvName, Label, MemberName, OrgName, PluginName, SecretName};

/// The text of a `T`, which may break the rules of `T`. The OpenAPI document describes it as a `T`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unparsed<T>(String, PhantomData<T>);

// `#[derive(ToSchema)]` names a generic field's schema after both types, and an alias's after what `ToSchema::name` says.
pub(crate) type CategoryText = Unparsed<Category>;
#[cfg(feature = "server")]
pub(crate) type CidrText = Unparsed<crate::domain::cidr::Cidr>;
#[cfg(feature = "server")]
pub(crate) type ColourText = Unparsed<crate::domain::catalog::Colour>;
pub(crate) type DescriptionText = Unparsed<Description>;
pub(crate) type DigestText = Unparsed<Digest>;
pub type EnvNameText = Unparsed<EnvName>;
#[cfg(feature = "server")]
pub(crate) type IssuerNameText = Unparsed<crate::domain::name::IssuerName>;
pub(crate) type LabelText = Unparsed<Label>;
#[cfg(feature = "server")]
pub(crate) type MemberIdText = Unparsed<crate::domain::id::MemberId>;
pub(crate) type MemberNameText = Unparsed<MemberName>;
pub(crate) type OrgNameText = Unparsed<OrgName>;
pub(crate) type PluginNameText = Unparsed<PluginName>;
#[cfg(feature = "server")]
pub(crate) type ProviderNameText = Unparsed<crate::domain::name::ProviderName>;
pub(crate) type SecretIdText = Unparsed<SecretId>;
pub type SecretNameText = Unparsed<SecretName>;
pub(crate) type VersionIdText = Unparsed<VersionId>;

impl<T> Deref for Unparsed<T> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T> fmt::Display for Unparsed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl<T> Default for Unparsed<T> {
    fn default() -> Self {
        Self::from(String::new())
    }
}

impl<T> From<String> for Unparsed<T> {
    fn from(text: String) -> Self {
        Self(text, PhantomData)
    }
}

impl<T> From<&str> for Unparsed<T> {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

#[cfg(feature = "server")]
impl<T: utoipa::ToSchema> utoipa::PartialSchema for Unparsed<T> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        T::schema()
    }
}

#[cfg(feature = "server")]
impl<T: utoipa::ToSchema> utoipa::ToSchema for Unparsed<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        T::name()
    }
}
