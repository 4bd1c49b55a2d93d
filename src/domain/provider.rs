//! What an OIDC provider has proved about a person. Pure: the signature was checked elsewhere.
//!
//! An issuer and its subject identify the person. Every other text is for people to read, and decides nothing.

use serde::{Deserialize, Serialize};

use crate::domain::name::{Label, MemberName, OrgName, ProviderIssuer, ProviderName, ProviderSubject};
use crate::domain::role::Role;
use crate::domain::text;

/// A person's account at a provider, as the provider proved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenAccount {
    /// What the operator calls the provider.
    pub provider: ProviderName,
    /// The provider.
    pub issuer: ProviderIssuer,
    /// The person, for this issuer.
    pub subject: ProviderSubject,
    /// What the provider calls the person, for people.
    pub shown: Option<Label>,
    /// The name that a new member would get.
    pub member_name: Option<MemberName>,
    /// The roles that the person's groups give, by the operator's configuration; at most one for each organization.
    pub grants: Vec<OrgGrant>,
}

/// A role in an organization that a person's groups give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgGrant {
    /// The organization.
    pub org: OrgName,
    /// The role.
    pub role: Role,
}

impl ProvenAccount {
    /// The role that the person's groups give in an organization.
    pub fn granted_role(&self, org: &OrgName) -> Option<Role> {
        self.grants.iter().find(|grant| grant.org == *org).map(|grant| grant.role)
    }
}

text::text_enum! {
    /// How a person signed in.
    pub enum SignInMethod, "a method of signing in: console, browser or device" {
        /// In the console.
        Console = "console",
        /// With a command, through a browser on the same machine.
        Browser = "browser",
        /// With a command that showed a code, which the person entered elsewhere.
        Device = "device",
    }
}
