//! Who may connect: a certificate authority of the analyzer's own, its certificates
//! and tokens, and the record of what was issued and revoked.
//!
//! A certificate says what it is for in a URI of its subject alternative name,
//! `urn:iotq:ROLE:NAME`. Files are readable by their owner only.

pub mod command;
mod records;

use std::{
    fs, io,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iotq_proto::{CollectorId, InvalidCollectorId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;

pub use self::records::{Kind, Record, Records, RecordsError, token_hash};

/// What somebody may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Role {
    /// Send batches, under its own name.
    Collector,
    /// Ask.
    Reader,
    /// Ask, and name devices.
    Admin,
    /// Be the analyzer.
    Server,
}

impl Role {
    /// As in certificates and on the command line.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Reader => "reader",
            Self::Admin => "admin",
            Self::Server => "server",
        }
    }

    /// From the label.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        [Self::Collector, Self::Reader, Self::Admin, Self::Server].into_iter().find(|role| role.label() == label)
    }
}

/// Why the authority did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// There is one.
    #[error("{} has a certificate authority already: nothing was changed", .0.display())]
    Exists(PathBuf),
    /// There is none.
    #[error("no certificate authority in {}: `iotq-analyzer pki init --host NAME` makes one", .0.display())]
    Absent(PathBuf),
    /// The file is there.
    #[error("{} is there already: nothing was written; -o FILE writes another", .0.display())]
    FileExists(PathBuf),
    /// Not to be read or written.
    #[error("{} not {what}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What should have been done.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name would not fit.
    #[error("`{name}` cannot be a name here")]
    Name {
        /// As typed.
        name: String,
        /// Why.
        #[source]
        source: InvalidCollectorId,
    },
    /// No host was named.
    #[error("a server's certificate needs the names or addresses it is reached by")]
    NoHost,
    /// Nothing is called so.
    #[error("nothing valid was issued as `{0}`: `iotq-analyzer pki list` shows what was")]
    Unknown(String),
    /// Certificates could not be made.
    #[error("certificate not made")]
    Certificate(#[from] rcgen::Error),
    /// The record.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The system gives none.
    #[error("no random numbers")]
    Random(#[source] rand::rand_core::OsError),
    /// The directory is not known.
    #[error("no home directory: say --data-dir DIR")]
    NoDataDir,
}

/// The folder of the authority.
#[derive(Clone, Debug)]
pub struct Pki {
    dir: PathBuf,
}

/// What was issued, to be given to whom it is for.
#[derive(Debug)]
pub struct Issued {
    /// Its record.
    pub record: Record,
    /// PEM of certificate, key and authority; or the token.
    pub secret: String,
}

impl Pki {
    /// The authority in this folder, whether it is there or not.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.ca_cert().exists()
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The analyzer's certificate.
    #[must_use]
    pub fn server_cert(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// Its key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    /// What was issued and revoked.
    #[must_use]
    pub fn records_path(&self) -> PathBuf {
        self.dir.join("issued.tsv")
    }

    /// Makes an authority and a certificate for an analyzer that is reached as `hosts`.
    ///
    /// # Errors
    /// If there is one, or it cannot be written.
    pub fn init(&self, hosts: &[String], days: u32) -> Result<Record, PkiError> {
        if self.is_there() {
            return Err(PkiError::Exists(self.dir.clone()));
        }
        if hosts.is_empty() {
            return Err(PkiError::NoHost);
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|source| PkiError::File { path: self.dir.clone(), what: "made", source })?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // With a number, so that two authorities are not taken for one.
        params.distinguished_name = named(&format!("iotq authority {}", hex(&random::<4>()?)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(CA_DAYS);
        params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
        let certificate = params.self_signed(&key)?;
        // The certificate last: with it the authority is there.
        write_secret(&self.dir.join("ca.key"), &key.serialize_pem())?;
        Records::default().save(&self.records_path())?;
        write_secret(&self.ca_cert(), &certificate.pem())?;
        self.issue_server(hosts, days)
    }

    /// Issues a certificate for a client.
    ///
    /// # Errors
    /// If the name will not do, or there is no authority.
    pub fn issue(&self, role: Role, name: &str, days: u32) -> Result<Issued, PkiError> {
        let name = checked(name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = format!("urn:iotq:{}:{name}", role.label());
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        let (record, certificate, key) = self.sign(params, role, &name, days)?;
        let ca = read(&self.ca_cert())?;
        Ok(Issued { record, secret: format!("{certificate}{key}{ca}") })
    }

    /// Issues a token for a client.
    ///
    /// # Errors
    /// If the name will not do, or there is no authority.
    pub fn issue_token(&self, role: Role, name: &str, days: u32) -> Result<Issued, PkiError> {
        let name = checked(name)?;
        let mut records = self.records()?;
        let (token, serial) = (format!("iotq_{}", hex(&random::<32>()?)), hex(&random::<16>()?));
        let record = Record::new(Kind::Token(token_hash(&token)), role, &name, &serial, now_secs(), days);
        records.add(record.clone());
        records.save(&self.records_path())?;
        Ok(Issued { record, secret: format!("{token}\n") })
    }

    /// Issues the analyzer's own certificate, instead of the one there is.
    ///
    /// # Errors
    /// If there is no authority, or it cannot be written.
    pub fn issue_server(&self, hosts: &[String], days: u32) -> Result<Record, PkiError> {
        let first = hosts.first().ok_or(PkiError::NoHost)?;
        let mut hosts: Vec<String> = hosts.to_vec();
        // Whoever is on the same host.
        for own in ["localhost", "127.0.0.1", "::1"] {
            if !hosts.iter().any(|host| host == own) {
                hosts.push(own.to_owned());
            }
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = named(first);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for host in &hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(host.as_str().try_into()?),
            });
        }
        let (record, certificate, key) = self.sign(params, Role::Server, first, days)?;
        write_secret(&self.server_key(), &key)?;
        write_secret(&self.server_cert(), &certificate)?;
        Ok(record)
    }

    /// Revokes what was issued as `what`, a name or a serial number.
    ///
    /// # Errors
    /// If nothing valid was.
    pub fn revoke(&self, what: &str) -> Result<Vec<Record>, PkiError> {
        let mut records = self.records()?;
        let revoked = records.revoke(what, now_secs());
        if revoked.is_empty() {
            return Err(PkiError::Unknown(what.to_owned()));
        }
        records.save(&self.records_path())?;
        Ok(revoked)
    }

    /// All that was issued.
    ///
    /// # Errors
    /// If there is no authority.
    pub fn records(&self) -> Result<Records, PkiError> {
        if !self.is_there() {
            return Err(PkiError::Absent(self.dir.clone()));
        }
        Ok(Records::load(&self.records_path())?)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        role: Role,
        name: &str,
        days: u32,
    ) -> Result<(Record, String, String), PkiError> {
        let mut records = self.records()?;
        let ca_key = KeyPair::from_pem(&read(&self.dir.join("ca.key"))?)?;
        let issuer = Issuer::from_ca_cert_pem(&read(&self.ca_cert())?, ca_key)?;
        let mut serial = random::<16>()?;
        // A serial number is positive (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(days);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let record = Record::new(Kind::Certificate, role, name, &hex(&serial), now_secs(), days);
        records.add(record.clone());
        records.save(&self.records_path())?;
        Ok((record, certificate.pem(), key.serialize_pem()))
    }
}

/// Names are those of collectors, whoever has them.
fn checked(name: &str) -> Result<String, PkiError> {
    let parsed: Result<CollectorId, _> = name.parse();
    let id = parsed.map_err(|source| PkiError::Name { name: name.chars().take(100).collect(), source })?;
    Ok(id.as_str().to_owned())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From an hour ago, as clocks differ.
fn validity(days: u32) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::from(SystemTime::now());
    (now - Duration::from_secs(3600), now + Duration::from_secs(u64::from(days) * 86_400))
}

fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    use rand::TryRngCore as _;
    let mut octets = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut octets).map_err(PkiError::Random)?;
    Ok(octets)
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { path: path.to_owned(), what: "read", source })
}

/// Replaces a file as a whole; nobody else can read it.
fn write_secret(path: &Path, text: &str) -> Result<(), PkiError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| PkiError::File { path: path.to_owned(), what: "written", source })
}

/// Ten years: the authority is made anew with everything it issued.
const CA_DAYS: u32 = 3650;
/// What browsers allow at most, a little over two years.
pub const DEFAULT_DAYS: u32 = 825;
