//! Templates: which claims the tokens of a platform have, and which of them name the platform's tenant.
//!
//! Everybody can get a token of GitHub, GitLab or Google. So a template lets nobody create an identity without the claim that is
//! the tenant's own. The data is in `table`.

use std::collections::BTreeMap;

use crate::domain::jwt::{ClaimRule, ClaimRuleError, IssuerUrl, IssuerUrlError, JwtAlgorithm};

mod table;
#[cfg(test)]
mod tests;

/// A platform that issues tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdentityTemplate {
    /// As people type it: `dropsafe identity add NAME`.
    pub(crate) name: &'static str,
    /// What its tokens are.
    pub(crate) about: &'static str,
    pub(crate) issuer: TemplateIssuer,
    pub(crate) algorithms: &'static [JwtAlgorithm],
    pub(crate) audience: TemplateAudience,
    pub(crate) flags: &'static [TemplateFlag],
    /// Names of flags. One of these sets has to be given in full, so that no stranger's token matches.
    pub(crate) tenant: &'static [&'static [&'static str]],
    /// Whether any claim that is given by its pointer names the tenant too: the platform is not known.
    pub(crate) tenant_by_claim: bool,
}

/// The issuer of a platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateIssuer {
    /// One for everybody, unless another one is given.
    Default(&'static str),
    /// One for each cluster, account or tenant, which has to be given.
    Given {
        /// What it looks like.
        example: &'static str,
    },
}

/// For whom a platform issues tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateAudience {
    /// Whatever the workload asks for, so that the audience is the store's own.
    Any,
    /// Only for what is registered there, so that the audience has to be given.
    Registered {
        /// What it looks like.
        example: &'static str,
    },
}

/// A claim of a platform's tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TemplateFlag {
    /// As people type it: `--NAME VALUE`.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// A JSON Pointer.
    pub(crate) pointer: &'static str,
    /// Whether the value is only the beginning of the claim.
    pub(crate) prefix: bool,
    pub(crate) form: ValueForm,
}

/// The form of a claim's value, where it has one. It finds values that were given for another claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    Text,
    Digits,
    Uuid,
    /// `true` or `false`.
    Flag,
    /// `arn:…`.
    Arn,
    /// `/subscriptions/ID/…`.
    AzureResource,
    /// `spiffe://TRUST-DOMAIN/…`.
    SpiffeId,
}

/// Why an identity cannot be made from a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Never named: it may be a value in the wrong place.
    #[error("the template {template} has no such claim; its claims are {flags}")]
    UnknownFlag {
        template: &'static str,
        /// All flags of the template.
        flags: String,
    },
    #[error("the value of {flag} is not {expected}")]
    Form { flag: &'static str, expected: &'static str },
    #[error("{flag}: {why}")]
    Flag { flag: &'static str, why: ClaimRuleError },
    /// Of a claim that is given by its pointer.
    #[error(transparent)]
    Claim(ClaimRuleError),
    /// Without one of these, everybody's tokens of this issuer would match.
    #[error("the template {template} requires {flags}")]
    NoTenant {
        template: &'static str,
        /// The sets of flags to choose from.
        flags: String,
    },
    #[error("the template {template} requires the issuer's URL, such as {example}")]
    NoIssuer { template: &'static str, example: &'static str },
    #[error(transparent)]
    Issuer(IssuerUrlError),
}

impl TemplateError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTenant { .. } => {
                Some("without this claim, other people's tokens of the same issuer would match")
            }
            Self::Flag { why, .. } | Self::Claim(why) => why.hint(),
            Self::Issuer(why) => why.hint(),
            Self::UnknownFlag { .. } | Self::Form { .. } | Self::NoIssuer { .. } => None,
        }
    }
}

/// All templates, in the order in which to list them.
pub(crate) fn templates() -> &'static [IdentityTemplate] {
    table::TEMPLATES
}

impl IdentityTemplate {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        templates().iter().find(|template| template.name == name)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<&'static TemplateFlag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    /// The issuer of an identity: the one that is given, or else the platform's.
    pub(crate) fn issuer(&self, given: Option<&str>) -> Result<IssuerUrl, TemplateError> {
        let url = match (given, &self.issuer) {
            (Some(given), _) => given,
            (None, TemplateIssuer::Default(url)) => url,
            (None, TemplateIssuer::Given { example }) => {
                return Err(TemplateError::NoIssuer { template: self.name, example });
            }
        };
        IssuerUrl::parse(url).map_err(TemplateError::Issuer)
    }

    /// The rules of an identity. `given` has values by the names of flags, or by JSON Pointers, which start with a slash.
    pub(crate) fn rules(&self, given: &BTreeMap<String, String>) -> Result<Vec<ClaimRule>, TemplateError> {
        self.require_tenant(given, None)?;
        self.rules_of(given)
    }

    /// The same for an identity that accepts several values of the flag `each`, one for each service that it was given.
    pub(crate) fn rules_for_each(
        &self,
        given: &BTreeMap<String, String>,
        each: &str,
    ) -> Result<Vec<ClaimRule>, TemplateError> {
        // Not a prefix, whose values nobody listed.
        if self.flag(each).is_none_or(|flag| flag.prefix) {
            return Err(self.unknown_flag());
        }
        self.require_tenant(given, Some(each))?;
        self.rules_of(given)
    }

    fn rules_of(&self, given: &BTreeMap<String, String>) -> Result<Vec<ClaimRule>, TemplateError> {
        given.iter().map(|(name, value)| self.rule(name, value)).collect()
    }

    fn rule(&self, name: &str, value: &str) -> Result<ClaimRule, TemplateError> {
        if name.starts_with('/') {
            return ClaimRule::new(name, value, false).map_err(TemplateError::Claim);
        }
        let flag = self.flag(name).ok_or_else(|| self.unknown_flag())?;
        if !flag.form.accepts(value, flag.prefix) {
            return Err(TemplateError::Form { flag: flag.name, expected: flag.form.expected() });
        }
        ClaimRule::new(flag.pointer, value, flag.prefix)
            .map_err(|why| TemplateError::Flag { flag: flag.name, why })
    }

    fn require_tenant(
        &self,
        given: &BTreeMap<String, String>,
        each: Option<&str>,
    ) -> Result<(), TemplateError> {
        let has = |name: &&str| given.contains_key(*name) || each == Some(*name);
        let by_claim = self.tenant_by_claim && given.keys().any(|name| name.starts_with('/'));
        if by_claim || self.tenant.iter().any(|set| set.iter().all(has)) {
            return Ok(());
        }
        Err(TemplateError::NoTenant { template: self.name, flags: self.required_claims() })
    }

    /// The sets of claims to choose from, for people.
    pub(crate) fn required_claims(&self) -> String {
        let mut sets: Vec<String> = self.tenant.iter().map(|set| set.join(" and ")).collect();
        if self.tenant_by_claim {
            sets.push("a claim".to_owned());
        }
        sets.join(", or ")
    }

    fn unknown_flag(&self) -> TemplateError {
        let names: Vec<&str> = self.flags.iter().map(|flag| flag.name).collect();
        TemplateError::UnknownFlag { template: self.name, flags: names.join(", ") }
    }
}

impl ValueForm {
    /// What the value has to be, in words.
    fn expected(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Digits => "a number",
            Self::Uuid => "a UUID in lower case",
            Self::Flag => "true or false",
            Self::Arn => "an ARN with an account, such as arn:aws:iam::123456789012:role/app",
            Self::AzureResource => {
                "a resource of a subscription, such as /subscriptions/ID/resourcegroups/app/…"
            }
            Self::SpiffeId => "a SPIFFE ID with a trust domain, such as spiffe://example.org/app",
        }
    }

    fn accepts(self, value: &str, prefix: bool) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::Text => true,
            Self::Digits => digits(value),
            Self::Uuid => is_uuid(value),
            Self::Flag => matches!(value, "true" | "false"),
            // arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE: without the account, it would be anybody's.
            Self::Arn => {
                let parts: Vec<&str> = value.splitn(6, ':').collect();
                parts.len() == 6 && parts[0] == "arn" && digits(parts[4])
            }
            Self::AzureResource => {
                let id = value.strip_prefix("/subscriptions/").and_then(|rest| rest.split_once('/'));
                id.is_some_and(|(id, rest)| is_uuid(id) && (prefix || !rest.is_empty()))
            }
            Self::SpiffeId => {
                let id = value.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
                id.is_some_and(|(domain, path)| !domain.is_empty() && (prefix || !path.is_empty()))
            }
        }
    }
}

/// As all platforms write it: lower case, in five groups (RFC 9562 section 4).
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}
