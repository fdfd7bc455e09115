//! Answers about names, hellos, silence and time, counted as tshark's are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use iotq_tests::oracle::{Hello, Oracle, Question, Silence};
use serde_json::Value;

use crate::ip;

/// Questions as often as each was asked, and the addresses in the answers of DNS.
pub(crate) fn questions(rows: &[Value]) -> (BTreeMap<Question, u64>, BTreeSet<(String, IpAddr)>) {
    let (mut questions, mut answers) = (BTreeMap::new(), BTreeSet::new());
    for row in rows {
        let word = |field: &str| row[field].as_str().unwrap().to_owned();
        let qname = unescaped(&word("qname"));
        let key = (ip(&row["client_ip"]), ip(&row["server_ip"]), qname, word("qtype"), word("kind"));
        *questions.entry(key).or_default() += 1;
        if row["kind"] == "dns" {
            let told = row["answers"].as_array().into_iter().flatten();
            answers.extend(told.filter_map(|answer| Some((word("qname"), answer.as_str()?.parse().ok()?))));
        }
    }
    (questions, answers)
}

/// A name as tshark writes it: octets that RFC 4343, section 2.1, escapes as `\DDD` are
/// themselves there.
fn unescaped(name: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        (rest, _) = match (first, code) {
            (b'\\', Some(code)) => (&after[3..], octets.push(code)),
            (b'\\', None) => (after, ()),
            (octet, _) => (after, octets.push(*octet)),
        };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Hellos as often as each was said.
pub(crate) fn hellos(rows: &[Value]) -> BTreeMap<Hello, u64> {
    let mut found = BTreeMap::new();
    for row in rows {
        let word = |field: &str| row[field].as_str().map(str::to_owned);
        let key = (
            ip(&row["client_ip"]),
            ip(&row["server_ip"]),
            u16::try_from(row["server_port"].as_u64().unwrap()).unwrap(),
            word("transport").unwrap(),
            word("version").unwrap(),
            word("sni"),
            row["alpn"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect(),
            word("ja4"),
        );
        *found.entry(key).or_default() += 1;
    }
    found
}

/// TCP only; tshark was not asked for datagrams without an answer.
pub(crate) fn silence(rows: &[Value]) -> BTreeMap<(IpAddr, IpAddr, u16), Silence> {
    let of = |row: &Value, field: &str| row[field].as_u64().unwrap();
    let tcp = rows.iter().filter(|row| row["protocol"] == "tcp");
    tcp.map(|row| {
        let port = u16::try_from(of(row, "peer_port")).unwrap();
        let silence = Silence { attempts: of(row, "attempts"), syns: of(row, "syns"), refused: of(row, "refused") };
        ((ip(&row["orig_ip"]), ip(&row["peer_ip"]), port), silence)
    })
    .collect()
}

/// Requests to each time server.
pub(crate) fn time_servers(rows: &[Value]) -> BTreeMap<IpAddr, u64> {
    let mut found = BTreeMap::new();
    for row in rows {
        *found.entry(ip(&row["server_ip"])).or_default() += row["requests"].as_u64().unwrap();
    }
    found
}

/// Devices that gave DHCP a name and are not known by it.
pub(crate) fn unnamed(rows: &[Value], oracle: &Oracle) -> Vec<String> {
    let names = |mac: &String| {
        let row = rows.iter().find(|row| row["mac"] == **mac);
        let name = row.filter(|row| row["name_source"] == "dhcp").and_then(|row| row["name"].as_str());
        name.map(str::to_lowercase)
    };
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
    let hosts = oracle.dhcp_hosts.iter().map(|(mac, hosts)| (mac, lower(hosts), names(mac)));
    let wrong = hosts.filter(|(_, hosts, found)| found.as_ref().is_none_or(|found| !hosts.contains(found)));
    wrong.map(|(mac, hosts, found)| format!("{mac} is called {found:?}, tshark says {hosts:?}")).collect()
}
