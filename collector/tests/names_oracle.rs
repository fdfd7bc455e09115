//! What every shared capture names, against what tshark says about it.
//!
//! `oracle/NAME.json` beside the captures holds tshark's answers. Where we differ
//! on purpose, [`REASONS`] says so; a reason that no longer applies fails too.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use iotq_collector::{
    capture::file::{FileInput, FileReader, OpenFileError},
    chunk::Aims,
    window::Window,
};
use iotq_proto::{DnsKind, MacAddr, RecordType, SightingKind, address_from_octets, address_of_version, v1};
use serde_json::Value;

/// File, what differs, why.
const REASONS: &[(&str, &str, &str)] = &[
    ("ipv6-fragments-mdns.pcap", "questions", FRAGMENTS),
    ("ipv6-fragments-mdns.pcap", "mDNS host names", FRAGMENTS),
    ("ipv6-fragments-mdns.pcap", "mDNS services", FRAGMENTS),
    (
        "tunnels-gre.pcap",
        "questions",
        "the questions are inside GRE (RFC 2784): the outermost IP header says who talks to whom, and what a tunnel \
         carries is not looked at",
    ),
];

/// Of other types tshark's answers hold a part.
const IN_FULL: [&str; 5] = ["A", "AAAA", "CNAME", "NS", "PTR"];

const FRAGMENTS: &str = "a message in IP fragments (RFC 8200, section 4.5) is read as far as the first one has it; tshark \
                         was told to put fragments together";

#[test]
fn shared_captures_name_what_tshark_names() {
    let Some(captures) = captures() else { return };
    let mut files = 0;
    let mut differences = Vec::new();
    let mut reasons: Vec<_> = REASONS.to_vec();
    let mut said = BTreeMap::<&str, usize>::new();
    for entry in std::fs::read_dir(captures.join("oracle")).expect("the oracle can be listed") {
        let path = entry.expect("the oracle can be listed").path();
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let name = path.file_stem().expect("NAME.json").to_str().expect("UTF-8").to_owned();
        let Some(batches) = batches_of(&captures.join(&name)) else { continue };
        files += 1;
        for (what, ours, tsharks) in compared(&batches, &oracle) {
            *said.entry(what).or_default() += tsharks.values().sum::<usize>();
            if ours == tsharks {
                continue;
            }
            let given = REASONS.iter().any(|(file, about, _)| *file == name && *about == what);
            reasons.retain(|(file, about, _)| *file != name || *about != what);
            if !given {
                differences.push(format!("{name}: {what}: {}", difference(&ours, &tsharks)));
            }
        }
    }
    assert!(files > 40, "only {files} captures in {}", captures.display());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(reasons.is_empty(), "these reasons are not needed: {reasons:?}");
    // Not all captures have everything, but together they have.
    assert!(said.values().all(|count| *count > 0), "{said:?}");
    println!("compared: {said:?}");
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

/// `None`: it is in a format that we do not read.
fn batches_of(path: &Path) -> Option<Vec<v1::Batch>> {
    let mut reader = match FileReader::open(&FileInput::from(path)) {
        Ok(reader) => reader,
        Err(OpenFileError::Format { .. }) => return None,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let mut window = Window::new(Aims::default());
    let mut batches = Vec::new();
    // A damaged file is read up to the damage, by tshark too.
    while let Ok(Some(chunk)) = reader.read_chunk(1000) {
        window.add(&chunk, &mut batches);
    }
    batches.extend(window.finish());
    Some(batches)
}

/// How often something was said.
type Counts = BTreeMap<String, usize>;

fn difference(ours: &Counts, tsharks: &Counts) -> String {
    let less = |one: &Counts, other: &Counts| -> Vec<String> {
        let rest = |(what, count): (&String, &usize)| (what.clone(), count - other.get(what).unwrap_or(&0).min(count));
        one.iter().map(rest).filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} ×{count}")).collect()
    };
    format!("\n  only ours: {:?}\n  only tshark's: {:?}", less(ours, tsharks), less(tsharks, ours))
}

fn compared(batches: &[v1::Batch], oracle: &Value) -> Vec<(&'static str, Counts, Counts)> {
    let shown = |kind| ours_shown(batches, kind);
    vec![
        ("questions", ours_questions(batches), tsharks_questions(oracle)),
        ("answers", ours_answers(batches), tsharks_answers(oracle)),
        ("time requests", ours_time_requests(batches), tsharks_time_requests(oracle)),
        ("DHCP host names", shown(SightingKind::DhcpHostName), tsharks_dhcp_hosts(oracle)),
        ("DHCP vendor classes", shown(SightingKind::DhcpVendorClass), tsharks_vendor_classes(oracle)),
        ("DHCP leases", ours_leases(batches), tsharks_leases(oracle)),
        ("mDNS host names", ours_mdns_hosts(batches), tsharks_mdns_hosts(oracle)),
        ("mDNS services", ours_mdns_services(batches), tsharks_mdns_services(oracle)),
    ]
}

fn count(things: impl IntoIterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}

fn each(things: impl IntoIterator<Item = String>) -> Counts {
    things.into_iter().collect::<BTreeSet<_>>().into_iter().map(|thing| (thing, 1)).collect()
}

fn transactions(batches: &[v1::Batch]) -> impl Iterator<Item = &v1::DnsTransaction> {
    batches.iter().flat_map(|batch| &batch.dns)
}

fn ip(octets: &[u8], version: u32) -> IpAddr {
    address_of_version(octets, version).expect("16 octets")
}

fn kind_of(dns: &v1::DnsTransaction) -> &'static str {
    match (dns.kind(), dns.protocol) {
        (DnsKind::Dns, 6) => "dns-tcp",
        (kind, _) => kind.label(),
    }
}

fn ours_questions(batches: &[v1::Batch]) -> Counts {
    count(transactions(batches).filter(|dns| dns.question_seen).map(|dns| {
        let [client, server] = [&dns.client_ip, &dns.server_ip].map(|octets| ip(octets, dns.ip_version));
        let qtype = RecordType(u16::try_from(dns.qtype).expect("16 bits"));
        format!("{} {client} > {server} {} {qtype}", kind_of(dns), dns.qname)
    }))
}

fn tsharks_questions(oracle: &Value) -> Counts {
    count(elements(&oracle["dns_questions"]).map(|question| {
        let [client, server] = [&question[1], &question[2]].map(|ip| text(ip).parse::<IpAddr>().expect("an address"));
        let [name, qtype, kind] = [3, 4, 5].map(|at| text(&question[at]));
        format!("{kind} {client} > {server} {} {qtype}", escaped(name))
    }))
}

/// With the addresses and names told.
fn ours_answers(batches: &[v1::Batch]) -> Counts {
    count(transactions(batches).filter_map(|dns| {
        let rcode = dns.rcode?;
        let client = ip(&dns.client_ip, dns.ip_version);
        let server = server_of(kind_of(dns), &ip(&dns.server_ip, dns.ip_version).to_string());
        let record_type = |code: u32| RecordType(u16::try_from(code).expect("16 bits")).to_string();
        let records: Vec<_> = dns
            .answers
            .iter()
            .map(|record| (record_type(record.r#type), record))
            .filter(|(rtype, _)| IN_FULL.contains(&rtype.as_str()))
            .map(|(rtype, record)| format!("{} {rtype} {} {}", record.name, record.data, record.ttl_secs))
            .collect();
        let qtype = record_type(dns.qtype);
        Some(format!("{} {client} > {server} {} {qtype}: {rcode} {records:?}", kind_of(dns), dns.qname))
    }))
}

fn tsharks_answers(oracle: &Value) -> Counts {
    let responses = elements(&oracle["dns_responses"]).filter(|response| response["kind"] != "mdns");
    count(responses.flat_map(|response| {
        let [client, server, kind] = ["client", "server", "kind"].map(|field| text(&response[field]));
        let server = server_of(kind, server);
        let rcode = response["rcode"].as_u64().expect("a number");
        let is_answer = |record: &&Value| record[0] == "an" && IN_FULL.contains(&text(&record[2]));
        let records: Vec<_> = elements(&response["rr"])
            .filter(is_answer)
            .map(|record| {
                let [name, rtype, data] = [1, 2, 3].map(|at| text(&record[at]));
                format!("{} {rtype} {} {}", escaped(name), escaped(data), record[4])
            })
            .collect();
        elements(&response["q"])
            .map(move |question| {
                let (name, qtype) = (escaped(text(&question[0])), text(&question[1]));
                format!("{kind} {client} > {server} {name} {qtype}: {rcode} {records:?}")
            })
            .collect::<Vec<_>>()
    }))
}

/// LLMNR is asked of all and answered by one.
fn server_of(kind: &str, server: &str) -> String {
    if kind == "llmnr" { "all".to_owned() } else { server.to_owned() }
}

fn ours_time_requests(batches: &[v1::Batch]) -> Counts {
    let mut counts = Counts::new();
    for request in batches.iter().flat_map(|batch| &batch.time_requests) {
        let [client, server] = [&request.client_ip, &request.server_ip].map(|octets| ip(octets, request.ip_version));
        *counts.entry(format!("{client} > {server}")).or_default() += 1;
        if request.replied_at_ns.is_some() {
            *counts.entry(format!("{server} > {client}")).or_default() += 1;
        }
    }
    counts
}

/// Requests and replies.
fn tsharks_time_requests(oracle: &Value) -> Counts {
    let said = elements(&oracle["ntp"]["client"]).chain(elements(&oracle["ntp"]["server"]));
    said.map(|entry| {
        let count = entry[2].as_u64().and_then(|count| usize::try_from(count).ok()).expect("a number");
        (format!("{} > {}", text(&entry[0]), text(&entry[1])), count)
    })
    .collect()
}

fn sightings(batches: &[v1::Batch], kind: SightingKind) -> impl Iterator<Item = &v1::Sighting> {
    batches.iter().flat_map(|batch| &batch.sightings).filter(move |sighting| sighting.kind() == kind)
}

fn mac(sighting: &v1::Sighting) -> MacAddr {
    MacAddr::from_u64(sighting.mac).expect("48 bits")
}

fn ours_shown(batches: &[v1::Batch], kind: SightingKind) -> Counts {
    each(sightings(batches, kind).map(|sighting| format!("{} {}", mac(sighting), sighting.text)))
}

fn ours_leases(batches: &[v1::Batch]) -> Counts {
    let leases = sightings(batches, SightingKind::DhcpLease).filter(|lease| lease.ip.starts_with(&[0; 10]));
    each(leases.map(|lease| format!("{} {}", mac(lease), address_from_octets(&lease.ip).expect("an address"))))
}

fn tsharks_dhcp_hosts(oracle: &Value) -> Counts {
    let of_v4 = members(&oracle["dhcp_hosts"])
        .flat_map(|(mac, names)| elements(names).map(move |name| format!("{mac} {}", text(name))));
    let with_name = elements(&oracle["dhcpv6"]).filter(|message| !message["fqdn"].is_null());
    each(of_v4.chain(with_name.map(|message| format!("{} {}", text(&message["lladdr"]), text(&message["fqdn"])))))
}

fn tsharks_vendor_classes(oracle: &Value) -> Counts {
    let said = elements(&oracle["dhcp"]).filter(|message| message["op"] == 1 && !message["vendor"].is_null());
    each(said.map(|message| format!("{} {}", text(&message["mac"]), text(&message["vendor"]))))
}

fn tsharks_leases(oracle: &Value) -> Counts {
    let acks = elements(&oracle["dhcp"]).filter(|message| message["msg"] == 5 && message["yiaddr"] != "0.0.0.0");
    each(acks.map(|message| format!("{} {}", text(&message["mac"]), text(&message["yiaddr"]))))
}

fn ours_mdns_hosts(batches: &[v1::Batch]) -> Counts {
    each(sightings(batches, SightingKind::MdnsHostName).map(|sighting| {
        let ip = address_from_octets(&sighting.ip).expect("an address");
        format!("{ip} {}.local", sighting.text.to_lowercase())
    }))
}

fn tsharks_mdns_hosts(oracle: &Value) -> Counts {
    each(
        members(&oracle["mdns_addr"])
            .flat_map(|(ip, names)| elements(names).map(move |name| format!("{ip} {}", text(name)))),
    )
}

fn ours_mdns_services(batches: &[v1::Batch]) -> Counts {
    each(sightings(batches, SightingKind::MdnsService).map(|sighting| format!("{}.local", sighting.text)))
}

/// Of all names that have records.
fn tsharks_mdns_services(oracle: &Value) -> Counts {
    let is_instance =
        |name: &&str| !name.starts_with('_') && (name.contains("._tcp.local") || name.contains("._udp.local"));
    each(elements(&oracle["mdns_names"]).map(text).filter(is_instance).map(str::to_owned))
}

/// As we write names.
fn escaped(name: &str) -> String {
    if name == "<Root>" {
        return ".".to_owned();
    }
    name.bytes()
        .map(|octet| match octet {
            b' '..=b'~' => char::from(octet.to_ascii_lowercase()).to_string(),
            _ => format!("\\{octet:03}"),
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().expect("an object").iter()
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array").iter()
}
