//! Ordered bytes to bytes. Never sees a name or a value.
