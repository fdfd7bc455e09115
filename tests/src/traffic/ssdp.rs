//! SSDP messages (`UPnP` Device Architecture 2.0, section 1).

use std::net::Ipv4Addr;

/// The group all of it is sent to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// From and to this port.
pub const PORT: u16 = 1900;

/// "I am here": a root device whose description is at this address.
#[must_use]
pub fn alive(ip: Ipv4Addr, server: &str, uuid: &str) -> Vec<u8> {
    format!(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\n\
         LOCATION: http://{ip}:49152/description.xml\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n\
         SERVER: {server}\r\nUSN: uuid:{uuid}::upnp:rootdevice\r\n\r\n"
    )
    .into_bytes()
}

/// "Who is a media renderer?"
#[must_use]
pub fn search(user_agent: &str) -> Vec<u8> {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
         ST: urn:dial-multiscreen-org:service:dial:1\r\nUSER-AGENT: {user_agent}\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_with_an_empty_line() {
        let alive = alive(Ipv4Addr::new(192, 0, 2, 1), "Linux/5.4 UPnP/1.0 thing/1.0", "0");
        assert!(alive.starts_with(b"NOTIFY * HTTP/1.1\r\n") && alive.ends_with(b"\r\n\r\n"));
        assert!(search("thing").ends_with(b"USER-AGENT: thing\r\n\r\n"));
    }
}
