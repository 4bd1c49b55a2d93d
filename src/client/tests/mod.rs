//! Shared test helpers of this module.

pub(crate) mod mock_server;
