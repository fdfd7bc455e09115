//! Hellos in every shared capture, against what tshark found in it.
//!
//! As a multiset of who said what to whom: client, server, port, transport, name,
//! version, protocols, ECH and JA4; and what servers chose. Where we differ on purpose, [`REASONS`] says
//! so; a reason that no longer applies fails too.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
    path::{Path, PathBuf},
};

use iotq_collector::{
    capture::file::{FileInput, FileReader, OpenFileError},
    names::Names,
};
use iotq_proto::{TlsTransport, v1};
use serde_json::Value;

/// File, what is too much (`+`) or missing (`-`), why.
const REASONS: &[(&str, &str, &str)] = &[];

#[test]
fn hellos_are_those_that_tshark_found() {
    let Some(captures) = captures() else { return };
    let mut rows = 0;
    let mut differences = Vec::new();
    let mut reasons: Vec<_> = REASONS.to_vec();
    for entry in std::fs::read_dir(captures.join("oracle")).expect("the oracle can be listed") {
        let path = entry.expect("the oracle can be listed").path();
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let name = path.file_stem().expect("NAME.json").to_str().expect("UTF-8").to_owned();
        let mut balance = BTreeMap::<String, i64>::new();
        let (hellos, chosen) = hellos_in(&captures.join(&name));
        for hello in hellos {
            *balance.entry(line(&hello)).or_default() += 1;
            rows += 1;
        }
        let mut chosen_in_oracle = BTreeSet::new();
        for hello in oracle["tls"].as_array().expect("a list") {
            *balance.entry(line_of_oracle(hello)).or_default() -= 1;
            chosen_in_oracle.extend(chosen_of_oracle(hello));
        }
        for line in chosen {
            *balance.entry(line).or_default() += 1;
        }
        for line in chosen_in_oracle {
            *balance.entry(line).or_default() -= 1;
        }
        for (line, count) in balance {
            let difference = match count {
                0 => continue,
                1.. => format!("+{count} {line}"),
                _ => format!("{count} {line}"),
            };
            let given = reasons.iter().position(|(file, about, _)| *file == name && *about == difference);
            match given {
                Some(index) => drop(reasons.swap_remove(index)),
                None => differences.push(format!("{name}: {difference}")),
            }
        }
    }
    assert!(differences.is_empty(), "of {rows}:\n{}", differences.join("\n"));
    assert!(reasons.is_empty(), "these reasons are not needed: {reasons:?}");
    assert!(rows > 400, "only {rows} hellos");
}

/// Where the captures are; `None`, with a message, if they are not here.
fn captures() -> Option<PathBuf> {
    let path = std::env::var_os("IOTQ_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no captures in {}", path.display());
    eprintln!("skipped: no captures in {} (set IOTQ_CAPTURES)", path.display());
    None
}

/// Clients' hellos, and lines of what servers chose.
fn hellos_in(path: &Path) -> (Vec<v1::TlsHello>, BTreeSet<String>) {
    let mut reader = match FileReader::open(&FileInput::from(path)) {
        Ok(reader) => reader,
        // The only other format there is.
        Err(OpenFileError::Format { .. }) if path.extension().is_some_and(|extension| extension == "snoop") => {
            return Default::default();
        }
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let mut names = Names::new();
    let mut batch = v1::Batch::default();
    let mut chosen = BTreeSet::new();
    // Damage at a file's end is another test's affair.
    while let Ok(Some(chunk)) = reader.read_chunk(1000) {
        for picked in &chunk.picked {
            let packet = &chunk.packets[picked.packet as usize];
            let payload = &chunk.octets[picked.begin as usize..picked.end as usize];
            if let Some(learned) = names.observe(packet, payload).filter(|learned| learned.tls_version != 0) {
                let key = &packet.key;
                let (a, b) = ((key.a_ip, key.a_port), (key.b_ip, key.b_port));
                let (server, client) = if packet.from_a { (a, b) } else { (b, a) };
                chosen.insert(format!(
                    "{} {} < {} {} {} {:#06x}",
                    address(&client.0),
                    client.1,
                    address(&server.0),
                    server.1,
                    version(learned.tls_version.into()),
                    learned.tls_cipher,
                ));
            }
            names.move_into(&mut batch);
        }
    }
    (batch.tls_hellos, chosen)
}

fn line(hello: &v1::TlsHello) -> String {
    let transport = match hello.transport() {
        TlsTransport::Quic => "quic",
        TlsTransport::Tcp => "tcp",
        TlsTransport::Udp | TlsTransport::Unspecified => "udp",
    };
    let version = version(hello.version);
    format!(
        "{} {} > {} {} {transport} {:?} {version} {:?} ech:{} {}",
        address(&hello.client_ip),
        hello.client_port,
        address(&hello.server_ip),
        hello.server_port,
        hello.sni,
        hello.alpn,
        hello.ech,
        hello.ja4,
    )
}

fn version(code: u32) -> String {
    match code {
        0x0301..=0x0304 => format!("1.{}", code - 0x0301),
        other => format!("{other:04x}"),
    }
}

/// What the server chose, which of QUIC is not read.
fn chosen_of_oracle(hello: &Value) -> Option<String> {
    let text = |field: &str| hello[field].as_str();
    let (version, cipher) = text("negotiated").zip(text("cipher")).filter(|_| text("kind") != Some("quic"))?;
    let (client, server) = text("client").zip(text("server"))?;
    Some(format!("{client} {} < {server} {} {version} {cipher}", hello["cport"], hello["port"]))
}

fn line_of_oracle(hello: &Value) -> String {
    let text = |field: &str| hello[field].as_str().unwrap_or_default();
    let alpn: Vec<&str> = hello["alpn"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let transport = if text("kind") == "quic" { "quic" } else { "tcp" };
    format!(
        "{} {} > {} {} {transport} {:?} {} {alpn:?} ech:{} {}",
        text("client"),
        hello["cport"],
        text("server"),
        hello["port"],
        text("sni"),
        text("version"),
        hello["ech"],
        text("ja4"),
    )
}

fn address(octets: &[u8]) -> String {
    let octets: [u8; 16] = octets.try_into().expect("16 octets");
    Ipv6Addr::from(octets).to_canonical().to_string()
}
