//! `iotq-analyzer pki`: the authority's commands, and what they say.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use jiff::Timestamp;

use super::{Issued, Kind, Pki, PkiError, Record, Role};
use crate::args::{IssueArgs, PkiArgs, PkiCommand};

/// Does it.
///
/// # Errors
/// If it cannot be done.
pub fn run(args: &PkiArgs, mut out: impl Write) -> Result<(), PkiError> {
    let dir = crate::config::pki_dir(args.data_dir.as_deref()).ok_or(PkiError::NoDataDir)?;
    let pki = Pki::at(&dir);
    let text = match &args.command {
        PkiCommand::Init(init) => {
            let record = pki.init(&init.host, init.days)?;
            format!(
                "made a certificate authority in {}; the analyzer's certificate is for {} until {}\n\
                 next: `iotq-analyzer pki issue collector NAME`, and restart the analyzer with --listen 0.0.0.0:50651\n",
                dir.display(),
                init.host.join(", "),
                date(record.expires_at)
            )
        }
        PkiCommand::Issue(args) => issue(&pki, args)?,
        PkiCommand::Revoke(args) => {
            let revoked = pki.revoke(&args.what)?;
            let lines = revoked.iter().map(|it| format!("revoked {} {} ({})\n", it.role.label(), it.name, it.serial));
            lines.collect::<String>() + "a running analyzer takes notice within some seconds\n"
        }
        PkiCommand::List => list(pki.records()?.all()),
    };
    match out.write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(PkiError::File { path: "standard output".into(), what: "written", source: error })
        }
        _ => Ok(()),
    }
}

fn issue(pki: &Pki, args: &IssueArgs) -> Result<String, PkiError> {
    if args.role == Role::Server {
        let record = pki.issue_server(&args.name, args.days)?;
        return Ok(format!(
            "the analyzer's certificate is for {} until {}; a running analyzer takes it within some seconds\n",
            args.name.join(", "),
            date(record.expires_at)
        ));
    }
    let mut text = String::new();
    for name in &args.name {
        // Before anything is written: it is also the file's name.
        super::checked(name)?;
        let ending = if args.token { "token" } else { "pem" };
        let path = args.output.clone().unwrap_or_else(|| format!("{name}.{ending}").into());
        // Before anything is issued: nothing must be issued that cannot be kept.
        let mut file = create(&path)?;
        let issued = if args.token {
            pki.issue_token(args.role, name, args.days)
        } else {
            pki.issue(args.role, name, args.days)
        };
        let Issued { record, secret } = match issued {
            Ok(issued) => issued,
            Err(error) => {
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        };
        let written = file.write_all(secret.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| PkiError::File { path: path.clone(), what: "written", source })?;
        let flag = if args.token { "--token-file" } else { "--tls" };
        text += &format!(
            "{} {name} until {}: {}\ncopy it there, readable by its user only, and say {flag} FILE\n",
            args.role.label(),
            date(record.expires_at),
            path.display(),
        );
        if args.token {
            text += &format!("with --tls-ca FILE, a copy of {}\n", pki.ca_cert().display());
        }
    }
    Ok(text)
}

fn create(path: &Path) -> Result<fs::File, PkiError> {
    let opened = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => PkiError::FileExists(path.to_owned()),
        _ => PkiError::File { path: path.to_owned(), what: "written", source },
    })
}

fn list(records: &[Record]) -> String {
    let mut text = format!("{:<10} {:<24} {:<11} {:<10} {:<10} SERIAL\n", "ROLE", "NAME", "KIND", "UNTIL", "REVOKED");
    for it in records {
        let kind = if it.kind == Kind::Certificate { "certificate" } else { "token" };
        let (until, revoked) = (date(it.expires_at), it.revoked_at.map_or_else(|| "-".to_owned(), date));
        text += &format!("{:<10} {:<24} {kind:<11} {until} {revoked:<10} {}\n", it.role.label(), it.name, it.serial);
    }
    text
}

fn date(secs: i64) -> String {
    Timestamp::from_second(secs).map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}
