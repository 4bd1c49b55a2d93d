//! Makes the sign-in providers of the configuration ready: reads the secrets of their clients. Talks to none of them: a provider that
//! is down must not keep a server from starting.

use zeroize::Zeroizing;

use super::config::ServeConfig;
use super::data_dir::{self, DataDirError};
use super::run::RunError;
use crate::signin::{ClientSecrets, ClientSettings, Provider, Providers};

/// Loads the providers. `host` is this machine's name, for the console's address.
pub fn load(config: &ServeConfig, host: Option<&str>) -> Result<Providers, RunError> {
    let mut list = Vec::with_capacity(config.sign_in.providers.len());
    for settings in &config.sign_in.providers {
        // Both files are read at the start, so that one that is missing is not found by the first person who signs in.
        let console = read_secret(&settings.client)?;
        let command_line = settings.command_line.as_ref().map(read_secret).transpose()?.flatten();
        list.push(Provider::new(settings.clone(), ClientSecrets { console, command_line })?);
    }
    Ok(Providers::new(&config.console_url(&config.ticket_urls(host)), list))
}

fn read_secret(client: &ClientSettings) -> Result<Option<Zeroizing<String>>, DataDirError> {
    let text = client.secret_file.as_deref().map(data_dir::read_private).transpose()?;
    // One line end, which an editor adds and no provider means.
    Ok(text.map(|text| Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}
