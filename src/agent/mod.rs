//! The boot agent.
pub mod config;
pub mod exit;
pub mod flags;
pub mod layers;
pub mod machine;
pub mod obstacle;
pub mod own;
pub mod wanted;
