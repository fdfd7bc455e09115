//! `DHCPv4` messages (RFC 2131, RFC 2132).

use std::net::Ipv4Addr;

use iotq_proto::MacAddr;

use super::mac_octets;

/// Option 53.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum MessageType {
    /// Who can give me an address?
    Discover = 1,
    /// I can.
    Offer = 2,
    /// I take that one, or: may I keep it?
    Request = 3,
    /// It is yours.
    Ack = 5,
}

/// What both directions have in common.
#[derive(Clone, Debug)]
pub struct Lease<'a> {
    /// Transaction.
    pub xid: u32,
    /// Whom the address is for.
    pub client: MacAddr,
    /// The address.
    pub ip: Ipv4Addr,
    /// Who gives it.
    pub server: Ipv4Addr,
    /// What the client calls itself.
    pub host_name: &'a str,
}

impl Lease<'_> {
    /// A message of the client. `has_address`: it renews what it has.
    #[must_use]
    pub fn from_client(&self, kind: MessageType, has_address: bool) -> Vec<u8> {
        let ciaddr = if has_address { self.ip } else { Ipv4Addr::UNSPECIFIED };
        let mut message = self.fixed(1, ciaddr, Ipv4Addr::UNSPECIFIED);
        option(&mut message, 53, &[kind as u8]);
        if kind == MessageType::Request && !has_address {
            option(&mut message, 50, &self.ip.octets());
        }
        option(&mut message, 12, self.host_name.as_bytes());
        // Subnet mask, router, name server, domain, broadcast address, lease time.
        option(&mut message, 55, &[1, 3, 6, 15, 28, 51]);
        finish(message)
    }

    /// A message of the server, which is router and name server too.
    #[must_use]
    pub fn from_server(&self, kind: MessageType) -> Vec<u8> {
        let mut message = self.fixed(2, Ipv4Addr::UNSPECIFIED, self.ip);
        option(&mut message, 53, &[kind as u8]);
        option(&mut message, 54, &self.server.octets());
        option(&mut message, 51, &7200_u32.to_be_bytes());
        option(&mut message, 1, &[255, 255, 255, 0]);
        option(&mut message, 3, &self.server.octets());
        option(&mut message, 6, &self.server.octets());
        finish(message)
    }

    fn fixed(&self, op: u8, ciaddr: Ipv4Addr, yiaddr: Ipv4Addr) -> Vec<u8> {
        let mut message = vec![op, 1, 6, 0];
        message.extend_from_slice(&self.xid.to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&ciaddr.octets());
        message.extend_from_slice(&yiaddr.octets());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&mac_octets(self.client));
        // Rest of the hardware address, server name, boot file.
        message.resize(236, 0);
        message.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message
    }
}

fn option(message: &mut Vec<u8>, code: u8, value: &[u8]) {
    message.push(code);
    message.push(u8::try_from(value.len()).expect("generated options are short"));
    message.extend_from_slice(value);
}

fn finish(mut message: Vec<u8>) -> Vec<u8> {
    message.push(255);
    // BOOTP's smallest message: some servers still insist on it (RFC 1542, section 2.1).
    if message.len() < 300 {
        message.resize(300, 0);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_name_and_address() {
        let lease = Lease {
            xid: 7,
            client: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, 1]),
            ip: Ipv4Addr::new(192, 0, 2, 10),
            server: Ipv4Addr::new(192, 0, 2, 1),
            host_name: "kindle",
        };
        let message = lease.from_client(MessageType::Request, false);
        assert_eq!(message[28..34], [0, 0, 0x5e, 0, 0x53, 1]);
        assert_eq!(message[236..250], *b"\x63\x82\x53\x63\x35\x01\x03\x32\x04\xc0\x00\x02\x0a\x0c");
        assert_eq!(message.len(), 300);
        assert_eq!(lease.from_server(MessageType::Ack)[16..20], [192, 0, 2, 10]);
    }
}
