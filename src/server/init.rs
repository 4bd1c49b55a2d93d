//! `init`: creates a store in a folder: record key, byte store, authority and certificate, configuration. Either all of it exists
//! afterwards or none of it. Its two tokens exist nowhere else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::config::{AdvertisedUrl, derive_urls};
use super::data_dir::{DataDir, DataDirError};
use super::tls::TlsError;
use super::{data_dir, tls};
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::domain::name::{MemberName, OrgName};
use crate::domain::pin::Pin;
use crate::store::{Clock as _, Init, KernelEntropy, NewKeyslot, Store, SystemClock, UnlockSecret};
use crate::{kv, store};

/// What to create.
pub struct InitOptions {
    /// The data folder; created if it is missing, otherwise empty.
    pub data: PathBuf,
    /// Where the records go; `None` is DIR/store.db.
    pub store: Option<kv::Url>,
    /// What opens the first key slot.
    pub secret: UnlockSecret,
    /// Where the server will listen.
    pub listen: SocketAddr,
    /// Under which addresses clients reach it.
    pub advertise: Vec<AdvertisedUrl>,
    /// Further names and addresses for the certificate.
    pub san: Vec<String>,
    /// The first organization.
    pub org: OrgName,
    /// Its first administrator.
    pub admin: MemberName,
}

/// What was created. The tokens exist nowhere else.
pub struct InitOutcome {
    /// The token of the operator.
    pub operator_token: Zeroizing<String>,
    /// The token of the first administrator.
    pub admin_token: Zeroizing<String>,
    /// How clients reach the server: `https://HOST:PORT#sha256/…`.
    pub url_with_pin: String,
    /// The pin of the server's TLS key.
    pub pin: Pin,
    /// The authority's certificate, for clients that do not use the pin.
    pub ca: PathBuf,
}

/// Why a store was not created.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    #[error(transparent)]
    Store(#[from] store::InitError),
}

impl SetupError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::Tls(TlsError::Name) => {
                Some("provide host names and addresses without a scheme or a port".to_owned())
            }
            Self::Store(store::InitError::AlreadyInitialised) => {
                Some("choose another place with --store".to_owned())
            }
            Self::Tls(_) | Self::Kv(_) | Self::Store(_) => None,
        }
    }
}

/// Creates a store.
pub async fn init(options: InitOptions) -> Result<InitOutcome, SetupError> {
    data_dir::restrict_new_files();
    let data = DataDir::create(&options.data)?;
    match fill(&data, options).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            data.abandon(&[]);
            Err(error)
        }
    }
}

async fn fill(data: &DataDir, options: InitOptions) -> Result<InitOutcome, SetupError> {
    // Before the byte store: without this key its content would be noise, should anything fail in between.
    let (record_key, text) = RecordKey::generate(&mut Kernel);
    data.write(data_dir::RECORD_KEY, with_newline(&text).as_bytes(), 0o600)?;
    let ServingAddress { url, pin } = prepare_serving(data, &options)?;

    let kv = kv::open(&data.store_url(options.store)).map_err(SetupError::Kv)?;
    // The person who chose the passphrase has been asked for a stronger one by now.
    let slot =
        NewKeyslot { credential: false, secret: options.secret, allow_weak: true, label: None, argon2: None };
    let first = Init { slots: vec![slot], org: options.org, admin: options.admin };
    let created =
        Store::init(Arc::clone(&kv), record_key, first, Arc::new(SystemClock), Arc::new(KernelEntropy)).await;
    let created = match created {
        Ok(created) => created,
        Err(error) => {
            kv.close().await;
            return Err(error.into());
        }
    };
    // Closed before it is complete: the file is then whole on disk, without a write-ahead log beside it.
    created.store.close().await;
    data.mark_complete()?;
    Ok(InitOutcome {
        operator_token: created.operator_token.to_text(),
        admin_token: created.admin_token.to_text(),
        url_with_pin: format!("{url}#{pin}"),
        pin,
        ca: data.file(data_dir::TLS).join("ca.pem"),
    })
}

/// How clients reach a server.
pub(crate) struct ServingAddress {
    pub(crate) url: String,
    pub(crate) pin: Pin,
}

pub(crate) fn write_configuration(data: &DataDir, options: &InitOptions) -> Result<(), DataDirError> {
    data.write(data_dir::CONFIG, render_configuration(options).as_bytes(), 0o600)
}

/// Creates the certificates and the configuration.
pub(crate) fn prepare_serving(data: &DataDir, options: &InitOptions) -> Result<ServingAddress, SetupError> {
    let (key, next) = (tls::generate_key()?, tls::generate_key()?);
    let created = tls::certify(&key, &certificate_names(options), SystemClock.now())?;
    let files: [(&str, &str); 4] =
        [("ca.pem", &created.ca), ("cert.pem", &created.chain), ("key.pem", &key), ("next.pem", &next)];
    data.write_tls(&files)?;
    write_configuration(data, options)?;
    let url = match options.advertise.first() {
        Some(advertised) => advertised.url.clone(),
        None => derive_urls(&[options.listen], host_name().as_deref()).pop().unwrap_or_default(),
    };
    Ok(ServingAddress { url, pin: tls::pin_of_key(&key)? })
}

fn certificate_names(options: &InitOptions) -> Vec<String> {
    // Clients on this machine use these, whatever the server is called elsewhere.
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(host_name());
    // 0.0.0.0 and :: are addresses to listen on, and no client connects to them.
    names.extend((!options.listen.ip().is_unspecified()).then(|| options.listen.ip().to_string()));
    names.extend(options.advertise.iter().map(|advertised| advertised.host.clone()));
    names.extend(options.san.iter().cloned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// This machine's name, if a URL can contain it.
fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?.to_ascii_lowercase();
    name.parse::<AdvertisedUrl>().ok().map(|advertised| advertised.host)
}

/// The text of server.yaml. Every optional setting is there as a comment, because this file is where people look first.
fn render_configuration(options: &InitOptions) -> String {
    let mut text = format!(
        "# The settings of `dropsafe serve` for this store. Flags override them.\n\
         # Paths are relative to this folder.\n\n\
         # Address to listen on with TLS 1.3.\n\
         listen: \"{}\"\n\n",
        options.listen
    );
    let urls: Vec<String> =
        options.advertise.iter().map(|advertised| format!("\"{}\"", advertised.url)).collect();
    text.push_str("# Addresses that new boot tickets carry. Each machine starts with a random one.\n");
    match urls.as_slice() {
        [] => text.push_str("#advertise: [\"https://vault.example:7373\"]\n\n"),
        urls => text.push_str(&format!("advertise: [{}]\n\n", urls.join(", "))),
    }
    if let Some(store) = &options.store {
        text.push_str(&format!("# Where the records are.\nstore: \"{store}\"\n\n"));
    }
    text.push_str(
        "# What to serve: all, deposit (never holds the release key) or release (boots only).\n\
         #role: all\n\n\
         # Unix socket for clients on this machine; `off` for none. Mode 0660 lets a group use it.\n\
         #socket: dropsafe.sock\n\
         #socket_mode: \"0600\"\n\n\
         # Your own certificate chain and its key, PEM.\n\
         #tls: {cert: tls/cert.pem, key: tls/key.pem}\n\n\
         # What unlocks the store at startup. Without it, the store starts locked. The systemd credentials\n\
         # dropsafe.key and dropsafe.passphrase are used without being named here.\n\
         #unlock: {key_file: /etc/dropsafe/unlock.key}\n\n\
         #log: {format: json, level: info}\n",
    );
    text
}

fn with_newline(text: &str) -> Zeroizing<String> {
    // Reserved in full: growing would leave a copy of the key behind.
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
    line.push_str(text);
    line.push('\n');
    line
}
