//! Bodies and error codes of the HTTP API. Never carries a value outward, except of a boot or a plain setting.
