//! Paths of the API. `{id}` stands where an identifier goes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Secrets of the caller's organization.
pub const SECRETS: &str = "/v1/secrets";
/// One secret.
pub const SECRET: &str = "/v1/secrets/{id}";
/// Re-encryption of one secret.
pub const SECRET_REENCRYPT: &str = "/v1/secrets/{id}/re-encrypt";
/// Re-encryption of everything: a new key generation.
pub const REENCRYPT: &str = "/v1/secrets/re-encrypt";
/// What a client needs to seal a deposit.
pub const DEPOSIT_KEY: &str = "/v1/deposit-key";
/// Who the credential stands for.
pub const WHOAMI: &str = "/v1/whoami";
/// Members of the caller's organization.
pub const MEMBERS: &str = "/v1/members";
/// One member, by name.
pub const MEMBER: &str = "/v1/members/{name}";
/// Member tokens.
pub const TOKENS: &str = "/v1/tokens";
/// One token.
pub const TOKEN: &str = "/v1/tokens/{id}";
/// Boot tickets.
pub const TICKETS: &str = "/v1/tickets";
/// One ticket.
pub const TICKET: &str = "/v1/tickets/{id}";
/// The only release of values.
pub const BOOT: &str = "/v1/boot";
/// What a boot would get, without values.
pub const EXPLAIN: &str = "/v1/boot/explain";
/// Boots that happened.
pub const BOOTS: &str = "/v1/boots";
/// One boot.
pub const BOOT_ONE: &str = "/v1/boots/{id}";
/// The agent's word that the workload was started.
pub const BOOT_REPORT: &str = "/v1/boots/{id}/report";
/// The audit trail.
pub const AUDIT: &str = "/v1/audit";
/// Verification of the audit trail's chains.
pub const AUDIT_VERIFY: &str = "/v1/audit/verify";
/// State of the store.
pub const STATUS: &str = "/v1/status";
/// Loads the release key.
pub const UNLOCK: &str = "/v1/unlock";
/// Drops the release key.
pub const LOCK: &str = "/v1/lock";
/// Key slots.
pub const KEYSLOTS: &str = "/v1/keyslots";
/// One key slot.
pub const KEYSLOT: &str = "/v1/keyslots/{id}";
/// Organizations.
pub const ORGS: &str = "/v1/orgs";
/// The caller's organization and its policy.
pub const ORG_SELF: &str = "/v1/org";
/// A file of variables at once.
pub const IMPORT: &str = "/v1/import";
/// The audit trail as JSON lines.
pub const AUDIT_EXPORT: &str = "/v1/audit/export";
/// Variables by name, redacted.
pub const FACE_SECRETS: &str = "/api/secrets";
/// The vault's secrets.
pub const VAULT_SECRETS: &str = "/vault/secrets";
/// One of them.
pub const VAULT_SECRET: &str = "/vault/secrets/{id}";
/// Re-encryption of one.
pub const VAULT_ROTATE: &str = "/vault/secrets/{id}/rotate";
/// Re-encryption of all.
pub const VAULT_ROTATE_ALL: &str = "/vault/rotate-all";
/// The vault's audit log.
pub const VAULT_LOG: &str = "/vault/audit-log";
/// The vault's state.
pub const VAULT_STATUS: &str = "/vault/status";
/// Plugins.
pub const PLUGINS: &str = "/v1/plugins";
/// One plugin, by name.
pub const PLUGIN: &str = "/v1/plugins/{name}";
/// Categories.
pub const CATEGORIES: &str = "/v1/categories";
/// One category, by name.
pub const CATEGORY: &str = "/v1/categories/{name}";
/// Presets.
pub const PRESETS: &str = "/v1/presets";
/// Counts of secrets.
pub const STATISTICS: &str = "/v1/statistics";
/// The byte store, encrypted as it is.
pub const BACKUP: &str = "/v1/backup";
/// The API's own description.
pub const OPENAPI: &str = "/v1/openapi.json";
/// Liveness: the process answers.
pub const HEALTHZ: &str = "/healthz";
/// Readiness: the byte store answers.
pub const READYZ: &str = "/readyz";
/// Prometheus text.
pub const METRICS: &str = "/metrics";

/// All but the unreserved characters (RFC 3986 section 2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Names of members and plugins have `@`, which a path segment may hold as it is.
const PATH_SEGMENT: &AsciiSet = &QUERY_VALUE.remove(b'@');

/// Replaces the one `{…}` of `path` with `id`, percent-encoded.
pub fn fill(path: &str, id: &str) -> String {
    let (before, rest) = path.split_once('{').unwrap_or((path, ""));
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    format!("{before}{}{after}", utf8_percent_encode(id, PATH_SEGMENT))
}

/// Appends to `path` those of `parameters` that have a value, percent-encoded.
pub fn with_query<T: AsRef<str>>(path: &str, parameters: &[(&str, Option<T>)]) -> String {
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
