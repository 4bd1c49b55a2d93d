//! Talks to a store over HTTP.
