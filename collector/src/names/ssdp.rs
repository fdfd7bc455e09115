//! SSDP (UPnP Device Architecture 2.0, section 1): what runs on the sender.

use iotq_proto::SightingKind;

use super::{found::Found, seen::Seen, text::clean};

/// Reads a UDP payload. Whether it is a message.
pub(super) fn observe(seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
    let mut lines = payload.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    let header = match lines.next().unwrap_or_default() {
        // Sections 1.2.2 and 1.3.3: who offers something; 1.3.2: who looks for it.
        b"NOTIFY * HTTP/1.1" | b"HTTP/1.1 200 OK" => "server",
        b"M-SEARCH * HTTP/1.1" => "user-agent",
        _ => return false,
    };
    // A line without its end may have been cut.
    let is_whole = payload.ends_with(b"\n");
    let mut lines = lines.take(MAX_LINES).peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = field(line).filter(|_| is_whole || lines.peek().is_some()) else {
            continue;
        };
        if name.eq_ignore_ascii_case(header.as_bytes()) {
            let text = clean(value);
            if !text.is_empty() {
                found.add_sighting(seen, SightingKind::SsdpServer, (seen.src.mac, Some(seen.src.ip)), &text);
            }
            break;
        }
    }
    true
}

/// A header field's name and value (RFC 9112, section 5).
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// Messages have about a dozen.
const MAX_LINES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::dns::tests::seen_at;

    fn shown(payload: &str) -> Option<Vec<String>> {
        let mut found = Found::default();
        let is_message = observe(&seen_at(1, (20, 1900), (250, 1900)), payload.as_bytes(), &mut found);
        let sightings = found.take_sightings();
        assert!(sightings.iter().all(|sighting| sighting.mac.to_string() == "00:00:5e:00:53:14"));
        is_message.then(|| sightings.into_iter().map(|sighting| sighting.text).collect())
    }

    #[test]
    fn senders_show_what_they_run() {
        let server = "Unspecified, UPnP/1.0, Unspecified";
        let shows = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(
            shown(&format!("NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nServer:{server}\r\n\r\n")),
            shows(server)
        );
        assert_eq!(shown("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nSERVER: Linux\r\n\r\n"), shows("Linux"));
        assert_eq!(shown("M-SEARCH * HTTP/1.1\r\nUSER-AGENT: OS/1\r\n\r\n"), shows("OS/1"));
        assert_eq!(shown("M-SEARCH * HTTP/1.1\r\nSERVER: OS/1\r\n\r\n"), Some(vec![]));
        assert_eq!(shown("NOTIFY * HTTP/1.1\r\nSERVER: Lin"), Some(vec![]), "it may be cut");
        assert_eq!(shown("GET / HTTP/1.1\r\nSERVER: Linux\r\n\r\n"), None);
        assert_eq!(shown(""), None);
    }
}
