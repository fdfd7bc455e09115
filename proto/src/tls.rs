//! How collectors and `iotq` reach an analyzer by TLS, and what they show it.
//!
//! Both ends show certificates of the analyzer's own authority (`iotq-analyzer
//! pki`); instead of its own a client may show a token.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

/// The files a client was given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsFiles {
    /// Certificate, key and authority in one, as `iotq-analyzer pki issue` writes it.
    pub bundle: Option<PathBuf>,
    /// Authorities whose analyzers are trusted. `None`: the bundle's, else the system's.
    pub ca: Option<PathBuf>,
    /// Certificate chain. `None`: the bundle's, if there is one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// A token that is shown instead of a certificate.
    pub token: Option<PathBuf>,
}

/// What is needed to connect; read from [`TlsFiles`].
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// `Bearer …`.
    authorization: Option<String>,
}

/// Why the files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsFilesError {
    /// Not there, or not for us.
    #[error("{} not read", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everybody on this host could use it.
    #[error("{} can be read by every user of this host: `chmod o-rwx {}`", .path.display(), .path.display())]
    Open {
        /// Which.
        path: PathBuf,
    },
    /// No PEM.
    #[error("{} is no PEM file of certificates and keys", .path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Something is not in there.
    #[error("{} has no {what}", .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate without key or the other way round.
    #[error("--tls-cert and --tls-key belong together")]
    Half,
    /// Certificate and key do not fit, or the like.
    #[error("certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl TlsFiles {
    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read, is readable by everybody though it holds a secret, or is not what it should be.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFilesError> {
        let mut roots = RootCertStore::empty();
        match files.ca.as_ref().or(files.bundle.as_ref()) {
            Some(path) => {
                let mut certificates = read_certificates(path)?;
                // The first of a bundle is the client's own.
                if files.ca.is_none() && certificates.len() > 1 {
                    certificates.remove(0);
                }
                for certificate in certificates {
                    roots.add(certificate).map_err(TlsFilesError::Unusable)?;
                }
            }
            None => {
                // Those that are damaged are left out, as by other programs.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsFilesError::Unusable)?
            .with_root_certificates(roots);
        let own = match (&files.cert, &files.key, &files.bundle) {
            (Some(cert), Some(key), _) => Some((cert, key)),
            (None, None, Some(bundle)) => Some((bundle, bundle)),
            (None, None, None) => None,
            _ => return Err(TlsFilesError::Half),
        };
        let mut config = match own {
            Some((cert, key)) => {
                let mut chain = read_certificates(cert)?;
                if files.cert.is_none() {
                    chain.truncate(1);
                }
                builder.with_client_auth_cert(chain, read_key(key)?).map_err(TlsFilesError::Unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let authorization = files.token.as_deref().map(read_token).transpose()?;
        Ok(Self { config: Arc::new(config), authorization })
    }

    /// Shakes hands with who should be `host`.
    ///
    /// # Errors
    /// If there is no agreement: among others if the other end's certificate is for
    /// another name, has expired, or is of an authority that we do not trust.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// The value of the header `authorization`, if a token is to be shown.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

/// Secrets are not shown.
impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("has_token", &self.authorization.is_some()).finish_non_exhaustive()
    }
}

/// What the text of a TLS error means for people; `None`: it says enough itself.
#[must_use]
pub fn advice(error: &str) -> Option<&'static str> {
    // As rustls prints alerts and errors.
    let known = [
        ("CertificateExpired", "the certificate has expired: have another issued (`iotq-analyzer pki issue`)"),
        ("invalid peer certificate: Expired", "the analyzer's certificate has expired, or this host's clock is wrong"),
        (
            "NotValidForName",
            "the analyzer's certificate is not for this name: use one it was issued for, or `iotq-analyzer pki issue server NAME`",
        ),
        (
            "not valid for name",
            "the analyzer's certificate is not for this name: use one it was issued for, or `iotq-analyzer pki issue server NAME`",
        ),
        (
            "UnknownIssuer",
            "the analyzer's certificate is of no authority that is trusted here: --tls FILE or --tls-ca FILE says which is",
        ),
        (
            "UnknownCA",
            "the analyzer does not know the authority of this certificate: was it issued by this analyzer's `pki issue`?",
        ),
        (
            "DecryptError",
            "the analyzer does not accept this certificate: was it issued by this analyzer's `pki issue`?",
        ),
        ("InvalidContentType", "there is no TLS at this address: http:// instead of https://?"),
        ("corrupt message", "there is no TLS at this address: http:// instead of https://?"),
        ("NoApplicationProtocol", "something else is at this address: is it the analyzer's gRPC port?"),
        // What a TLS server's alert looks like to HTTP/2.
        ("frame with invalid size", "there seems to be TLS at this address: https:// and --tls FILE?"),
        ("CertificateRequired", "the analyzer wants a certificate: --tls FILE"),
    ];
    known.into_iter().find(|(text, _)| error.contains(text)).map(|(_, advice)| advice)
}

/// Reads all certificates of a PEM file; there is at least one.
///
/// # Errors
/// If it cannot be read or has none.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFilesError> {
    let octets = fs::read(path).map_err(|source| TlsFilesError::Read { path: path.to_owned(), source })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let certificates = certificates.map_err(|source| TlsFilesError::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(TlsFilesError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

/// Reads the private key in a PEM file that others cannot read.
///
/// # Errors
/// If it cannot be read, everybody can, or it has none.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFilesError> {
    match PrivateKeyDer::from_pem_slice(&read_secret(path)?) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(TlsFilesError::Missing { path: path.to_owned(), what: "private key" }),
        Err(source) => Err(TlsFilesError::Pem { path: path.to_owned(), source }),
    }
}

fn read_token(path: &Path) -> Result<String, TlsFilesError> {
    let text = String::from_utf8(read_secret(path)?).unwrap_or_default();
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(TlsFilesError::Missing { path: path.to_owned(), what: "token" });
    }
    Ok(format!("Bearer {token}"))
}

fn read_secret(path: &Path) -> Result<Vec<u8>, TlsFilesError> {
    let failed = |source| TlsFilesError::Read { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    // A group is who administers the program; others are everybody.
    if mode & 0o007 != 0 {
        return Err(TlsFilesError::Open { path: path.to_owned() });
    }
    fs::read(path).map_err(failed)
}
