//! The server as a client of a provider, against one on loopback.
