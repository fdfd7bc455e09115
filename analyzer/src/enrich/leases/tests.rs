//! Files as the servers' pages describe them, written by hand.

use proptest::prelude::*;

use super::*;

fn leases(content: &str) -> Vec<String> {
    parse(content).unwrap().leases.iter().map(shown).collect()
}

/// `MAC address name [groups] end`, `-` for what is not known.
fn shown(lease: &Lease) -> String {
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let end = lease.ends_at_ns.map(|ns| (ns / 1_000_000_000).to_string());
    let (mac, ip) = (lease.mac.map(|mac| mac.to_string()), lease.ip.map(|ip| ip.to_string()));
    format!("{} {} {} {:?} {}", or(mac), or(ip), lease.name, lease.groups, or(end))
}

const ISC: &str = r#"# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
server-duid "\000\001\000\001 \"\303\274";

lease 192.0.2.10 {
  starts 4 2026/01/01 03:04:05;
  ends 5 2026/01/02 03:04:05;
  cltt 4 2026/01/01 03:04:05;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 00:00:5e:00:53:01;
  uid "\001\000\000^\000S\001";
  set vendor-class-identifier = "a; } b";
  client-hostname "old";
}
lease 192.0.2.10 {
  ends epoch 1767400000; # Sat Jan 3 00:26:40 2026
  binding state active;
  hardware ethernet 00:00:5e:00:53:01;
  client-hostname "K\303\274che \"1\"";
}
lease 192.0.2.11 {
  ends never;
  binding state free;
  hardware ethernet 00:00:5e:00:53:02;
  client-hostname "gone";
}
lease 192.0.2.12 { binding state active; hardware ethernet 00:00:5e:00:53:03; }
group {
  host plug {
    dynamic;
    hardware ethernet 00:00:5e:00:53:04;
    fixed-address plug.example.com, 192.0.2.20;
  }
  host lamp { hardware ethernet 00:00:5e:00:53:05; option host-name "Lamp"; }
  host away { dynamic; deleted; hardware ethernet 00:00:5e:00:53:06; }
}
lease 192.0.2.13 {
  hardware ethernet 00:00:5e:00:53:07;
  client-hostname "cut
"#;

#[test]
fn isc_leases_and_hosts_are_read() {
    assert_eq!(
        leases(ISC),
        [
            "00:00:5e:00:53:01 192.0.2.10 Küche \"1\" [] 1767400000",
            "00:00:5e:00:53:02 - gone [] -",
            "00:00:5e:00:53:04 192.0.2.20 plug [] -",
            "00:00:5e:00:53:05 - Lamp [] -",
        ]
    );
    let imported = parse(ISC).unwrap();
    assert_eq!(imported.format, ImportFormat::Isc);
    assert_eq!(imported.skipped, ["line 29: it has no name", "line 39: the block does not end"]);
    let first = "lease 192.0.2.1 {\n ends 5 2026/01/02 03:04:05;\n hardware ethernet 00:00:5e:00:53:01;\n client-hostname \"a\";\n}";
    assert_eq!(leases(first), ["00:00:5e:00:53:01 192.0.2.1 a [] 1767323045"]);
}

#[test]
fn kea_leases_are_read_by_their_header() {
    let v4 = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n\
        192.0.2.10,00:00:5e:00:53:01,01:00,3600,1767400000,1,0,0,old.example.com.,0,,0\n\
        192.0.2.10,00:00:5e:00:53:01,01:00,3600,1767403600,1,0,0,kitchen&#x2c lamp,0,{ \"a\": 1&#x2c \"b\": 2 },0\n\
        192.0.2.11,00:00:5e:00:53:02,,3600,1767400000,1,0,0,expired,2,,0\n\
        192.0.2.12,,,3600,1767400000,1,0,0,,1,,0\n\
        192.0.2.13,00:00:5e:00:53:03,,0,1767400000,1,0,0,deleted,0,,0\n\
        nonsense\n";
    assert_eq!(
        leases(v4),
        [
            "00:00:5e:00:53:01 192.0.2.10 kitchen, lamp [] 1767403600",
            "00:00:5e:00:53:02 - expired [] 1767400000",
            "00:00:5e:00:53:03 - deleted [] 1767400000",
        ]
    );
    assert_eq!(parse(v4).unwrap().format, ImportFormat::Kea);
    assert_eq!(parse(v4).unwrap().skipped.len(), 2);
    let v6 = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\n\
        2001:db8::1,00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01,3600,1767400000,1,1800,0,1,128,0,0,lamp,,0,,,,0\n\
        2001:db8:1::,00:03:00:01:00:00:5e:00:53:02,3600,1767400000,1,1800,2,1,56,0,0,router,,0,,,,0\n\
        2001:db8::3,00:02:00:00,3600,1767400000,1,1800,0,1,128,0,0,other,,0,,,,0\n";
    assert_eq!(
        leases(v6),
        [
            "00:00:5e:00:53:01 2001:db8::1 lamp [] 1767400000",
            "00:00:5e:00:53:02 - router [] 1767400000",
            "- 2001:db8::3 other [] 1767400000",
        ]
    );
}

#[test]
fn dnsmasq_leases_are_read_with_their_ipv6_part() {
    let content = "1767400000 00:00:5e:00:53:01 192.0.2.10 lamp 01:00:00:5e:00:53:01\n\
        0 00:00:5e:00:53:02 192.0.2.11 plug *\n\
        1767400000 00:00:5e:00:53:03 192.0.2.12 * *\n\
        1767400000 06-00:00:5e 192.0.2.13 radio *\n\
        bad line\n\
        duid 00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:ff\n\
        1767400000 123 2001:db8::5 tv 00:03:00:01:00:00:5e:00:53:05\n";
    assert_eq!(
        leases(content),
        [
            "00:00:5e:00:53:01 192.0.2.10 lamp [] 1767400000",
            "00:00:5e:00:53:02 192.0.2.11 plug [] -",
            "- 192.0.2.13 radio [] 1767400000",
            "00:00:5e:00:53:05 2001:db8::5 tv [] 1767400000",
        ]
    );
    let imported = parse(content).unwrap();
    assert_eq!(imported.format, ImportFormat::Dnsmasq);
    assert_eq!(imported.skipped, ["line 3: it has no name", "line 5: it has no four words"]);
}

#[test]
fn pfsense_static_mappings_are_read() {
    let content = r#"<?xml version="1.0"?>
<pfsense>
  <version>23.3</version>
  <dhcpd>
    <lan>
      <enable/>
      <staticmap>
        <mac>00:00:5e:00:53:01</mac>
        <ipaddr>192.0.2.10</ipaddr>
        <hostname>lamp</hostname>
        <descr><![CDATA[Lamp & more]]></descr>
      </staticmap>
      <staticmap><mac>00:00:5e:00:53:02</mac><hostname/><descr><![CDATA[Plug & co]]></descr></staticmap>
      <staticmap><mac>00:00:5e:00:53:03</mac></staticmap>
    </lan>
  </dhcpd>
  <dhcpdv6><lan><staticmap><duid>00:03:00:01:00:00:5e:00:53:04</duid><ipaddrv6>2001:db8::4</ipaddrv6>
    <hostname>tv</hostname></staticmap></lan></dhcpdv6>
</pfsense>"#;
    assert_eq!(
        leases(content),
        [
            "00:00:5e:00:53:01 192.0.2.10 lamp [] -",
            "00:00:5e:00:53:02 - Plug & co [] -",
            "00:00:5e:00:53:04 2001:db8::4 tv [] -",
        ]
    );
    assert_eq!(parse(content).unwrap().skipped, ["line 14: it has no name"]);
}

#[test]
fn xml_bombs_are_refused() {
    let entities =
        r#"<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><pfsense>&b;</pfsense>"#;
    assert!(parse(entities).unwrap_err().to_string().starts_with("no pfSense config.xml: "));
    let deep = format!("<pfsense>{}", "<a>".repeat(1_000_000));
    assert!(parse(&deep).unwrap_err().to_string().contains("elements in elements"));
    assert!(parse("<html></html>").unwrap_err().to_string().contains("neither <pfsense> nor"));
}

#[test]
fn tables_with_and_without_header_are_read() {
    let header = "Name,IP Address,MAC,Groups\n\"Lamp, big\",192.0.2.10,00-00-5E-00-53-01,iot; light\n,192.0.2.11,,iot\nx,oops,,\n";
    assert_eq!(
        leases(header),
        [r#"00:00:5e:00:53:01 192.0.2.10 Lamp, big ["iot", "light"] -"#, r#"- 192.0.2.11  ["iot"] -"#]
    );
    assert_eq!(parse(header).unwrap().skipped, ["line 4: `oops` is no address"]);
    let plain = "# mine\n00:00:5e:00:53:01, Kindle, mobile; kids # hers\n192.0.2.7\tNAS\n2001:db8::1,,iot\n";
    assert_eq!(
        leases(plain),
        [r#"00:00:5e:00:53:01 - Kindle ["mobile", "kids"] -"#, "- 192.0.2.7 NAS [] -", r#"- 2001:db8::1  ["iot"] -"#,]
    );
}

#[test]
fn who_has_the_address_now_is_who_had_it_last() {
    let content = "mac,ip,name\n00:00:5e:00:53:01,192.0.2.1,a\n00:00:5e:00:53:02,192.0.2.1,b\n00:00:5e:00:53:01,192.0.2.3,c\n00:00:5e:00:53:03,192.0.2.1,d\n";
    assert_eq!(
        leases(content),
        ["00:00:5e:00:53:01 192.0.2.3 c [] -", "00:00:5e:00:53:02 - b [] -", "00:00:5e:00:53:03 192.0.2.1 d [] -"]
    );
}

#[test]
fn a_file_that_names_nobody_is_an_error() {
    for (content, what) in [
        ("", "nothing in it names a device (read as CSV of MAC, address, name, groups)"),
        ("hello world\n", ": line 1: `hello world` is no MAC or address"),
        ("lease 192.0.2.1 { }\n", "read as ISC dhcpd.leases): line 1: it has no name"),
        ("address,hwaddr,expire\n", "no Kea lease file: it has no column `hostname`"),
        ("lease 192.0.2.1 {\n}\n}\n", "no ISC dhcpd.leases: line 3: `}` without `{`"),
    ] {
        let error = parse(content).unwrap_err().to_string();
        assert!(error.contains(what), "{content:?}: {error}");
    }
}

#[test]
fn no_more_is_skipped_than_anybody_reads() {
    let content = "x\n".repeat(1000) + "192.0.2.1,a\n";
    assert_eq!(parse(&content).unwrap().skipped.len(), MAX_SKIPPED);
}

proptest! {
    #[test]
    fn no_content_panics(begin in prop::sample::select(vec!["", "lease ", "<pfsense>", "address,hwaddr,hostname\n", "1 1 1.1.1.1 a\n"]),
                         rest in "([ -~\u{e4}\n\\\\\"{};<>&#,]{0,60}){0,4}") {
        let _ = parse(&format!("{begin}{rest}"));
    }

    #[test]
    fn a_cut_file_does_not_panic(cut in 0_usize..1500) {
        if let Some(content) = ISC.get(..cut) {
            let _ = parse(content);
        }
    }

    #[test]
    fn no_damaged_xml_panics(at in 0_usize..120, with in "[<>&;/\"'!a\u{e4}]{0,3}") {
        let sound = "<pfsense><dhcpd><lan><staticmap><mac>00:00:5e:00:53:01</mac><hostname>a</hostname></staticmap></lan></dhcpd></pfsense>";
        if let (Some(before), Some(after)) = (sound.get(..at), sound.get(at..)) {
            let _ = parse(&format!("{before}{with}{after}"));
        }
    }
}
