//! Paths of the API. `{id}` stands where an identifier goes.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Secrets of the caller's organization.
pub(crate) const SECRETS: &str = "/v1/secrets";
/// One secret.
pub(crate) const SECRET: &str = "/v1/secrets/{id}";
/// Re-encryption of one secret.
pub(crate) const SECRET_REENCRYPT: &str = "/v1/secrets/{id}/re-encrypt";
/// Re-encryption of everything: a new key generation.
pub(crate) const REENCRYPT: &str = "/v1/secrets/re-encrypt";
/// What a client needs to seal a deposit.
pub(crate) const DEPOSIT_KEY: &str = "/v1/deposit-key";
/// Who the credential stands for.
pub(crate) const WHOAMI: &str = "/v1/whoami";
/// Members of the caller's organization.
pub(crate) const MEMBERS: &str = "/v1/members";
/// One member, by name.
pub(crate) const MEMBER: &str = "/v1/members/{name}";
/// The enrolment of a member.
pub(crate) const MEMBER_ENROLMENT: &str = "/v1/members/{name}/enrolment";
/// A manager of a service.
pub(crate) const MEMBER_MANAGER: &str = "/v1/members/{name}/managers/{manager}";
/// The conversion of a person into a service.
pub(crate) const MEMBER_CONVERT: &str = "/v1/members/{name}/convert";
/// The redemption of an enrolment.
pub(crate) const REDEEM: &str = "/v1/enrolments/redeem";
/// Launchers of the caller's organization.
pub(crate) const LAUNCHERS: &str = "/v1/launchers";
/// One launcher, by name.
pub(crate) const LAUNCHER: &str = "/v1/launchers/{name}";
/// The caller's acceptance of a launcher.
pub(crate) const ACCEPTANCE: &str = "/v1/launchers/{name}/acceptance";
/// Member tokens.
pub(crate) const TOKENS: &str = "/v1/tokens";
/// One token.
pub(crate) const TOKEN: &str = "/v1/tokens/{id}";
/// Boot tickets.
pub(crate) const TICKETS: &str = "/v1/tickets";
/// One ticket.
pub(crate) const TICKET: &str = "/v1/tickets/{id}";
/// Identities of machines.
pub(crate) const IDENTITIES: &str = "/v1/identities";
/// One identity.
pub(crate) const IDENTITY: &str = "/v1/identities/{id}";
/// The confirmation of a changed issuer.
pub(crate) const IDENTITY_CONFIRM: &str = "/v1/identities/{id}/confirm";
/// The comparison of a token with an identity.
pub(crate) const IDENTITY_TEST: &str = "/v1/identities/{id}/test";
/// Issuers of tokens.
pub(crate) const ISSUERS: &str = "/v1/issuers";
/// One issuer, by name.
pub(crate) const ISSUER: &str = "/v1/issuers/{name}";
/// The only release of values.
pub(crate) const BOOT: &str = "/v1/boot";
/// What a boot would get, without values.
pub(crate) const EXPLAIN: &str = "/v1/boot/explain";
/// Boots that happened.
pub(crate) const BOOTS: &str = "/v1/boots";
/// One boot.
pub(crate) const BOOT_ONE: &str = "/v1/boots/{id}";
/// The agent's report that the workload starts.
pub(crate) const BOOT_REPORT: &str = "/v1/boots/{id}/report";
/// The report that a boot has ended.
pub(crate) const BOOT_END: &str = "/v1/boots/{id}/end";
/// The boots that hold a secret.
pub(crate) const HOLDERS: &str = "/v1/holders/{id}";
/// The audit log.
pub(crate) const AUDIT: &str = "/v1/audit";
/// Verification of the audit log's chains.
pub(crate) const AUDIT_VERIFY: &str = "/v1/audit/verify";
/// Checkpoints of the audit log's chains.
pub(crate) const AUDIT_CHECKPOINT: &str = "/v1/audit/checkpoint";
/// State of the store.
pub(crate) const STATUS: &str = "/v1/status";
/// Loads the release key.
pub(crate) const UNLOCK: &str = "/v1/unlock";
/// Drops the release key.
pub(crate) const LOCK: &str = "/v1/lock";
/// Key slots.
pub(crate) const KEYSLOTS: &str = "/v1/keyslots";
/// One key slot.
pub(crate) const KEYSLOT: &str = "/v1/keyslots/{id}";
/// Organizations.
pub(crate) const ORGS: &str = "/v1/orgs";
/// The caller's organization and its policy.
pub(crate) const ORG_SELF: &str = "/v1/org";
/// What the caller's organization uses of its budgets and quotas.
pub(crate) const ORG_USAGE: &str = "/v1/org/usage";
/// The quotas of an organization, by name.
pub(crate) const ORG_QUOTAS: &str = "/v1/orgs/{name}/quotas";
/// A file of variables at once.
pub(crate) const IMPORT: &str = "/v1/import";
/// The audit log as JSON lines.
pub(crate) const AUDIT_EXPORT: &str = "/v1/audit/export";
/// Variables by name, redacted.
pub(crate) const FACE_SECRETS: &str = "/api/secrets";
/// The vault's secrets.
pub(crate) const VAULT_SECRETS: &str = "/vault/secrets";
/// One of them.
pub(crate) const VAULT_SECRET: &str = "/vault/secrets/{id}";
/// Re-encryption of one.
pub(crate) const VAULT_ROTATE: &str = "/vault/secrets/{id}/rotate";
/// Re-encryption of all.
pub(crate) const VAULT_ROTATE_ALL: &str = "/vault/rotate-all";
/// The vault's audit log.
pub(crate) const VAULT_LOG: &str = "/vault/audit-log";
/// The vault's state.
pub(crate) const VAULT_STATUS: &str = "/vault/status";
/// Plugins.
pub(crate) const PLUGINS: &str = "/v1/plugins";
/// One plugin, by name.
pub(crate) const PLUGIN: &str = "/v1/plugins/{name}";
/// Categories.
pub(crate) const CATEGORIES: &str = "/v1/categories";
/// One category, by name.
pub(crate) const CATEGORY: &str = "/v1/categories/{name}";
/// Presets.
pub(crate) const PRESETS: &str = "/v1/presets";
/// Counts of secrets.
pub(crate) const STATISTICS: &str = "/v1/statistics";
/// The providers that people sign in with.
pub(crate) const SIGN_IN: &str = "/v1/sign-in";
/// Begins a sign-in through a browser on the client's machine.
pub(crate) const SIGN_IN_BROWSER: &str = "/v1/sign-in/browser";
/// Begins a sign-in with a code that is entered on another device.
pub(crate) const SIGN_IN_DEVICE: &str = "/v1/sign-in/device";
/// What a provider has proved.
pub(crate) const SIGN_IN_PROOF: &str = "/v1/sign-in/proof";
/// A token for a proof.
pub(crate) const SIGN_IN_TOKEN: &str = "/v1/sign-in/token";
/// The caller's linked accounts.
pub(crate) const ACCOUNTS: &str = "/v1/sign-in/accounts";
/// One linked account.
pub(crate) const ACCOUNT: &str = "/v1/sign-in/accounts/{id}";
/// The byte store, encrypted as it is.
pub(crate) const BACKUP: &str = "/v1/backup";
/// The API's own description.
pub(crate) const OPENAPI: &str = "/v1/openapi.json";
/// Liveness: the process answers.
pub(crate) const HEALTHZ: &str = "/healthz";
/// Readiness: the byte store answers.
pub(crate) const READYZ: &str = "/readyz";
/// Prometheus text.
pub(crate) const METRICS: &str = "/metrics";

/// All but the unreserved characters (RFC 3986 section 2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Names of members and plugins have `@`, which a path segment may hold as it is.
const PATH_SEGMENT: &AsciiSet = &QUERY_VALUE.remove(b'@');

/// Replaces the one `{…}` of `path` with `id`, percent-encoded.
pub(crate) fn fill(path: &str, id: impl Display) -> String {
    let (before, rest) = path.split_once('{').unwrap_or((path, ""));
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    format!("{before}{}{after}", utf8_percent_encode(&id.to_string(), PATH_SEGMENT))
}

/// Appends to `path` those of `parameters` that have a value, percent-encoded.
pub(crate) fn with_query<T: AsRef<str>>(path: &str, parameters: &[(&str, Option<T>)]) -> String {
    let mut text = path.to_owned();
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        let separator = if text.contains('?') { '&' } else { '?' };
        text.push_str(&format!("{separator}{name}={}", utf8_percent_encode(value.as_ref(), QUERY_VALUE)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_put_in_and_encoded() {
        assert_eq!(fill(SECRET_REENCRYPT, "sec_a"), "/v1/secrets/sec_a/re-encrypt");
        assert_eq!(fill(MEMBER, "a/../b c"), "/v1/members/a%2F..%2Fb%20c");
    }
}
