//! The deposit keys of the stores that this user deposited to. A value is sealed only to the key that was seen before, so that
//! a server which suddenly shows another key, one whose owner could read what is sealed to it, is given nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::CliError;
use super::{CliContext, files, output};
use crate::client::Endpoint;
use crate::process::Exit;

/// Fingerprints by address.
type PinnedKeys = BTreeMap<String, String>;

/// The fingerprint that the deposit key of `store` must have, if one is known.
pub(crate) fn expected(
    context: &CliContext,
    place: &StoreAddress,
    store: &str,
) -> Result<Option<String>, CliError> {
    if let Some(expected) = context.environment.text("DROPSAFE_DEPOSIT_KEY") {
        return Ok(Some(expected));
    }
    let Some(path) = file(context) else { return Ok(None) };
    Ok(read(&path)?.remove(&place.key(store)))
}

/// Remembers the key: one that was never seen, or that the person accepted.
pub(crate) fn remember(
    context: &CliContext,
    place: &StoreAddress,
    store: &str,
    fingerprint: &str,
) -> Result<(), CliError> {
    let Some(path) = file(context) else { return Ok(()) };
    let mut known = read(&path)?;
    let before = known.insert(place.key(store), fingerprint.to_owned());
    if before.as_deref() != Some(fingerprint) {
        write(&path, &known);
    }
    Ok(())
}

/// What a key is remembered by.
pub(crate) struct StoreAddress {
    address: String,
    proved: bool,
}

impl StoreAddress {
    /// The address with its pin.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let pin = endpoint.pin().map(|pin| format!("#{pin}")).unwrap_or_default();
        let address = endpoint.to_string();
        Self { proved: address.starts_with("https:"), address: format!("{address}{pin}") }
    }

    /// A local address proves nothing and is only a place where stores come and go: there the store itself counts too.
    fn key(&self, store: &str) -> String {
        if self.proved { self.address.clone() } else { format!("{} {store}", self.address) }
    }
}

fn file(context: &CliContext) -> Option<PathBuf> {
    context.environment.configuration_folder().map(|folder| folder.join("known.json"))
}

fn read(path: &std::path::Path) -> Result<PinnedKeys, CliError> {
    match files::read_own(path)? {
        None => Ok(PinnedKeys::new()),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
            CliError::configuration(format_args!("{} cannot be understood", path.display()))
                .hint("it holds the fingerprints of deposit keys; remove it to begin anew")
        }),
    }
}

/// Not being able to remember does not stop a deposit: a container's file system may be read-only.
fn write(path: &std::path::Path, known: &PinnedKeys) {
    let written = serde_json::to_vec_pretty(known)
        .map_err(|_| CliError::new(Exit::Internal, "the deposit keys cannot be written as JSON"))
        .and_then(|bytes| files::write_private(path, &bytes));
    if let Err(failure) = written {
        output::warn(format!("the deposit key is not remembered: {}", failure.message));
    }
}

/// The failure for a key that is not the known one.
pub(crate) fn changed(known: &str, shown: &str) -> CliError {
    let shown = output::harmless(shown);
    CliError::new(
        Exit::Denied,
        format_args!("the store's deposit key has changed: its fingerprint is {shown}, expected was {known}"),
    )
    .hint(remedy(&shown))
}

/// What to do about it.
pub(crate) fn remedy(shown: &str) -> String {
    format!(
        "re-encrypting everything gives a store a new key: ask the operator for the fingerprint that dropsafe status \
         shows, and if it is this one run dropsafe login --deposit-key {shown}; nothing was sent"
    )
}
