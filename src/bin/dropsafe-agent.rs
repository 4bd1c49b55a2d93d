//! The boot agent.
fn main() {}
