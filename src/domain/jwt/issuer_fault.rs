//! Why an issuer's keys are not to be had. Never repeats what an issuer sent.

use thiserror::Error;

/// Why the keys of an issuer cannot be fetched or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum IssuerFault {
    #[error("the issuer's host name does not resolve")]
    NameNotFound,
    /// Every address of its name is private or reserved.
    #[error("the issuer has only private or reserved addresses")]
    AddressRefused,
    #[error("the issuer cannot be reached")]
    Unreachable,
    #[error("the issuer did not answer in time")]
    TimedOut,
    /// No handshake, for any reason but the certificate.
    #[error("the TLS handshake with the issuer failed")]
    Tls,
    #[error("the certificate of the issuer's server is not trusted")]
    Untrusted,
    /// The exchange broke off or is not HTTP.
    #[error("the connection to the issuer closed before the response was complete")]
    Broken,
    #[error("the issuer answered with status {0}")]
    Status(u16),
    #[error("the issuer answered with a redirect")]
    Redirect,
    #[error("the issuer's response has a content type other than JSON")]
    ContentType,
    #[error("the issuer's document is too large")]
    TooLarge,
    #[error("the issuer's document is not valid JSON of the expected form")]
    Document,
    /// The metadata names another issuer than the URL that it was fetched from.
    #[error("the issuer's metadata names a different issuer")]
    OtherIssuer,
    #[error("the issuer's metadata has no https jwks_uri")]
    KeysUrl,
    #[error("the issuer has too many keys")]
    TooManyKeys,
    #[error("the issuer has no key that can verify a token")]
    NoKey,
    /// A document of public keys holds a private or symmetric one.
    #[error("the document of the issuer's keys contains a secret key")]
    SecretKey,
    #[error("the issuer's CA certificates are not valid PEM certificates")]
    Authorities,
    #[error("the store's server has no system CA certificates")]
    NoSystemAuthorities,
}

impl IssuerFault {
    /// Whether waiting may help: nothing that an organization or the operator has set is wrong.
    pub(crate) fn is_outage(self) -> bool {
        match self {
            Self::NameNotFound
            | Self::Unreachable
            | Self::TimedOut
            | Self::Tls
            | Self::Broken
            | Self::Status(_)
            // A page for maintenance redirects, or answers with HTML, or with next to nothing.
            | Self::Redirect
            | Self::ContentType
            | Self::TooLarge
            | Self::Document
            | Self::NoKey => true,
            Self::AddressRefused
            | Self::Untrusted
            | Self::OtherIssuer
            | Self::KeysUrl
            | Self::TooManyKeys
            | Self::SecretKey
            | Self::Authorities
            | Self::NoSystemAuthorities => false,
        }
    }

    /// The stable word for it in the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NameNotFound => "issuer_name_not_found",
            Self::AddressRefused => "issuer_address_refused",
            Self::Unreachable => "issuer_unreachable",
            Self::TimedOut => "issuer_timed_out",
            Self::Tls => "issuer_tls",
            Self::Untrusted => "issuer_untrusted",
            Self::Broken => "issuer_broken",
            Self::Status(_) => "issuer_status",
            Self::Redirect => "issuer_redirect",
            Self::ContentType => "issuer_content_type",
            Self::TooLarge => "issuer_too_large",
            Self::Document => "issuer_document",
            Self::OtherIssuer => "issuer_other_issuer",
            Self::KeysUrl => "issuer_keys_url",
            Self::TooManyKeys => "issuer_too_many_keys",
            Self::NoKey => "issuer_no_key",
            Self::SecretKey => "issuer_secret_key",
            Self::Authorities => "issuer_authorities",
            Self::NoSystemAuthorities => "issuer_no_system_authorities",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            Self::AddressRefused => Some(
                "the operator can add the issuer's network to issuers.allow_networks in server.yaml, or an administrator can \
                 set its keys with dropsafe issuer set --keys FILE",
            ),
            Self::NameNotFound | Self::Unreachable | Self::TimedOut => {
                Some("if the store cannot reach the issuer, set its keys: dropsafe issuer set --keys FILE")
            }
            Self::Untrusted => Some("set the CA of the issuer's server: --ca FILE"),
            Self::OtherIssuer => Some("use exactly the URL that the issuer's metadata and tokens have"),
            Self::Redirect => {
                Some("redirects are not followed: use the URL that they lead to, if its metadata names it")
            }
            Self::SecretKey => Some("remove the private key from the file, and rotate it at the issuer"),
            Self::Authorities => Some("give BEGIN CERTIFICATE blocks"),
            Self::NoSystemAuthorities => {
                Some("install the package ca-certificates, or set the CA of the issuer's server: --ca FILE")
            }
            Self::Tls
            | Self::Broken
            | Self::Status(_)
            | Self::ContentType
            | Self::TooLarge
            | Self::Document
            | Self::KeysUrl
            | Self::TooManyKeys
            | Self::NoKey => None,
        }
    }
}
