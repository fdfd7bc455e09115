use iotq_proto::TlsTransport;
use proptest::prelude::*;

use super::*;
use crate::names::{
    ja4::{Fingerprints, fingerprint},
    made::{self, Hello},
};

fn ja4(hello: &Hello, transport: TlsTransport) -> String {
    fingerprint(transport, &read_client_hello(&hello.body()).expect("a hello"))
}

fn with(extensions: &[(u16, Vec<u8>)]) -> Hello {
    Hello { extensions: extensions.to_vec(), ciphers: vec![0x1301], ..Hello::of_chrome("") }
}

#[test]
fn a_client_hello_is_read() {
    let made = Hello::of_chrome("Device.Example.COM");
    let body = made.body();
    let hello = read_client_hello(&body).unwrap();
    assert_eq!(hello.version(), 0x0304);
    assert_eq!(hello.server_name(), Some(&b"Device.Example.COM"[..]));
    assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert!(!hello.has_ech());

    let row = row(&made::datagram(true, 5), TlsTransport::Tcp, &hello, &mut Fingerprints::default());
    assert_eq!((row.sni.as_str(), row.version, row.seen_at_ns), ("device.example.com", 0x0304, 5));
    assert_eq!((row.client_port, row.server_port, row.vlan_id), (49_152, 443, 0xffff));
    assert_eq!(row.client_mac, 0x0000_5e00_5301);
    assert_eq!(row.client_ip.last(), Some(&10));
}

#[test]
fn ja4_as_described_by_its_authors() {
    let chrome = Hello::of_chrome("example.com");
    assert_eq!(ja4(&chrome, TlsTransport::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(ja4(&chrome, TlsTransport::Quic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
    // "If there are no signature algorithms [...] the string ends without an underscore".
    let mut without = chrome.clone();
    for (code, data) in &mut without.extensions {
        if *code == SIGNATURE_ALGORITHMS {
            data.clear();
        }
    }
    assert_eq!(ja4(&without, TlsTransport::Tcp), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

#[test]
fn ja4_of_hellos_without() {
    let bare = Hello { version: 0x0301, ciphers: vec![], extensions: vec![], ..Hello::of_chrome("") };
    assert_eq!(ja4(&bare, TlsTransport::Tcp), "t10i000000_000000000000_000000000000");
    // Names and protocols alone leave an empty list, which has no hash.
    let named = Hello { version: 0x0301, ciphers: vec![0x0a0a], ..with(&[(0, made::sni(b"a"))]) };
    assert_eq!(ja4(&named, TlsTransport::Tcp), "t10d000100_000000000000_000000000000");
    let many = Hello { ciphers: (0..200).collect(), ..with(&[]) };
    assert!(ja4(&many, TlsTransport::Tcp).starts_with("t12i990000_"));
    let unknown = Hello { version: 0x03ff, ..with(&[]) };
    assert!(ja4(&unknown, TlsTransport::Tcp).starts_with("t00i"));
}

#[test]
fn ja4_takes_ends_of_the_first_protocol() {
    for (name, ends) in [
        (&b"h2"[..], "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        (b"", "00"),
        // The description's own examples.
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
    ] {
        let hello = with(&[(ALPN, made::alpn(&[name]))]);
        assert_eq!(&ja4(&hello, TlsTransport::Tcp)[8..10], ends, "{name:02x?}");
    }
    let grease_first = with(&[(ALPN, made::alpn(&[&[0x2a, 0x2a], b"h2"]))]);
    assert_eq!(&ja4(&grease_first, TlsTransport::Tcp)[8..10], "h2");
}

#[test]
fn the_highest_version_offered_counts() {
    let offering = |versions: &[u16]| {
        let hello = with(&[(SUPPORTED_VERSIONS, made::vec8(&made::words(versions)))]);
        read_client_hello(&hello.body()).unwrap().version()
    };
    assert_eq!(offering(&[0x0303, 0x0304]), 0x0304);
    assert_eq!(offering(&[0xfafa, 0x0303]), 0x0303);
    // Drafts of TLS 1.3 are numbers above all versions.
    assert_eq!(offering(&[0x7f1c, 0x0303]), 0x0303);
    assert_eq!(offering(&[0x7f1c, 0x7f17]), 0x7f1c);
    assert_eq!(offering(&[0xfefd, 0xfefc]), 0xfefc);
    assert_eq!(offering(&[0x0a0a]), 0x0303);
}

#[test]
fn names_that_cannot_be_read_are_left_out() {
    let name_of = |data: Vec<u8>| {
        let hello = with(&[(SERVER_NAME, data)]);
        let body = hello.body();
        let read = read_client_hello(&body).unwrap();
        (read.server_name().map(<[u8]>::to_vec), ja4(&hello, TlsTransport::Tcp).starts_with("t12d"))
    };
    assert_eq!(name_of(made::sni(b"a.example")), (Some(b"a.example".to_vec()), true));
    assert_eq!(name_of(made::sni(&[b'a'; 256])), (None, true));
    assert_eq!(name_of(vec![0, 9, 0]), (None, true));
    assert_eq!(name_of(vec![]), (None, true));
    // Another type of name first (RFC 6066, section 3).
    let two = made::vec16(&[&[1, 0, 1, b'x'][..], &[0, 0, 1, b'y']].concat());
    assert_eq!(name_of(two), (Some(b"y".to_vec()), true));

    assert_eq!(learned(TlsTransport::Tcp, Some(b"192.0.2.1")).server_name, "");
    assert_eq!(learned(TlsTransport::Tcp, Some(b"A.example.")).server_name, "a.example");
}

#[test]
fn ech_is_seen() {
    let hello = with(&[(ENCRYPTED_CLIENT_HELLO, vec![0])]);
    assert!(read_client_hello(&hello.body()).unwrap().has_ech());
}

#[test]
fn a_server_hello_is_read() {
    let message = made::server_hello(0x0304, 0x1302, None, [1; 32]);
    let hello = read_server_hello(&message[4..]).unwrap();
    assert_eq!((hello.version, hello.cipher, hello.alpn, hello.is_retry), (0x0304, 0x1302, &b""[..], false));
    let message = made::server_hello(0x0303, 0xc02f, Some(b"h2"), [1; 32]);
    let hello = read_server_hello(&message[4..]).unwrap();
    assert_eq!((hello.version, hello.cipher, hello.alpn), (0x0303, 0xc02f, &b"h2"[..]));
    let message = made::server_hello(0x0304, 0x1302, None, HELLO_RETRY_REQUEST);
    assert!(read_server_hello(&message[4..]).unwrap().is_retry);
}

#[test]
fn a_hello_is_exact() {
    let body = Hello::of_chrome("example.com").body();
    // Old hellos end after the compression methods.
    let old = Hello { extensions: vec![], ..Hello::of_chrome("") }.body();
    for cut in 0..body.len() {
        assert_eq!(read_client_hello(&body[..cut]).is_some(), cut == old.len(), "{cut}");
    }
    assert_eq!(read_client_hello(&[&body[..], &[0]].concat()), None);
}

#[test]
fn a_cut_hello_may_still_have_its_name() {
    let body = Hello::of_chrome("device.example.com").body();
    let name_ends = body.windows(18).position(|window| window == b"device.example.com").unwrap() + 18;
    for cut in 0..body.len() {
        let name = server_name_of_cut_hello(&body[..cut]);
        assert_eq!(name, (cut >= name_ends).then_some(&b"device.example.com"[..]), "{cut}");
    }
}

proptest! {
    #[test]
    fn anything_can_be_read(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        for form in [Form::Tls, Form::Dtls] {
            if let Some(hello) = read_client_hello_of(form, &octets) {
                let _ = row(&made::datagram(true, 0), TlsTransport::Tcp, &hello, &mut Fingerprints::default());
            }
        }
        let _ = read_server_hello(&octets);
        let _ = server_name_of_cut_hello(&octets);
    }

    #[test]
    fn damage_is_no_panic(at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut body = Hello::of_chrome("device.example.com").body();
        let at = at.index(body.len());
        body[at] = octet;
        if let Some(hello) = read_client_hello(&body) {
            let row = row(&made::datagram(true, 0), TlsTransport::Tcp, &hello, &mut Fingerprints::default());
            prop_assert_eq!(row.ja4.len(), 36);
            prop_assert!(row.sni.len() <= iotq_proto::MAX_NAME_TEXT);
        }
        let _ = server_name_of_cut_hello(&body);
    }

    #[test]
    fn a_built_hello_is_read_back(
        ciphers in prop::collection::vec(any::<u16>(), 0..120),
        extensions in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..20)), 0..120),
    ) {
        let made = Hello { ciphers: ciphers.clone(), extensions: extensions.clone(), ..Hello::of_chrome("") };
        let body = made.body();
        let hello = read_client_hello(&body).unwrap();
        prop_assert_eq!(pairs(hello.ciphers).collect::<Vec<_>>(), ciphers);
        let read: Vec<_> = hello.extensions().map(|extension| (extension.code, extension.data.to_vec())).collect();
        prop_assert_eq!(read, extensions);
        prop_assert_eq!(ja4(&made, TlsTransport::Tcp).len(), 36);
    }
}
