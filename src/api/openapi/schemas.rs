//! Schemas of identifiers, codes and times, and the patterns of names. Bodies and parameters refer to them, so each rule is
//! written once. A test compares them with the parsers.

use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::id;
use crate::domain::time::Timestamp;
use crate::wire::Code;

macro_rules! identifiers {
    ($($Id:ident)+) => {
        $(
            impl PartialSchema for id::$Id {
                fn schema() -> RefOr<Schema> {
                    // 26 characters carry 130 bits: the last one has two that are zero.
                    let pattern = format!("^{}[a-z2-7]{{25}}[aeimquy4]$", id::$Id::PREFIX);
                    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
                }
            }

            impl ToSchema for id::$Id {}
        )+

        /// Returns the schemas of all identifiers by name.
        pub(crate) fn identifiers() -> Vec<(String, RefOr<Schema>)> {
            vec![$((stringify!($Id).to_owned(), id::$Id::schema()),)+]
        }
    };
}

identifiers! { OrgId MemberId SecretId VersionId TokenId LinkedAccountId TicketId IdentityId BootId StoreId SlotId }

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = Code::ALL.iter().map(|code| code.as_str());
        let text =
            ObjectBuilder::new().schema_type(Type::String).description(Some("The stable code of an error."));
        text.enum_values(Some(codes)).into()
    }
}

impl ToSchema for Code {}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let pattern = r"^-?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z$";
        let text =
            ObjectBuilder::new().schema_type(Type::String).description(Some("A time in UTC (RFC 3339)."));
        text.pattern(Some(pattern)).into()
    }
}

impl ToSchema for Timestamp {}

/// The pattern and the greatest length of each name. Its own schema has a description only.
const PATTERNS: [(&str, &str, Option<usize>); 15] = [
    ("SecretName", "^[0-9_.:/-]*[A-Za-z][A-Za-z0-9_.:/-]*$", Some(200)),
    ("EnvName", "^[A-Za-z_][A-Za-z0-9_]*$", Some(201)),
    ("OrgName", "^[a-z0-9][a-z0-9._@-]*$", Some(64)),
    ("MemberName", "^[a-z0-9][a-z0-9._@-]*$", Some(64)),
    ("IssuerName", "^[a-z0-9][a-z0-9._@-]*$", Some(64)),
    ("PluginName", "^[A-Za-z0-9@/._:-]+$", Some(100)),
    ("Category", "^[a-z0-9_-]+$", Some(50)),
    ("ProviderName", "^[a-z0-9][a-z0-9-]*$", Some(32)),
    ("PresetId", "^[a-z0-9_-]+$", Some(50)),
    ("FieldKey", "^[a-z0-9_-]+$", Some(50)),
    ("Label", LABEL, Some(100)),
    ("Description", DESCRIPTION, Some(200)),
    ("Hint", r"^[!-~]{2,24}\*{4}\.{3}[!-~]{4}$", None),
    ("Digest", "^[0-9a-f]{64}$", Some(64)),
    ("Cidr", "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$", None),
];

/// One line. The parser also refuses spaces at its ends and too many bytes, which a pattern cannot express.
const LABEL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// One line without invisible characters. The parser also refuses tags (U+E0000 to U+E007F), which not every engine can name.
const DESCRIPTION: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]*$";

/// Adds the patterns to the schemas of the document.
pub(crate) fn add_patterns(schemas: &mut serde_json::Map<String, Value>) {
    for (name, pattern, max) in PATTERNS {
        // A name that no route uses has no schema.
        if let Some(Value::Object(schema)) = schemas.get_mut(name) {
            schema.insert("pattern".to_owned(), json!(pattern));
            if let Some(max) = max {
                schema.insert("maxLength".to_owned(), json!(max));
            }
        }
    }
}
