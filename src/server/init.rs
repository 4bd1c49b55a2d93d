//! `init`: makes a store in a folder: record key, byte store, authority and certificate, configuration. Either all of it
//! is there afterwards or nothing is. The two tokens exist nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::config::{AdvertisedUrl, default_urls};
use super::data_dir::{DataDir, DataDirError};
use super::tls::TlsError;
use super::{data_dir, tls};
use crate::crypto::random::Kernel;
use crate::crypto::record::RecordKey;
use crate::domain::name::{MemberName, OrgName};
use crate::domain::pin::Pin;
use crate::store::{Clock as _, Init, KernelEntropy, NewKeyslot, Store, SystemClock, UnlockSecret};
use crate::{kv, store};

/// What `init` is told.
pub struct InitOptions {
    /// The folder; made when missing, otherwise empty.
    pub data: PathBuf,
    /// Where the records go; none: DIR/store.db.
    pub store: Option<kv::Url>,
    /// What opens the first key slot.
    pub secret: UnlockSecret,
    /// Where the server will listen.
    pub listen: SocketAddr,
    /// How clients reach it.
    pub advertise: Vec<AdvertisedUrl>,
    /// Names and addresses for the certificate beside those.
    pub san: Vec<String>,
    /// The first organization.
    pub org: OrgName,
    /// Its first admin.
    pub admin: MemberName,
}

/// What `init` made.
pub struct InitOutcome {
    /// The operator's token.
    pub operator_token: Zeroizing<String>,
    /// The first admin's token.
    pub admin_token: Zeroizing<String>,
    /// How clients reach the server, with the pin of its key: `https://HOST:PORT#sha256/…`.
    pub url_with_pin: String,
    /// The pin alone.
    pub pin: Pin,
    /// The authority's certificate, for clients that want that instead.
    pub ca: PathBuf,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The folder.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The byte store.
    #[error("opening the byte store")]
    Kv(#[source] kv::KvOpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::InitError),
}

impl SetupError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::Tls(TlsError::Name) => {
                Some("name hosts and addresses without a scheme or a port".to_owned())
            }
            Self::Store(store::InitError::AlreadyInitialised) => {
                Some("name another place with --store".to_owned())
            }
            Self::Tls(_) | Self::Kv(_) | Self::Store(_) => None,
        }
    }
}

/// Makes a store.
pub async fn init(options: InitOptions) -> Result<InitOutcome, SetupError> {
    data_dir::restrict_new_files();
    let data = DataDir::create(&options.data, &[])?;
    match make(&data, options).await {
        Ok(made) => Ok(made),
        Err(error) => {
            data.abandon(&[]);
            Err(error)
        }
    }
}

async fn make(data: &DataDir, options: InitOptions) -> Result<InitOutcome, SetupError> {
    let (record_key, text) = RecordKey::generate(&mut Kernel);
    data.write(data_dir::RECORD_KEY, line(&text).as_bytes(), 0o600)?;
    let ServingAddress { url, pin } = prepare_serving(data, &options)?;

    let url_of_store = data.store(options.store);
    let kv = kv::open(&url_of_store).map_err(SetupError::Kv)?;
    let slot = NewKeyslot { credential: false, secret: options.secret, label: None, argon2: None };
    let first = Init { slots: vec![slot], org: options.org, admin: options.admin };
    let made =
        Store::init(Arc::clone(&kv), record_key, first, Arc::new(SystemClock), Arc::new(KernelEntropy)).await;
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            kv.close().await;
            return Err(error.into());
        }
    };
    made.store.close().await;
    data.complete()?;
    Ok(InitOutcome {
        operator_token: made.operator_token.to_text(),
        admin_token: made.admin_token.to_text(),
        url_with_pin: format!("{url}#{pin}"),
        pin,
        ca: data.file(data_dir::TLS).join("ca.pem"),
    })
}

/// How a server is reached.
pub(crate) struct ServingAddress {
    pub(crate) url: String,
    pub(crate) pin: Pin,
}

/// Certificate and configuration.
pub(crate) fn prepare_serving(data: &DataDir, options: &InitOptions) -> Result<ServingAddress, SetupError> {
    let made = tls::make(&certificate_names(options), SystemClock.now())?;
    let files: [(&str, &str); 4] =
        [("ca.pem", &made.ca), ("ca.key", &made.ca_key), ("cert.pem", &made.chain), ("key.pem", &made.key)];
    for (name, content) in files {
        data.write(&format!("{}/{name}", data_dir::TLS), content.as_bytes(), 0o600)?;
    }
    data.write(data_dir::CONFIG, configuration(options).as_bytes(), 0o600)?;
    let url = match options.advertise.first() {
        Some(advertised) => advertised.url.clone(),
        None => default_urls(&[options.listen], host_name().as_deref()).pop().unwrap_or_default(),
    };
    Ok(ServingAddress { url, pin: made.pin })
}

fn certificate_names(options: &InitOptions) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(host_name());
    names.extend((!options.listen.ip().is_unspecified()).then(|| options.listen.ip().to_string()));
    names.extend(options.advertise.iter().map(|advertised| advertised.host.clone()));
    names.extend(options.san.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// This machine's name, when it can stand in a URL.
fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?.to_ascii_lowercase();
    name.parse::<AdvertisedUrl>().ok().map(|advertised| advertised.host)
}

fn configuration(options: &InitOptions) -> String {
    let mut text = format!(
        "# How `dropsafe serve` serves this store. ServeFlags override what stands here.\n\
         # Paths are relative to this folder.\n\n\
         # TLS 1.3 is spoken here.\n\
         listen: \"{}\"\n\n",
        options.listen
    );
    let urls: Vec<String> =
        options.advertise.iter().map(|advertised| format!("\"{}\"", advertised.url)).collect();
    text.push_str(
        "# The addresses that new boot tickets carry. Machines begin with one of them by chance.\n",
    );
    match urls.as_slice() {
        [] => text.push_str("#advertise: [\"https://vault.example:7373\"]\n\n"),
        urls => text.push_str(&format!("advertise: [{}]\n\n", urls.join(", "))),
    }
    if let Some(store) = &options.store {
        text.push_str(&format!("# Where the records are.\nstore: \"{store}\"\n\n"));
    }
    text.push_str(
        "# What this server is there for: all, deposit (never holds the release key) or release (boots only).\n\
         #role: all\n\n\
         # A Unix socket for this machine; `off` for none. 0660 lets a group use it.\n\
         #socket: dropsafe.sock\n\
         #socket_mode: \"0600\"\n\n\
         # Certificates of your own, PEM.\n\
         #tls: {cert: tls/cert.pem, key: tls/key.pem}\n\n\
         # What unlocks the store when it starts. Without it, it starts locked. systemd's credentials dropsafe.key and\n\
         # dropsafe.passphrase are found without being named here.\n\
         #unlock: {key_file: /etc/dropsafe/unlock.key}\n\n\
         #log: {format: json, level: info}\n",
    );
    text
}

fn line(text: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
    line.push_str(text);
    line.push('\n');
    line
}
