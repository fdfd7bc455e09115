//! Hellos made for tests.

use iotq_proto::{MacAddr, Timestamp, VlanId, v1};

use super::{found::Found, seen::Seen};
use crate::packet::{Endpoint, FlowKey, Packet, Shared};

/// A `ClientHello` to be.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    /// Of DTLS.
    pub(super) cookie: Option<Vec<u8>>,
    pub(super) ciphers: Vec<u16>,
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// What Chrome sent when `FoxIO` wrote JA4's description: its fingerprint is
    /// there as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub(super) fn of_chrome(server_name: &str) -> Self {
        let grease = 0x1a1a;
        let ciphers = [
            grease, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ];
        let codes = [
            grease, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015,
        ];
        let extensions = codes.map(|code| {
            let data = match code {
                0x0000 => sni(server_name.as_bytes()),
                0x0010 => alpn(&[b"h2", b"http/1.1"]),
                0x000d => vec16(&words(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601])),
                0x002b => vec8(&words(&[grease, 0x0304, 0x0303])),
                0x0015 => vec![0; 40],
                _ => Vec::new(),
            };
            (code, data)
        });
        Self {
            version: 0x0303,
            random: [7; 32],
            cookie: None,
            ciphers: ciphers.to_vec(),
            extensions: extensions.to_vec(),
        }
    }

    /// Without the handshake header.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = [&self.version.to_be_bytes()[..], &self.random, &[0]].concat();
        if let Some(cookie) = &self.cookie {
            body.extend(vec8(cookie));
        }
        body.extend(vec16(&words(&self.ciphers)));
        body.extend(vec8(&[0]));
        if !self.extensions.is_empty() {
            let block: Vec<u8> = self
                .extensions
                .iter()
                .flat_map(|(code, data)| [&code.to_be_bytes()[..], &vec16(data)].concat())
                .collect();
            body.extend(vec16(&block));
        }
        body
    }

    /// With the handshake header.
    pub(super) fn message(&self) -> Vec<u8> {
        message(1, &self.body())
    }
}

/// A `ServerHello`'s message that chose these.
pub(super) fn server_hello(version: u16, cipher: u16, protocol: Option<&[u8]>, random: [u8; 32]) -> Vec<u8> {
    let mut block = Vec::new();
    if version == 0x0304 {
        block.extend([&[0, 0x2b][..], &vec16(&version.to_be_bytes())].concat());
    }
    if let Some(protocol) = protocol {
        block.extend([&[0, 0x10][..], &vec16(&alpn(&[protocol]))].concat());
    }
    let legacy = version.min(0x0303).to_be_bytes();
    let body = [&legacy[..], &random, &[0], &cipher.to_be_bytes(), &[0], &vec16(&block)].concat();
    message(2, &body)
}

/// A handshake message.
pub(super) fn message(message_type: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[message_type][..], &length[1..], body].concat()
}

/// A message in TLS records, cut at these places.
pub(super) fn records(message: &[u8], cuts: &[usize]) -> Vec<u8> {
    pieces(message, cuts).into_iter().flat_map(|(_, piece)| [&[22, 3, 1][..], &vec16(piece)].concat()).collect()
}

/// The pieces between these places, each with its offset; none is empty.
pub(super) fn pieces<'a>(whole: &'a [u8], cuts: &[usize]) -> Vec<(usize, &'a [u8])> {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut % whole.len()).chain([whole.len()]).filter(|end| *end > 0).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut from = 0;
    ends.into_iter()
        .map(|end| {
            let piece = (from, &whole[from..end]);
            from = end;
            piece
        })
        .collect()
}

pub(super) fn sni(name: &[u8]) -> Vec<u8> {
    vec16(&[&[0][..], &vec16(name)].concat())
}

pub(super) fn alpn(names: &[&[u8]]) -> Vec<u8> {
    vec16(&names.iter().flat_map(|name| vec8(name)).collect::<Vec<u8>>())
}

pub(super) fn words(codes: &[u16]) -> Vec<u8> {
    codes.iter().flat_map(|code| code.to_be_bytes()).collect()
}

pub(super) fn vec8(inside: &[u8]) -> Vec<u8> {
    [&[u8::try_from(inside.len()).unwrap()][..], inside].concat()
}

pub(super) fn vec16(inside: &[u8]) -> Vec<u8> {
    [&u16::try_from(inside.len()).unwrap().to_be_bytes()[..], inside].concat()
}

/// A packet between 192.0.2.10:49152 and 198.51.100.7:`server_port`.
pub(super) fn packet(protocol: u8, server_port: u16, from_client: bool, at_ns: i64) -> Packet {
    let end = |last: u8, port, mac: &str| Endpoint {
        ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last],
        port,
        mac: mac.parse::<MacAddr>().unwrap(),
    };
    let client = end(10, 49_152, "00:00:5e:00:53:01");
    let server = end(7, server_port, "00:00:5e:00:53:02");
    let (src, dst) = if from_client { (client, server) } else { (server, client) };
    let shared = Shared { vlan: VlanId::UNTAGGED, protocol, ip_version: 4, has_ports: true };
    let (key, from_a) = FlowKey::between(src, dst, shared);
    Packet {
        captured_at: Timestamp::from_nanos(at_ns).unwrap(),
        key,
        from_a,
        wire_bytes: 0,
        payload_bytes: 0,
        tcp_flags: Packet::NO_TCP_FLAGS,
        tcp_seq: 0,
        tcp_ack: 0,
    }
}

/// The same, as readers of datagrams see it.
pub(super) fn datagram(from_client: bool, at_ns: i64) -> Seen {
    Seen::from(&packet(17, 443, from_client, at_ns))
}

/// The hellos that were found.
pub(super) fn hellos(found: &mut Found) -> Vec<v1::TlsHello> {
    let mut batch = v1::Batch::default();
    while found.move_into(&mut batch) {}
    batch.tls_hellos
}
