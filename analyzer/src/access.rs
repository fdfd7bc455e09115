//! Who may do what: from the certificate or token that somebody shows.
//!
//! Decided for each call, so that what was revoked ends at once; open streams of
//! collectors ask again and again.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use iotq_proto::{
    error::Chain,
    tls::{TlsFilesError, read_certificates, read_key},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::pki::{Kind, Pki, Record, Records, Role, token_hash};

/// Where certificates are.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// Our own authority's.
    Pki(Pki),
    /// Somebody else's.
    Files {
        /// Authorities of clients.
        ca: PathBuf,
        /// Our chain.
        cert: PathBuf,
        /// Our key.
        key: PathBuf,
    },
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file of certificates.
    #[error(transparent)]
    Files(#[from] TlsFilesError),
    /// The record of the authority.
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
    /// The authorities of clients.
    #[error("{} cannot be used as authority of clients", .path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// Certificate and key.
    #[error("the analyzer's certificate and key cannot be used")]
    Server(#[source] rustls::Error),
    /// Not X.509.
    #[error("{} has no certificate that we can read", .0.display())]
    Unreadable(PathBuf),
}

/// Checks who asks. Without a source everybody may do everything.
#[derive(Debug)]
pub struct Access {
    source: Option<TlsSource>,
    state: RwLock<Arc<State>>,
}

/// What is needed to shake hands.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For HTTP/2.
    pub grpc: Arc<ServerConfig>,
    /// For HTTP/1.1.
    pub http: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Tls {
    /// What a chain of certificates says, of which the other end has the key.
    #[must_use]
    pub fn shown(&self, chain: Option<&[CertificateDer<'_>]>) -> Shown {
        let Some((certificate, intermediates)) = chain.and_then(<[_]>::split_first) else { return Shown::Nothing };
        let verified = self.verifier.verify_client_cert(certificate, intermediates, UnixTime::now());
        match (verified, identity_of(certificate)) {
            (Ok(_), Some(identity)) => Shown::Certificate(identity),
            (Ok(_), None) => Shown::Worthless("cannot be read".to_owned()),
            (Err(error), _) => Shown::Worthless(worthless(&error)),
        }
    }
}

fn worthless(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "is of an authority that this analyzer does not know: was it issued by its `pki issue`?".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "has expired: have another issued (`iotq-analyzer pki issue`)".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "is not valid yet: is a clock wrong?".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => "is not for a client".to_owned(),
        other => format!("is not accepted: {other}"),
    }
}

/// Lets every certificate pass whose key the other end has, so that who shows a
/// worthless one can be told why: an alert of TLS 1.3 comes when the client has
/// gone on already, and mostly is lost. [`Tls::shown`] decides what it is worth.
#[derive(Debug)]
struct Later(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Later {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[derive(Debug, Default)]
struct State {
    tls: Option<Tls>,
    server_expires_at: Option<i64>,
    revoked: HashSet<String>,
    tokens: HashMap<String, Record>,
    /// When the files were changed last.
    changed_at: Option<SystemTime>,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// What it showed.
    pub shown: Shown,
}

/// What somebody showed when connecting.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Nothing, and nothing is asked for: plain text where that is allowed.
    Unasked,
    /// TLS, but no certificate. There may be a token.
    Nothing,
    /// A certificate that is worth nothing, and why.
    Worthless(String),
    /// A certificate of an authority that we trust.
    Certificate(Identity),
}

/// What a certificate or token says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// What it allows. `None`: it says nothing that we understand.
    pub role: Option<Role>,
    /// Whom.
    pub name: String,
    /// Hexadecimal.
    pub serial: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// Who makes a call; `None`: somebody who is not asked.
#[derive(Clone, Debug)]
pub struct Caller(pub Option<Identity>);

impl Access {
    /// Reads certificates, keys and records.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn load(source: Option<TlsSource>) -> Result<Self, AccessError> {
        let state = source.as_ref().map(State::load).transpose()?.unwrap_or_default();
        Ok(Self { source, state: RwLock::new(Arc::new(state)) })
    }

    /// How to shake hands; `None`: plain text.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        self.state().tls.clone()
    }

    /// When our own certificate ends, in seconds since 1970; `None`: there is none.
    #[must_use]
    pub fn server_expires_at(&self) -> Option<i64> {
        self.state().server_expires_at
    }

    /// Reads everything again if a file has changed. Errors leave all as it was.
    pub fn refresh(&self) {
        let Some(source) = &self.source else { return };
        if source.changed_at() == self.state().changed_at {
            return;
        }
        match State::load(source) {
            Ok(state) => {
                *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
                info!("certificates and revocations read again");
            }
            Err(error) => warn!(error = %Chain(&error), "certificates not read again, the old ones stay"),
        }
    }

    /// Looks for changed files now and then, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let mut warned_at = None::<Instant>;
        loop {
            let left = self.server_expires_at().map_or(i64::MAX, |at| at.saturating_sub(now_secs()));
            if left < WARN_BEFORE_SECS && warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
                warned_at = Some(Instant::now());
                let days = left.div_euclid(86_400);
                warn!(days, "the analyzer's certificate ends soon: `iotq-analyzer pki issue server HOST` renews it");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => self.refresh(),
            }
        }
    }

    /// Who calls, if it may do what one of these roles may.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not known who that is, `PERMISSION_DENIED` if it may not.
    pub fn check(&self, peer: &Peer, authorization: Option<&str>, allowed: &[Role]) -> Result<Caller, Status> {
        let (identity, what) = match (&peer.shown, authorization) {
            (Shown::Unasked, _) => return Ok(Caller(None)),
            (Shown::Worthless(why), _) => return Err(Status::unauthenticated(format!("the certificate {why}"))),
            (Shown::Certificate(identity), _) => (identity.clone(), "certificate"),
            (Shown::Nothing, Some(value)) => (self.of_token(value)?, "token"),
            (Shown::Nothing, None) => {
                return Err(Status::unauthenticated(
                    "it wants a certificate or a token: --tls FILE as `iotq-analyzer pki issue` writes it",
                ));
            }
        };
        self.still_valid(&identity, what)?;
        match identity.role {
            Some(role) if allowed.contains(&role) => Ok(Caller(Some(identity))),
            role => {
                let needed: Vec<_> = allowed.iter().map(|role| role.label()).collect();
                let has = role.map_or("of no role", Role::label);
                Err(Status::permission_denied(format!(
                    "the {what} of `{}` is {has}; this takes {}",
                    identity.name,
                    needed.join(" or ")
                )))
            }
        }
    }

    /// Whether it was neither revoked nor has expired meanwhile.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, with what to do.
    pub fn still_valid(&self, identity: &Identity, what: &str) -> Result<(), Status> {
        let again = "have another issued (`iotq-analyzer pki issue`)";
        if self.state().revoked.contains(&identity.serial) {
            return Err(Status::unauthenticated(format!("the {what} of `{}` was revoked: {again}", identity.name)));
        }
        if identity.expires_at <= now_secs() {
            return Err(Status::unauthenticated(format!("the {what} of `{}` has expired: {again}", identity.name)));
        }
        Ok(())
    }

    fn of_token(&self, authorization: &str) -> Result<Identity, Status> {
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        // Looked up by its hash: how long that takes says nothing about the token.
        let Some(record) = self.state().tokens.get(&token_hash(token)).cloned() else {
            return Err(Status::unauthenticated("this token was not issued here: see --token-file"));
        };
        Ok(Identity {
            role: Some(record.role),
            name: record.name,
            serial: record.serial,
            expires_at: record.expires_at,
        })
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn load(source: &TlsSource) -> Result<Self, AccessError> {
        let changed_at = source.changed_at();
        let [ca, cert, key] = source.files();
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(&ca)? {
            roots.add(certificate).map_err(AccessError::Server)?;
        }
        let chain = read_certificates(&cert)?;
        let own = chain.first().and_then(identity_of);
        let own = own.ok_or_else(|| AccessError::Unreadable(cert.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Tokens come later, if at all; who shows nothing gets an answer that says so.
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|source| AccessError::Authority { path: ca, source })?;
        let later = Arc::new(Later(Arc::clone(&verifier)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(AccessError::Server)?
            .with_client_cert_verifier(later)
            .with_single_cert(chain, read_key(&key)?)
            .map_err(AccessError::Server)?;
        let mut http = config.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.alpn_protocols = vec![b"h2".to_vec()];
        let records = match source {
            TlsSource::Pki(pki) => pki.records()?,
            TlsSource::Files { .. } => Records::default(),
        };
        let revoked = records.all().iter().filter(|it| it.revoked_at.is_some()).map(|it| it.serial.clone()).collect();
        let tokens = records.all().iter().filter_map(|record| match &record.kind {
            Kind::Token(hash) => Some((hash.clone(), record.clone())),
            Kind::Certificate => None,
        });
        Ok(Self {
            tls: Some(Tls { grpc: Arc::new(config), http: Arc::new(http), verifier }),
            server_expires_at: Some(own.expires_at),
            tokens: tokens.collect(),
            revoked,
            changed_at,
        })
    }
}

impl TlsSource {
    fn files(&self) -> [PathBuf; 3] {
        match self {
            Self::Pki(pki) => [pki.ca_cert(), pki.server_cert(), pki.server_key()],
            Self::Files { ca, cert, key } => [ca.clone(), cert.clone(), key.clone()],
        }
    }

    fn changed_at(&self) -> Option<SystemTime> {
        let mut files = self.files().to_vec();
        if let Self::Pki(pki) = self {
            files.push(pki.records_path());
        }
        files.iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok()).max()
    }
}

/// What a certificate says; `None`: it cannot be read.
#[must_use]
pub fn identity_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("urn:iotq:"),
        _ => None,
    });
    let ours = uris.filter_map(|uri| uri.split_once(':')).next();
    let common_name = || parsed.subject().iter_common_name().next()?.as_str().ok();
    Some(Identity {
        role: ours.and_then(|(role, _)| Role::of_label(role)),
        name: ours.map(|(_, name)| name).or_else(common_name).unwrap_or_default().chars().take(100).collect(),
        serial: parsed.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect(),
        expires_at: parsed.validity().not_after.timestamp(),
    })
}

/// Puts [`Caller`] into each request that may go on.
pub fn gate(
    access: Arc<Access>,
    allowed: &'static [Role],
) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |mut request| {
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let Some(peer) = request.extensions().get::<Peer>() else {
            return Err(Status::internal("who calls is not known"));
        };
        let caller = access.check(peer, authorization, allowed)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A month is enough to do something.
const WARN_BEFORE_SECS: i64 = 30 * 86_400;
const WARN_INTERVAL: Duration = Duration::from_secs(86_400);
/// What is revoked ends within this.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);
