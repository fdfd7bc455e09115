//! Asks the embedded store itself, so that no answer of ours hides a doubled row.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;

/// A running engine, and what it takes to be let in.
#[derive(Debug)]
pub(super) struct Sql {
    port: u16,
    header: String,
    password: String,
}

impl Sql {
    /// Reads what the analyzer wrote for its engine.
    pub(super) fn of(data_dir: &Path) -> Result<Self> {
        let read = |name: &str| fs::read_to_string(data_dir.join("engine").join(name)).context("engine's files");
        let (config, users) = (read("config.xml")?, read("users.xml")?);
        let header = between(&config, "<X-Iotq-Key>", "</X-Iotq-Key>").context("no key")?;
        let user = between(&users, "<iotq>", "</iotq>").context("no user")?;
        Ok(Self {
            port: between(&config, "<http_port>", "</http_port>").context("no port")?.parse()?,
            header: header.to_owned(),
            password: between(user, "<password>", "</password>").context("no password")?.to_owned(),
        })
    }

    /// The rows of an answer.
    pub(super) fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        let body = format!("{sql}\nFORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        // HTTP/1.0: the answer ends with the connection.
        write!(
            stream,
            "POST /?database=iotq HTTP/1.0\r\nX-Iotq-Key: {}\r\nX-ClickHouse-User: iotq\r\nX-ClickHouse-Key: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.header,
            self.password,
            body.len()
        )?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (head, rows) = response.split_once("\r\n\r\n").context("no HTTP")?;
        ensure!(head.lines().next().is_some_and(|line| line.contains(" 200 ")), "{sql}: {response}");
        rows.lines().map(|row| serde_json::from_str(row).with_context(|| format!("{sql}: {row}"))).collect()
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}
