//! The boot agent.
pub mod r#become;
pub mod config;
pub mod environment;
pub mod exit;
pub mod flags;
pub mod identity;
pub mod layers;
pub mod machine;
pub mod obstacle;
pub mod own;
pub mod program;
pub mod wanted;
