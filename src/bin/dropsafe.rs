//! The store's server and the operator's command line.
fn main() {}
