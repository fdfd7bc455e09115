//! TLS 1.2 records and handshake messages (RFC 5246, RFC 6066).
//!
//! Nothing is encrypted with anything: what would be ciphertext is noise.

use crate::random::Random;

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
const TLS_1_2: [u8; 2] = [3, 3];
/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
const CIPHER: [u8; 2] = [0xc0, 0x2f];

/// A `ClientHello` that asks for this name.
#[must_use]
pub fn client_hello(sni: &str, alpn: Option<&str>, random: &mut Random) -> Vec<u8> {
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    // No session to take up.
    body.push(0);
    let ciphers = [0xc02b_u16, 0xc02f, 0xc02c, 0xc030, 0x009c, 0x009d, 0x002f, 0x0035, 0x00ff];
    with_length(&mut body, 2, |out| ciphers.iter().for_each(|cipher| out.extend_from_slice(&cipher.to_be_bytes())));
    // Only the null compression.
    body.extend_from_slice(&[1, 0]);
    with_length(&mut body, 2, |out| {
        // server_name: one list with one host name.
        extension(out, 0, |out| {
            with_length(out, 2, |out| {
                out.push(0);
                with_length(out, 2, |out| out.extend_from_slice(sni.as_bytes()));
            });
        });
        // supported_groups: secp256r1, secp384r1.
        extension(out, 10, |out| with_length(out, 2, |out| out.extend_from_slice(&[0, 23, 0, 24])));
        // ec_point_formats: uncompressed.
        extension(out, 11, |out| out.extend_from_slice(&[1, 0]));
        // signature_algorithms: ECDSA and RSA with SHA-256 and SHA-384.
        extension(out, 13, |out| with_length(out, 2, |out| out.extend_from_slice(&[4, 3, 4, 1, 5, 3, 5, 1])));
        if let Some(alpn) = alpn {
            extension(out, 16, |out| {
                with_length(out, 2, |out| with_length(out, 1, |out| out.extend_from_slice(alpn.as_bytes())));
            });
        }
        // extended_master_secret.
        extension(out, 23, |_| {});
    });
    record(HANDSHAKE, &handshake(1, &body))
}

/// `ServerHello`, Certificate (noise of this length), `ServerKeyExchange` and
/// `ServerHelloDone`, each a record of its own.
#[must_use]
pub fn server_hello(certificate_bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    body.push(32);
    body.extend_from_slice(&random.octets(32));
    body.extend_from_slice(&CIPHER);
    body.push(0);
    with_length(&mut body, 2, |out| extension(out, 23, |_| {}));
    let mut flight = record(HANDSHAKE, &handshake(2, &body));

    let mut certificate = Vec::new();
    with_length(&mut certificate, 3, |out| {
        with_length(out, 3, |out| out.extend_from_slice(&random.octets(certificate_bytes)));
    });
    flight.extend(record(HANDSHAKE, &handshake(11, &certificate)));
    // A named curve, a point on it, an RSA signature.
    let mut key_exchange = vec![3, 0, 23, 65, 4];
    key_exchange.extend_from_slice(&random.octets(64));
    key_exchange.extend_from_slice(&[4, 1]);
    with_length(&mut key_exchange, 2, |out| out.extend_from_slice(&random.octets(256)));
    flight.extend(record(HANDSHAKE, &handshake(12, &key_exchange)));
    flight.extend(record(HANDSHAKE, &handshake(14, &[])));
    flight
}

/// `ClientKeyExchange`, `ChangeCipherSpec` and Finished.
#[must_use]
pub fn client_finish(random: &mut Random) -> Vec<u8> {
    let mut exchange = vec![65, 4];
    exchange.extend_from_slice(&random.octets(64));
    let mut flight = record(HANDSHAKE, &handshake(16, &exchange));
    flight.extend(server_finish(random));
    flight
}

/// `ChangeCipherSpec` and Finished.
#[must_use]
pub fn server_finish(random: &mut Random) -> Vec<u8> {
    let mut flight = record(CHANGE_CIPHER_SPEC, &[1]);
    flight.extend(record(HANDSHAKE, &random.octets(40)));
    flight
}

/// Something said in secret: nonce, ciphertext of `plain_bytes`, tag (RFC 5288).
#[must_use]
pub fn application_data(plain_bytes: usize, random: &mut Random) -> Vec<u8> {
    record(APPLICATION_DATA, &random.octets(8 + plain_bytes + 16))
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, TLS_1_2[0], TLS_1_2[1]];
    with_length(&mut record, 2, |out| out.extend_from_slice(content));
    record
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    with_length(&mut message, 3, |out| out.extend_from_slice(body));
    message
}

fn extension(out: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&kind.to_be_bytes());
    with_length(out, 2, content);
}

/// Writes what `content` writes, after its length in so many octets.
fn with_length(out: &mut Vec<u8>, octets: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + octets, 0);
    content(out);
    let len = (out.len() - at - octets).to_be_bytes();
    let (overflow, len) = len.split_at(len.len() - octets);
    assert!(overflow.iter().all(|octet| *octet == 0), "generated messages fit their length fields");
    out[at..at + octets].copy_from_slice(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content types and contents of the records in a flight.
    fn records(mut flight: &[u8]) -> Vec<(u8, &[u8])> {
        let mut found = Vec::new();
        while let [kind, 3, 3, high, low, rest @ ..] = flight {
            let (content, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push((*kind, content));
            flight = after;
        }
        assert!(flight.is_empty(), "{flight:02x?}");
        found
    }

    #[test]
    fn a_client_hello_asks_for_its_name() {
        let hello = client_hello("mqtt.example.com", Some("mqtt"), &mut Random::new(1));
        let [(HANDSHAKE, content)] = records(&hello)[..] else { panic!("{hello:02x?}") };
        assert_eq!(content[0], 1);
        assert_eq!(usize::from(content[3]), content.len() - 4 - 256 * usize::from(content[2]));
        let sni = b"\x00\x00\x00\x15\x00\x13\x00\x00\x10mqtt.example.com";
        assert!(content.windows(sni.len()).any(|window| window == sni));
    }

    #[test]
    fn the_servers_flight_has_four_messages() {
        let flight = server_hello(1800, &mut Random::new(1));
        let kinds: Vec<_> = records(&flight).iter().map(|(kind, content)| (*kind, content[0])).collect();
        assert_eq!(kinds, [(HANDSHAKE, 2), (HANDSHAKE, 11), (HANDSHAKE, 12), (HANDSHAKE, 14)]);
    }

    #[test]
    fn a_secret_is_longer_than_what_it_hides() {
        assert_eq!(application_data(2, &mut Random::new(1)).len(), 31);
    }
}
