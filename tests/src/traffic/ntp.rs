//! NTP messages (RFC 5905, section 7.3).

/// Seconds from 1900, where NTP's era 0 begins, to 1970.
const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;

/// A client's request, sent at this time (nanoseconds since 1970).
#[must_use]
pub fn request(at_ns: i64) -> Vec<u8> {
    let mut message = vec![0; 48];
    // No leap warning, version 4, mode 3 (client).
    message[0] = 0x23;
    message[40..48].copy_from_slice(&timestamp(at_ns));
    message
}

/// A stratum 2 server's reply to the request of this time, sent at `at_ns`.
#[must_use]
pub fn reply(request_at_ns: i64, at_ns: i64) -> Vec<u8> {
    let mut message = vec![0; 48];
    // No leap warning, version 4, mode 4 (server); polled each 64 s; precision 2^-20 s.
    message[..4].copy_from_slice(&[0x24, 2, 6, 0xec]);
    message[12..16].copy_from_slice(&[192, 0, 2, 123]);
    message[16..24].copy_from_slice(&timestamp(at_ns - 17_000_000_000));
    message[24..32].copy_from_slice(&timestamp(request_at_ns));
    message[32..40].copy_from_slice(&timestamp(at_ns));
    message[40..48].copy_from_slice(&timestamp(at_ns));
    message
}

fn timestamp(at_ns: i64) -> [u8; 8] {
    // Both halves wrap as NTP's do: the era is not in the message.
    let secs = (at_ns.div_euclid(1_000_000_000) + NTP_TO_UNIX_SECS).rem_euclid(1 << 32);
    let fraction = (at_ns.rem_euclid(1_000_000_000) << 32) / 1_000_000_000;
    let [_, _, _, _, a, b, c, d] = secs.to_be_bytes();
    let [_, _, _, _, e, f, g, h] = fraction.to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_names_the_request_it_answers() {
        let request = request(1_500_000_000);
        let reply = reply(1_500_000_000, 1_520_000_000);
        assert_eq!(request[40..], reply[24..32]);
        assert_eq!(request[40..], [0x83, 0xaa, 0x7e, 0x81, 0x80, 0, 0, 0]);
        assert_eq!((request[0] & 7, reply[0] & 7), (3, 4));
    }
}
