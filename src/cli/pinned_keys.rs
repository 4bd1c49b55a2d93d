//! The deposit keys of the stores that this user deposited to, pinned on first use. A value is sealed only to the pinned key, so
//! that a server which suddenly presents another key, whose owner could read what is sealed to it, receives nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::CliContext;
use super::error::CliError;
use super::{files, output};
use crate::client::Endpoint;
use crate::domain::id::StoreId;
use crate::process::Exit;

/// Fingerprints by address.
type PinnedKeys = BTreeMap<String, String>;

/// The fingerprint that the deposit key of `store` must have, if one is pinned or required by the environment.
pub(crate) fn lookup(
    context: &CliContext,
    address: &StoreAddress,
    store: StoreId,
) -> Result<Option<String>, CliError> {
    // Before the file: CI jobs start without one, and get the fingerprint with their other settings.
    if let Some(expected) = context.environment.text("DROPSAFE_DEPOSIT_KEY") {
        return Ok(Some(expected));
    }
    let Some(path) = pins_path(context) else { return Ok(None) };
    Ok(read(&path)?.remove(&address.lookup_key(store)))
}

/// Pins a key that was never seen before, or that the person accepted.
pub(crate) fn pin(
    context: &CliContext,
    address: &StoreAddress,
    store: StoreId,
    fingerprint: &str,
) -> Result<(), CliError> {
    let Some(path) = pins_path(context) else { return Ok(()) };
    let mut pins = read(&path)?;
    let before = pins.insert(address.lookup_key(store), fingerprint.to_owned());
    // Every deposit comes by here. Only a new key costs a write and two syncs.
    if before.as_deref() != Some(fingerprint) {
        write(&path, &pins);
    }
    Ok(())
}

/// Moves the fingerprint that is pinned under the address `from`, whose server proved that its TLS key was rotated.
pub(crate) fn follow(context: &CliContext, from: &StoreAddress, to: &StoreAddress) -> Result<(), CliError> {
    let Some(path) = pins_path(context).filter(|_| from.address != to.address) else { return Ok(()) };
    let mut pins = read(&path)?;
    if let Some(fingerprint) = pins.remove(&from.address) {
        pins.insert(to.address.clone(), fingerprint);
        write(&path, &pins);
    }
    Ok(())
}

/// The address of a store, under which its key is pinned.
pub(crate) struct StoreAddress {
    address: String,
    authenticated: bool,
}

impl StoreAddress {
    pub(crate) fn from_endpoint(endpoint: &Endpoint) -> Self {
        // The pin is a part of it: behind another TLS key there is another store. Not that of the next key, which a client may
        // learn later.
        let pin = endpoint.pins().map(|pins| format!("#{}", pins.current())).unwrap_or_default();
        let address = endpoint.to_string();
        Self { authenticated: address.starts_with("https:"), address: format!("{address}{pin}") }
    }

    fn lookup_key(&self, store: StoreId) -> String {
        // A local address authenticates nothing, and stores come and go behind it: there, the store's id counts too. Behind
        // TLS it must not count: a server could state another id to get rid of the pin.
        if self.authenticated { self.address.clone() } else { format!("{} {store}", self.address) }
    }
}

fn pins_path(context: &CliContext) -> Option<PathBuf> {
    context.environment.config_folder().map(|folder| folder.join("known.json"))
}

fn read(path: &Path) -> Result<PinnedKeys, CliError> {
    match files::read_optional(path)? {
        None => Ok(PinnedKeys::new()),
        // A damaged file must not count as an empty one: that would pin whatever key comes next.
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
            CliError::configuration(format_args!("{} cannot be parsed", path.display())).hint(
                "it holds the fingerprints of deposit keys; remove it to pin the keys again on next use",
            )
        }),
    }
}

fn write(path: &Path, pins: &PinnedKeys) {
    let written = serde_json::to_vec_pretty(pins)
        .map_err(|_| CliError::new(Exit::Internal, "the deposit keys cannot be encoded as JSON"))
        .and_then(|bytes| files::write_private(path, &bytes));
    // Only a warning: a container's file system may be read-only, and the deposit itself is safe.
    if let Err(error) = written {
        output::warn(format!("the deposit key is not pinned: {}", error.message));
    }
}

/// The error for a key that differs from the pinned one.
pub(crate) fn key_changed_error(pinned: &str, presented: &str) -> CliError {
    let presented = output::escape_control(presented);
    CliError::new(
        Exit::Denied,
        format_args!("the store's deposit key has changed: expected {pinned}, got {presented}"),
    )
    .hint(key_changed_hint(&presented))
}

/// What to do about a changed key.
pub(crate) fn key_changed_hint(presented: &str) -> String {
    format!(
        "nothing was sent, because the known key did not sign this one: ask the operator which fingerprint dropsafe status \
         shows, and if it is the same run dropsafe login --deposit-key {presented}"
    )
}
