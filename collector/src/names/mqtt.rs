//! MQTT CONNECT: who the client says it is, as a hash.

use sha2::{Digest as _, Sha256};

use super::{Progress, octets::Octets};

/// SHA-256, cut to 16 octets, of the client id in the CONNECT these octets begin
/// with (MQTT 3.1.1 and 5.0, section 3.1; MQTT 3.1); empty if the client leaves
/// its id to the server.
#[must_use]
pub fn client_id_hash(prefix: &[u8]) -> Progress<Vec<u8>> {
    match client_id(prefix) {
        Ok([]) => Progress::Done(Vec::new()),
        Ok(id) => Progress::Done(Sha256::digest(id).into_iter().take(HASH_OCTETS).collect()),
        Err(Stop::More) => Progress::More,
        Err(Stop::No) => Progress::No,
    }
}

/// Why there is no client id.
enum Stop {
    /// The octets end before it.
    More,
    /// It is something else.
    No,
}

fn client_id(prefix: &[u8]) -> Result<&[u8], Stop> {
    let mut octets = Octets(prefix);
    if octets.u8().ok_or(Stop::More)? != CONNECT {
        return Err(Stop::No);
    }
    let length = var_int(&mut octets)?;
    let newest_level = protocol_name(&mut octets)?;
    let [level, flags, _, _] = octets.array().ok_or(Stop::More)?;
    // Mosquitto's bridges set the top bit.
    let level = level & 0x7f;
    let is_known = if newest_level == 3 { level == 3 } else { matches!(level, 4 | 5) };
    // The reserved flag is 0 from 3.1.1 on, and was never used before.
    if !is_known || flags & 1 != 0 {
        return Err(Stop::No);
    }
    let properties = if level == 5 { var_int(&mut octets)? } else { 0 };
    if length > MAX_CONNECT || properties > length {
        return Err(Stop::No);
    }
    octets.take(properties).ok_or(Stop::More)?;
    let id_length = usize::from(octets.be16().ok_or(Stop::More)?);
    if id_length > length {
        return Err(Stop::No);
    }
    octets.take(id_length).ok_or(Stop::More)
}

/// The protocol's name with its length, and the newest level it stands for.
fn protocol_name(octets: &mut Octets<'_>) -> Result<u8, Stop> {
    let names = [(&b"\0\x04MQTT"[..], 5), (b"\0\x06MQIsdp", 3)];
    for (name, newest_level) in names {
        if let Some(rest) = octets.0.strip_prefix(name) {
            octets.0 = rest;
            return Ok(newest_level);
        }
    }
    let may_be = names.iter().any(|(name, _)| name.starts_with(octets.0));
    Err(if may_be { Stop::More } else { Stop::No })
}

/// Seven bits an octet, the lowest first, in at most four (MQTT 5.0, section 1.5.5).
fn var_int(octets: &mut Octets<'_>) -> Result<usize, Stop> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let octet = octets.u8().ok_or(Stop::More)?;
        value |= usize::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Stop::No)
}

/// Packet type 1 with its four flags 0 (section 2.1).
const CONNECT: u8 = 0x10;
const HASH_OCTETS: usize = 16;
/// The id comes before will and password, which may be long: what matters is that
/// nobody is waited for to send a client id of megabytes behind properties.
const MAX_CONNECT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn connect(name: &[u8], level: u8, properties: &[u8], id: &[u8]) -> Vec<u8> {
        let prefixed = |octets: &[u8]| [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat();
        let body = [&prefixed(name)[..], &[level, 2, 0, 60], properties, &prefixed(id)].concat();
        [&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    }

    /// First octets of `printf sensor-7 | sha256sum`.
    fn hash() -> Progress<Vec<u8>> {
        Progress::Done(Sha256::digest(b"sensor-7")[..16].to_vec())
    }

    #[test]
    fn client_ids_are_hashed_in_all_versions() {
        assert_eq!(client_id_hash(&connect(b"MQIsdp", 3, &[], b"sensor-7")), hash());
        assert_eq!(client_id_hash(&connect(b"MQTT", 4, &[], b"sensor-7")), hash());
        assert_eq!(client_id_hash(&connect(b"MQTT", 0x84, &[], b"sensor-7")), hash());
        assert_eq!(client_id_hash(&connect(b"MQTT", 5, &[5, 0x11, 0, 0, 0, 60], b"sensor-7")), hash());
        assert_eq!(client_id_hash(&connect(b"MQTT", 5, &[0], b"")), Progress::Done(vec![]));
    }

    #[test]
    fn what_is_no_connect_is_told_early() {
        for no in [&b"\x16\x03\x01"[..], b"\x10\xff\xff\xff\xff\x01", b"\x10\x0c\x00\x03", b"GET / HTTP/1.1"] {
            assert_eq!(client_id_hash(no), Progress::No, "{no:?}");
        }
        assert_eq!(client_id_hash(&connect(b"MQTT", 3, &[], b"sensor-7")), Progress::No);
        let whole = connect(b"MQTT", 4, &[], b"sensor-7");
        for end in 0..whole.len() {
            assert_eq!(client_id_hash(&whole[..end]), Progress::More, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..40), level: u8) {
            _ = client_id_hash(&octets);
            _ = client_id_hash(&[b"\x10\x7f\0\x04MQTT".as_slice(), &[level], &octets].concat());
        }
    }
}
