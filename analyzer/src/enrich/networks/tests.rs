//! Tables in the formats of others, by hand: what they say is found again.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::enrich::about::About;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("table");
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn table(content: impl AsRef<[u8]>, kind: Kind) -> Result<Table, String> {
    read(&Folder::new().file(content), kind).map_err(|error| error.to_string())
}

fn asn(content: &str, ip: &str) -> Option<(u32, String)> {
    let networks = Networks::new(Some(table(content, Kind::Asn).unwrap()), None);
    networks.lookup(ip.parse().unwrap()).map(|found| (found.asn, found.as_name.to_owned()))
}

fn country(content: &str, ip: &str) -> Option<String> {
    let networks = Networks::new(None, Some(table(content, Kind::Country).unwrap()));
    networks.lookup(ip.parse().unwrap()).and_then(|found| found.country.map(str::to_owned))
}

fn found(number: u32, name: &str) -> Option<(u32, String)> {
    Some((number, name.to_owned()))
}

#[test]
fn ip_location_db_is_read() {
    let text = "1.0.0.0,1.0.0.255,64496,\"Example, Inc.\"\n1.0.4.0,1.0.7.255,64497,Other\n\
                2a00::,2a00:0:ffff:ffff:ffff:ffff:ffff:ffff,64498,Six\n";
    assert_eq!(asn(text, "1.0.0.255"), found(64496, "Example, Inc."));
    assert_eq!(asn(text, "1.0.1.0"), None);
    assert_eq!(asn(text, "::ffff:1.0.4.1"), found(64497, "Other"));
    assert_eq!(asn(text, "2a00::1"), found(64498, "Six"));
    assert_eq!(
        country("1.0.0.0,1.0.0.255,AU\n2a00::,2a00::ff,fr\n1.1.0.0,1.1.0.1,ZZ", "2a00::1").as_deref(),
        Some("FR")
    );
}

#[test]
fn iptoasn_is_read_for_both() {
    let text = "1.0.0.0\t1.0.0.255\t64496\tUS\tEXAMPLE - Example, Inc.\n1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n";
    assert_eq!(asn(text, "1.0.0.1"), found(64496, "EXAMPLE - Example, Inc."));
    assert_eq!(asn(text, "1.0.1.1"), None);
    assert_eq!(country(text, "1.0.0.1").as_deref(), Some("US"));
    assert_eq!(country(text, "1.0.1.1"), None);
}

#[test]
fn numbers_and_headers_are_read() {
    assert_eq!(country("# tor\n16777216,16777471,AU\n", "1.0.0.9").as_deref(), Some("AU"));
    let v6 = "42540528726795050063891204319802818560,42540528806023212578155541913346768895,JP\n";
    assert_eq!(country(v6, "2001:200::1").as_deref(), Some("JP"));
    let lite = "network,country,country_code,continent,continent_code,asn,as_name,as_domain\n\
                1.0.0.0/24,Australia,AU,Oceania,OC,AS64496,\"Example, Inc.\",example.com\n1.0.4.7,,,,,,,\n";
    assert_eq!(country(lite, "1.0.0.1").as_deref(), Some("AU"));
    assert!(table(lite, Kind::Asn).unwrap_err().contains("line 3: `` is no AS number"));
    let blocks = "network,autonomous_system_number,autonomous_system_organization\n1.0.0.0/24,64496,Example\n";
    assert_eq!(asn(blocks, "1.0.0.1"), found(64496, "Example"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, what) in [
        ("", "has no asn for any network"),
        ("hello\n", "line 1: neither a row of addresses nor a header"),
        ("1.0.0.0,1.0.0.255,64496,a\n1.0.2.0,1.0.1.0,64496,a\n", "line 2: the range 1.0.2.0 to 1.0.1.0 ends before"),
        ("1.0.0.0,1.0.0.255,64496,a\n\n1.0.2.0,1.0.2.x,64496,a\n", "line 3: `1.0.2.x` is no address"),
        ("1.0.0.0,2a00::,64496,a\n", "half IPv4, half IPv6"),
        ("1.0.0.0,1.0.0.255,AU\n", "line 1: the table has no AS numbers"),
        ("1.0.0.0,1.0.0.255,\n", "line 1: the table has no AS numbers"),
        ("1.0.0.0,1.0.0.255,64496,a\n1.0.1.0,1.0.1.255,99999999999,a\n", "line 2: `99999999999` is no AS number"),
        ("\0\0\0\0 no database", "neither a table in text nor a database in MaxMind's format"),
    ] {
        let error = table(text, Kind::Asn).unwrap_err();
        assert!(error.contains(what), "{text:?}: {error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let text = "# source: example\n# licence: CC0-1.0\n# date: 2026-01-02\n1.0.0.0,1.0.0.255,64496,\"A, \"\"B\"\"\"\n\
                1.0.0.128,1.0.0.131,64497,\n2a00::,2a00::ffff,64498,x\n";
    let table = table(text, Kind::Asn).unwrap();
    assert_eq!(
        *table.about(),
        About { source: "example".into(), licence: "CC0-1.0".into(), date: "2026-01-02".into(), note: String::new() }
    );
    let folder = Folder::new();
    let path = folder.0.path().join("asn.csv.zst");
    write(&table, &path).unwrap();
    let again = read(&path, Kind::Asn).unwrap();
    assert_eq!(again.about(), table.about());
    assert!(again.iter().eq(table.iter()));
    assert_eq!(again.len(), 4);
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_copy_is_not_loaded() {
    let table = table("1.0.0.0,1.0.0.255,64496,a\n1.0.2.0,1.0.2.255,64497,b\n", Kind::Asn).unwrap();
    let folder = Folder::new();
    let path = folder.0.path().join("asn.csv.zst");
    write(&table, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        assert!(read(&folder.file(bytes.get(..cut).unwrap()), Kind::Asn).is_err(), "cut at {cut}");
    }
}

#[test]
fn special_use_is_in_no_network() {
    let text = "0.0.0.0,255.255.255.255,AU\n::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,AU\n";
    for ip in ["192.168.1.1", "100.64.0.1", "224.0.0.251", "fd00::1", "ff02::1", "2001:db8::1"] {
        assert_eq!(country(text, ip), None, "{ip}");
    }
    assert_eq!(country(text, "1.1.1.1").as_deref(), Some("AU"));
}

/// A database of one node: what is in its left half, 0.0.0.0/1.
fn mmdb(record: &[u8], left: u8) -> Vec<u8> {
    let mut file = vec![0, 0, left, 0, 0, 1];
    file.extend([0; 16]);
    file.extend(record);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    // MaxMind DB File Format Specification 2.0, "Database Metadata"; types 7 (map), 2 (text), 6 and 5 (numbers).
    file.push(0xe9);
    for (key, value) in [
        ("node_count", vec![0xc1, 1]),
        ("record_size", vec![0xa1, 24]),
        ("ip_version", vec![0xa1, 4]),
        ("binary_format_major_version", vec![0xa1, 2]),
        ("binary_format_minor_version", vec![0xa1, 0]),
        ("build_epoch", vec![4, 2, 0x69, 0x57, 0x09, 0x00]),
        ("database_type", text("Example-ASN")),
        // No entries: a map, and an array (extended type 11).
        ("description", vec![0xe0]),
        ("languages", vec![0, 4]),
    ] {
        file.extend(text(key));
        file.extend(value);
    }
    file
}

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let mut field = if length < 29 { vec![0x40 + length] } else { vec![0x5d, length - 29] };
    field.extend(text.bytes());
    field
}

fn record(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut record = vec![0xe0 + u8::try_from(fields.len()).unwrap()];
    for (key, value) in fields {
        record.extend(text(key));
        record.extend(value);
    }
    record
}

#[test]
fn databases_of_all_makers_are_read() {
    let number = vec![0xc2, 0xfb, 0xf0];
    let makers = [
        record(&[("autonomous_system_number", number), ("autonomous_system_organization", text("Example"))]),
        record(&[("asn", text("AS64496")), ("as_name", text("Example")), ("country_code", text("AU"))]),
    ];
    for maker in &makers {
        let table = read(&Folder::new().file(mmdb(maker, 1 + 16)), Kind::Asn).unwrap();
        assert_eq!(table.about().date, "2026-01-01");
        assert_eq!(table.about().source, "Example-ASN");
        let networks = Networks::new(Some(table), None);
        let seen = networks.lookup("1.1.1.1".parse().unwrap()).unwrap();
        assert_eq!(seen, Network { asn: 64496, as_name: "Example", country: None });
        assert_eq!(networks.lookup("129.1.1.1".parse().unwrap()), None);
    }
    let countries = [
        record(&[("country", record(&[("iso_code", text("AU"))]))]),
        record(&[("country", text("AU"))]),
        record(&[("country", text("Australia")), ("country_code", text("AU"))]),
    ];
    for maker in &countries {
        let table = read(&Folder::new().file(mmdb(maker, 1 + 16)), Kind::Country).unwrap();
        assert_eq!(table.iter().next().unwrap().3, "AU");
    }
}

#[test]
fn lookups_are_quick() {
    let rows: String = (0..200_000_u32)
        .map(|at| {
            let first = 0x0100_0000 + at * 512;
            format!("{first},{},{},name {at}\n", first + 255, 1 + at)
        })
        .collect();
    let networks = Networks::new(Some(table(rows, Kind::Asn).unwrap()), None);
    let begin = std::time::Instant::now();
    let hits = (0..100_000_u32).filter(|at| {
        let ip = std::net::Ipv4Addr::from(0x0100_0000 + at.wrapping_mul(977) % 100_000_000);
        networks.lookup(ip.into()).is_some()
    });
    assert!(hits.count() > 40_000);
    // Some 20 ms unoptimised; a search in order would take minutes.
    assert!(begin.elapsed().as_secs() < 5);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = table(&bytes, Kind::Asn);
    }

    #[test]
    fn no_text_panics(text in "([0-9a-f.:,\t\"]{0,40}\n){0,5}") {
        let _ = table(&text, Kind::Asn);
        let _ = table(&text, Kind::Country);
    }

    #[test]
    fn no_damaged_database_panics(at in 0_usize..300, bit in 0_u8..8, cut in 0_usize..300) {
        let sound = record(&[("asn", text("AS64496")), ("country", record(&[("iso_code", text("AU"))]))]);
        let mut bytes = mmdb(&sound, 1 + 16);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
        let _ = table(&bytes, Kind::Asn);
        bytes.truncate(cut);
        let _ = table(&bytes, Kind::Country);
    }
}
