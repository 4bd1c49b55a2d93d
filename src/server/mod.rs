//! Assembly of the store's process.
