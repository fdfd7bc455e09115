//! A hello as a row of a batch, and as what it tells of its connection.

use iotq_proto::{ServerNameSource, Service, TlsTransport, v1};

use super::{ClientHello, Form, ServerHello, text};
use crate::names::{Learned, ja4::Fingerprints, seen::Seen};

/// The row of a client's hello whose last octet came with this packet.
pub(in crate::names) fn row(
    seen: &Seen,
    transport: TlsTransport,
    hello: &ClientHello<'_>,
    fingerprints: &mut Fingerprints,
) -> v1::TlsHello {
    v1::TlsHello {
        sni: hello.server_name().map(text::host_name).unwrap_or_default(),
        alpn: hello.alpn().take(MAX_ALPNS).map(text::protocol).collect(),
        ja4: fingerprints.of(transport, hello),
        ech: hello.has_ech(),
        ..bare_row(seen, transport, hello.version())
    }
}

/// The same of a hello that tells nothing but the version.
pub(in crate::names) fn bare_row(seen: &Seen, transport: TlsTransport, version: u16) -> v1::TlsHello {
    v1::TlsHello {
        seen_at_ns: seen.at.as_nanos(),
        client_ip: seen.src.ip.to_vec(),
        server_ip: seen.dst.ip.to_vec(),
        client_port: seen.src.port.into(),
        server_port: seen.dst.port.into(),
        ip_version: seen.ip_version.into(),
        client_mac: seen.src.mac.as_u64(),
        vlan_id: seen.vlan.as_u16().into(),
        transport: transport.into(),
        version: version.into(),
        ..v1::TlsHello::default()
    }
}

/// What a client's hello with this name tells of its connection.
pub(in crate::names) fn learned(transport: TlsTransport, server_name: Option<&[u8]>) -> Learned {
    // An address there breaks the RFC, and is no name to call a peer by.
    let server_name = server_name.map(text::host_name).filter(|name| !text::is_address(name)).unwrap_or_default();
    let (service, source) = match transport {
        TlsTransport::Quic => (Service::Quic, ServerNameSource::QuicSni),
        TlsTransport::Udp => (Service::Dtls, ServerNameSource::Sni),
        TlsTransport::Tcp | TlsTransport::Unspecified => (Service::Tls, ServerNameSource::Sni),
    };
    let server_name_source = if server_name.is_empty() { ServerNameSource::Unspecified } else { source };
    Learned { service, server_name, server_name_source, ..Learned::default() }
}

/// What a server's hello tells of its connection.
pub(in crate::names) fn chosen(form: Form, hello: &ServerHello<'_>) -> Learned {
    Learned {
        service: if form == Form::Dtls { Service::Dtls } else { Service::Tls },
        tls_version: hello.version,
        tls_cipher: hello.cipher,
        alpn: text::protocol(hello.alpn),
        ..Learned::default()
    }
}

/// As many as a batch's check lets through; clients offer up to some dozen.
const MAX_ALPNS: usize = 64;
