//! HTTP/1 requests: whom the client asks for.

use super::{Progress, ssdp::field};

/// The Host of the request these octets begin with (RFC 9112, section 3.2): lower
/// case, without port and final dot; empty if the request has none.
#[must_use]
pub fn host(prefix: &[u8]) -> Progress<String> {
    let Some(line_end) = prefix.iter().position(|octet| *octet == b'\n') else {
        return if may_begin_request(prefix) { more(prefix) } else { Progress::No };
    };
    let (line, mut rest) = prefix.split_at_checked(line_end).unwrap_or_default();
    let Some(target) = request_target(line) else {
        return Progress::No;
    };
    // Section 3.2.2: a target that names the host comes before the field.
    if let Some(authority) = authority(target) {
        return Progress::Done(host_of(authority));
    }
    loop {
        rest = rest.get(1..).unwrap_or_default();
        let Some(line_end) = rest.iter().position(|octet| *octet == b'\n') else {
            return more(prefix);
        };
        let (line, after) = rest.split_at_checked(line_end).unwrap_or_default();
        match field(line) {
            Some((name, value)) if name.eq_ignore_ascii_case(b"host") => return Progress::Done(host_of(value)),
            None if line.trim_ascii().is_empty() => return Progress::Done(String::new()),
            _ => rest = after,
        }
    }
}

/// The target, if the line is of the form `GET /index.html HTTP/1.1`.
fn request_target(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.trim_ascii_end().split(|octet| *octet == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_request = is_method(method) && !target.is_empty() && words.next().is_none();
    (is_request && matches!(version, b"HTTP/1.1" | b"HTTP/1.0")).then_some(target)
}

/// Whether more octets could make these a request line.
fn may_begin_request(prefix: &[u8]) -> bool {
    match prefix.iter().position(|octet| *octet == b' ') {
        Some(space) => prefix.get(..space).is_some_and(is_method),
        None => prefix.len() < MAX_METHOD && prefix.iter().all(|octet| is_method_octet(*octet)),
    }
}

/// Registered methods and others have capital letters, some a hyphen (`M-SEARCH`).
fn is_method(word: &[u8]) -> bool {
    (2..MAX_METHOD).contains(&word.len()) && word.iter().all(|octet| is_method_octet(*octet))
}

fn is_method_octet(octet: u8) -> bool {
    octet.is_ascii_uppercase() || octet == b'-'
}

/// The authority of `http://example.com:8080/index.html`.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let rest = target.strip_prefix(b"http://").or_else(|| target.strip_prefix(b"https://"))?;
    rest.split(|octet| matches!(octet, b'/' | b'?' | b'#')).next()
}

/// Without user (who does not belong there) and port; empty if it is no host.
fn host_of(authority: &[u8]) -> String {
    let host = authority.rsplit(|octet| *octet == b'@').next().unwrap_or_default();
    let host = match host {
        // RFC 3986, section 3.2.2: an IPv6 address.
        [b'[', rest @ ..] => rest.split(|octet| *octet == b']').next(),
        _ => host.split(|octet| *octet == b':').next(),
    };
    let host = host.unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.len() > MAX_HOST || !host.iter().all(u8::is_ascii_graphic) {
        return String::new();
    }
    // All of it is ASCII.
    String::from_utf8_lossy(host).to_ascii_lowercase()
}

fn more(prefix: &[u8]) -> Progress<String> {
    if prefix.len() < MAX_REQUEST { Progress::More } else { Progress::No }
}

/// The longest in IANA's "HTTP Method Registry" has 17 (`UPDATEREDIRECTREF`).
const MAX_METHOD: usize = 20;
/// A domain name's limit (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 255;
/// Servers refuse header sections above 8 KiB; Host is among the first.
const MAX_REQUEST: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(host: &str) -> Progress<String> {
        Progress::Done(host.to_owned())
    }

    #[test]
    fn requests_name_their_host() {
        assert_eq!(host(b"GET / HTTP/1.1\r\nAccept: */*\r\nhost:  Example.COM.:8080 \r\n"), done("example.com"));
        assert_eq!(host(b"GET http://User@Example.com:81/a HTTP/1.1\r\n"), done("example.com"));
        assert_eq!(host(b"POST /a HTTP/1.0\n\n"), done(""));
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n"), done("2001:db8::1"));
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost: a\x1b[2J\r\n"), done(""));
        assert_eq!(host(b"M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n"), done("239.255.255.250"));
    }

    #[test]
    fn what_is_no_request_is_told_early() {
        for no in
            [&b"\x16\x03\x01"[..], b"get / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n", b"GET /\r\n", b" "]
        {
            assert_eq!(host(no), Progress::No, "{no:?}");
        }
        for more in [&b""[..], b"G", b"GET /lo", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: example.c"] {
            assert_eq!(host(more), Progress::More, "{more:?}");
        }
        assert_eq!(host(&[b"GET /".as_slice(), &[b'a'; 9000]].concat()), Progress::No);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            _ = host(&octets);
            _ = host(&[b"GET / HTTP/1.1\r\nHost:", &octets[..], b"\r\n"].concat());
        }

        /// A prefix never says something else than the whole.
        #[test]
        fn what_is_told_early_holds(at in 0..60usize) {
            let request = b"GET /index HTTP/1.1\r\nAccept: */*\r\nHost: example.com\r\n\r\n";
            let told = host(request.get(..at).unwrap_or(request));
            prop_assert!(told == Progress::More || told == done("example.com"), "{told:?}");
        }
    }
}
