//! From verified claims to an account: the subject, the roles that the groups give, and names for people.

use serde_json::Value;

use super::Provider;
use super::error::{IdTokenFault, ProviderError};
use crate::domain::name::{Label, MemberName};
use crate::domain::provider::{OrgGrant, ProvenAccount};

/// The longest name of a new member: it leaves room for a number behind it.
const MAX_NAME: usize = 60;
/// Where providers put what a person is called, best first.
const NAMES: [&str; 4] = ["preferred_username", "email", "nickname", "name"];

impl Provider {
    /// Whether a claim that this provider's configuration needs is not among these.
    pub(super) fn lacks_claim(&self, claims: &Value) -> bool {
        let has_name = match &self.settings.name_claim {
            Some(path) => path.find(claims).is_some(),
            None => NAMES.iter().any(|name| claims.get(name).is_some()),
        };
        let needs_groups = !self.settings.groups.is_empty();
        !has_name || (needs_groups && self.settings.groups_claim.find(claims).is_none())
    }

    /// Reads an account from verified claims.
    pub(super) fn read_account(&self, claims: &Value, subject: &str) -> Result<ProvenAccount, ProviderError> {
        // The only claim that decides who it is.
        let subject = subject.parse().map_err(|_| IdTokenFault::Subject)?;
        let groups = self.settings.groups_claim.find(claims);
        if groups.is_none() && !self.settings.groups.is_empty() && self.leaves_groups_out(claims) {
            return Err(ProviderError::TooManyGroups);
        }
        let names = NAMES.iter().filter_map(|name| claims.get(name)).filter_map(Value::as_str);
        let own = self.settings.name_claim.as_ref();
        let name = match own {
            Some(path) => path.find(claims).and_then(Value::as_str),
            None => names.clone().next(),
        };
        // Where the operator names a claim, people see that one first too.
        let shown = own.and(name).into_iter().chain(names).find_map(shown_name);
        Ok(ProvenAccount {
            provider: self.settings.name.clone(),
            issuer: self.settings.issuer.clone(),
            subject,
            shown,
            member_name: name.and_then(member_name),
            grants: self.grants(groups),
        })
    }

    /// Whether the claim was left out because there are too many groups, which a provider says by a reference to elsewhere
    /// (OpenID Connect Core, section 5.6.2).
    fn leaves_groups_out(&self, claims: &Value) -> bool {
        let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
        elsewhere.is_some_and(|names| names.contains_key(&self.settings.groups_claim.first()))
    }

    /// The roles that groups give: in each organization, that of the first rule that applies.
    fn grants(&self, groups: Option<&Value>) -> Vec<OrgGrant> {
        let is_in = |group: &str| match groups {
            Some(Value::Array(groups)) => groups.iter().any(|found| found.as_str() == Some(group)),
            // Some claims have one value, such as the domain of the person's employer.
            Some(Value::String(found)) => found == group,
            Some(_) | None => false,
        };
        let mut grants: Vec<OrgGrant> = Vec::new();
        for rule in &self.settings.groups {
            // The operator puts the rules in order, so that nobody's role depends on the order of a token.
            if grants.iter().all(|grant| grant.org != rule.org) && is_in(&rule.group) {
                grants.push(OrgGrant { org: rule.org.clone(), role: rule.role });
            }
        }
        grants
    }
}

/// What a provider calls a person, as far as a label can hold it.
fn shown_name(text: &str) -> Option<Label> {
    // It reaches terminals and the log.
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let cut = plain.trim();
    cut[..cut.floor_char_boundary(100)].trim().parse().ok()
}

/// A name for a new member, from what the provider calls the person.
fn member_name(text: &str) -> Option<MemberName> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-@".contains(c);
    let plain: String =
        text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).take(MAX_NAME).collect();
    let name = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches('-');
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_what_a_member_can_be_called() {
        let name = |text: &str| member_name(text).map(|name| name.to_string());
        assert_eq!(name("ada"), Some("ada".to_owned()));
        assert_eq!(name("Ada.Lovelace@Example.com"), Some("ada.lovelace@example.com".to_owned()));
        assert_eq!(name("ACME\\ada b"), Some("acme-ada-b".to_owned()));
        assert_eq!(name("-- Ada --"), Some("ada".to_owned()));
        assert_eq!(name("Übermaß"), Some("berma".to_owned()));
        assert_eq!(name(&"a".repeat(100)).map(|name| name.len()), Some(MAX_NAME));
        assert_eq!(name("日本"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn what_is_shown_has_no_control_characters() {
        let shown = |text: &str| shown_name(text).map(|label| label.to_string());
        assert_eq!(shown(" Ada\u{1b}[2J\nLovelace "), Some("Ada[2JLovelace".to_owned()));
        assert_eq!(shown(&"é".repeat(80)).map(|label| label.len()), Some(100));
        assert_eq!(shown("\n"), None);
    }
}
