//! The data: five categories and sixteen platforms. A prefix stands here only if the issuer gives it to all such values,
//! or is known to have done so; what has several forms lists all of them, and what has none has no prefix.

use super::category::Colour;
use super::preset::{Preset, PresetField};
use crate::domain::name::{Category, EnvName, FieldKey, Label, NameError, PresetId};
use crate::domain::value::Kind;

/// Slug, title, colour, description.
pub(crate) const CATEGORIES: &[(&str, &str, Colour, &str)] = &[
    (
        "deploy_credential",
        "Deploy Credentials",
        Colour::Indigo,
        "Infrastructure and deployment secrets (SMTP, database connections)",
    ),
    (
        "skill_credential",
        "Skill Credentials",
        Colour::Green,
        "API keys for agent tools (OpenAI, Slack, GitHub, etc.)",
    ),
    ("cloud_storage", "Cloud Storage", Colour::Blue, "AWS, GCP, and other cloud provider credentials"),
    ("api_key", "API Keys", Colour::Amber, "General-purpose API keys"),
    ("custom", "Custom", Colour::Gray, "User-defined secrets with custom names"),
];

struct PresetRow {
    id: &'static str,
    title: &'static str,
    category: &'static str,
    fields: &'static [FieldRow],
}

/// Key, label, marks, usual variable, prefixes.
type FieldRow = (&'static str, &'static str, FieldMarks, &'static str, &'static [&'static str]);

#[derive(Clone, Copy)]
enum FieldMarks {
    Required,
    Optional,
    RequiredPlain,
    OptionalPlain,
}

use FieldMarks::{Optional, OptionalPlain, Required, RequiredPlain};

const SKILL: &str = "skill_credential";
const DEPLOY: &str = "deploy_credential";
const CLOUD: &str = "cloud_storage";

/// A platform with one key calls it `access_token`.
const PRESETS: &[PresetRow] = &[
    row("openai", "OpenAI", SKILL, &[("access_token", "API Key", Required, "OPENAI_API_KEY", &["sk-"])]),
    row(
        "anthropic",
        "Anthropic",
        SKILL,
        &[("access_token", "API Key", Required, "ANTHROPIC_API_KEY", &["sk-ant-"])],
    ),
    row(
        "google",
        "Google Cloud / Gemini",
        SKILL,
        &[
            ("access_token", "API Key", Required, "GEMINI_API_KEY", &["AIza", "AQ."]),
            ("oauth_client_id", "OAuth Client ID", OptionalPlain, "GOOGLE_CLIENT_ID", &[]),
            ("oauth_client_secret", "OAuth Client Secret", Optional, "GOOGLE_CLIENT_SECRET", &[]),
        ],
    ),
    row(
        "elevenlabs",
        "ElevenLabs",
        SKILL,
        &[("access_token", "API Key", Required, "ELEVENLABS_API_KEY", &["xi_", "sk_"])],
    ),
    row(
        "telegram",
        "Telegram Bot",
        SKILL,
        &[("access_token", "Bot Token", Required, "TELEGRAM_BOT_TOKEN", &[])],
    ),
    row(
        "slack",
        "Slack",
        SKILL,
        &[
            ("access_token", "Bot Token", Required, "SLACK_BOT_TOKEN", &["xoxb-"]),
            ("signing_secret", "Signing Secret", Optional, "SLACK_SIGNING_SECRET", &[]),
        ],
    ),
    row(
        "github",
        "GitHub",
        SKILL,
        &[(
            "access_token",
            "Personal Access Token",
            Required,
            "GITHUB_TOKEN",
            &["ghp_", "github_pat_", "gho_", "ghs_", "ghu_"],
        )],
    ),
    row(
        "stripe",
        "Stripe",
        SKILL,
        &[
            (
                "access_token",
                "Secret Key",
                Required,
                "STRIPE_SECRET_KEY",
                &["sk_live_", "sk_test_", "rk_live_", "rk_test_"],
            ),
            ("webhook_secret", "Webhook Secret", Optional, "STRIPE_WEBHOOK_SECRET", &["whsec_"]),
        ],
    ),
    row(
        "sendgrid",
        "SendGrid",
        SKILL,
        &[("access_token", "API Key", Required, "SENDGRID_API_KEY", &["SG."])],
    ),
    row(
        "twilio",
        "Twilio",
        SKILL,
        &[
            ("account_sid", "Account SID", RequiredPlain, "TWILIO_ACCOUNT_SID", &["AC"]),
            ("auth_token", "Auth Token", Required, "TWILIO_AUTH_TOKEN", &[]),
        ],
    ),
    row(
        "aws",
        "AWS",
        CLOUD,
        &[
            ("access_key_id", "Access Key ID", Required, "AWS_ACCESS_KEY_ID", &["AKIA", "ASIA"]),
            ("secret_access_key", "Secret Access Key", Required, "AWS_SECRET_ACCESS_KEY", &[]),
            ("region", "Region", OptionalPlain, "AWS_REGION", &[]),
        ],
    ),
    row(
        "cloudflare",
        "Cloudflare",
        SKILL,
        &[
            ("access_token", "API Token", Required, "CLOUDFLARE_API_TOKEN", &[]),
            ("account_id", "Account ID", OptionalPlain, "CLOUDFLARE_ACCOUNT_ID", &[]),
        ],
    ),
    row(
        "notion",
        "Notion",
        SKILL,
        &[("access_token", "Integration Token", Required, "NOTION_TOKEN", &["secret_", "ntn_"])],
    ),
    row(
        "hubspot",
        "HubSpot",
        SKILL,
        &[("access_token", "Private App Token", Required, "HUBSPOT_ACCESS_TOKEN", &["pat-"])],
    ),
    row(
        "smtp",
        "SMTP / Email",
        DEPLOY,
        &[
            ("host", "Host", RequiredPlain, "SMTP_HOST", &[]),
            ("port", "Port", OptionalPlain, "SMTP_PORT", &[]),
            ("username", "Username", RequiredPlain, "SMTP_USERNAME", &[]),
            ("password", "App Password", Required, "SMTP_PASSWORD", &[]),
        ],
    ),
    row(
        "database",
        "Database",
        DEPLOY,
        &[("connection_string", "Connection String", Required, "DATABASE_URL", &[])],
    ),
];

const fn row(
    id: &'static str,
    title: &'static str,
    category: &'static str,
    fields: &'static [FieldRow],
) -> PresetRow {
    PresetRow { id, title, category, fields }
}

/// The rows as presets. A row that is none is left out; a test counts them.
pub(crate) fn presets() -> Vec<Preset> {
    PRESETS.iter().filter_map(preset).collect()
}

fn preset(row: &PresetRow) -> Option<Preset> {
    let fields = row.fields.iter().map(field).collect::<Result<_, _>>().ok()?;
    let (id, title) = (PresetId::parse(row.id).ok()?, Label::parse(row.title).ok()?);
    Preset::new(id, title, Category::parse(row.category).ok()?, fields).ok()
}

fn field((key, label, marks, usual, prefixes): &FieldRow) -> Result<PresetField, NameError> {
    Ok(PresetField {
        key: FieldKey::parse(key)?,
        label: Label::parse(label)?,
        optional: matches!(marks, Optional | OptionalPlain),
        kind: match marks {
            Required | Optional => Kind::Encrypted,
            RequiredPlain | OptionalPlain => Kind::Plain,
        },
        prefixes: prefixes.iter().map(|prefix| Box::from(*prefix)).collect(),
        usual: Some(EnvName::parse(usual)?),
    })
}
