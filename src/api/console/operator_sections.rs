//! The operator's part of the Status page: key slots and organizations, as rows of tables.

use super::credential_form::new_idempotency_key;
use super::display::DisplayTime;
use super::form_options::first_rows;
use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::store;

/// The operator's part of the Status page.
pub(crate) struct OperatorSections {
    pub(crate) slots: Vec<KeyslotRow>,
    pub(crate) orgs: Vec<OrgRow>,
    pub(crate) idempotency_key: String,
}

/// A key slot.
pub(crate) struct KeyslotRow {
    pub(crate) id: String,
    /// `passphrase`, `key file` or `credential`.
    pub(crate) kind: &'static str,
    pub(crate) label: String,
    pub(crate) created: DisplayTime,
}

/// An organization with its policy.
pub(crate) struct OrgRow {
    pub(crate) name: String,
    pub(crate) created: DisplayTime,
    /// Whether every member can change shared secrets, or only administrators.
    pub(crate) shared_by_members: bool,
    /// Whether the store keeps a redacted form of values, such as `sk-****...KLMN`.
    pub(crate) hints: bool,
    /// The largest value that becomes a variable, in bytes.
    pub(crate) ceiling: u32,
}

impl OperatorSections {
    /// Loads the key slots and the organizations.
    pub(crate) async fn load(session: &BrowserSession) -> Result<Self, ApiError> {
        let slots = session.store().keyslots(&session.caller).await?;
        // Names and policies only: the operator cannot access an organization's secrets or members.
        let orgs = session.store().list_orgs(&session.caller, first_rows()).await?;
        Ok(Self {
            slots: slots.into_iter().map(KeyslotRow::new).collect(),
            orgs: orgs.items.into_iter().map(OrgRow::new).collect(),
            idempotency_key: new_idempotency_key(session),
        })
    }
}

impl KeyslotRow {
    fn new(slot: store::Keyslot) -> Self {
        Self {
            id: slot.id.to_string(),
            kind: match slot.kind.as_str() {
                // The API's word; people write it in two.
                "key_file" => "key file",
                other => other,
            },
            label: slot.label.map(|label| label.to_string()).unwrap_or_default(),
            created: DisplayTime::new(slot.created_at),
        }
    }
}

impl OrgRow {
    fn new(org: store::Org) -> Self {
        Self {
            name: org.name.to_string(),
            created: DisplayTime::new(org.created_at),
            shared_by_members: org.policy.shared_by_members,
            hints: org.policy.hints,
            ceiling: org.policy.variable_ceiling,
        }
    }
}
