//! Where the analyzer is, and whether it may be talked to in the clear.

use std::{fmt, net::IpAddr};

/// The URL of an analyzer, checked: `http` or `https`, with host and port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnalyzerUrl(String);

impl AnalyzerUrl {
    /// Reads what was typed; `host` and `host:port` will do.
    ///
    /// Anything but this host is refused unless `insecure_plaintext` says that
    /// its answers may be read on the way.
    pub(crate) fn parse(text: &str, insecure_plaintext: bool) -> Result<Self, InvalidAnalyzerUrl> {
        // Shown as it was typed, but not megabytes of it.
        let url: String = text.chars().take(200).collect();
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
            Some(_) => return Err(InvalidAnalyzerUrl::NoUrl { url }),
            None => ("http", text),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority).ok_or_else(|| InvalidAnalyzerUrl::NoUrl { url: url.clone() })?;
        if scheme == "http" && !is_loopback(host) && !insecure_plaintext {
            return Err(InvalidAnalyzerUrl::Plaintext { url });
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Self(format!("{scheme}://{host}:{port}")))
    }

    /// Whether it is to be talked to by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// As text, with scheme, host and port.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AnalyzerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no URL that an analyzer can be asked at.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidAnalyzerUrl {
    /// Not understood.
    #[error("`{url}` is no URL of an analyzer, like http://127.0.0.1:50651")]
    NoUrl {
        /// What was typed.
        url: String,
    },
    /// The analyzer is on another host.
    #[error(
        "`{url}` is on another host and would be talked to in the clear; use https:// and --tls FILE, or \
         --insecure-plaintext if everybody on the way may read the answers"
    )]
    Plaintext {
        /// What was typed.
        url: String,
    },
}

/// Host without brackets, and port.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if host.is_empty() || !host.bytes().all(fits) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok().filter(|port| *port != 0)?,
        Some(_) => return None,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    Some((host, port))
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        // RFC 6761, section 6.3: these names resolve to loopback addresses.
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// Where `iotq-analyzer serve` listens.
const DEFAULT_PORT: u16 = 50651;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_needs_no_flag() {
        for (text, url) in [
            ("http://127.0.0.1:50651", "http://127.0.0.1:50651"),
            ("http://127.0.0.1:50651/", "http://127.0.0.1:50651"),
            ("localhost", "http://localhost:50651"),
            ("127.9.9.9:1", "http://127.9.9.9:1"),
            ("http://[::1]:7", "http://[::1]:7"),
        ] {
            assert_eq!(AnalyzerUrl::parse(text, false).unwrap().as_str(), url);
        }
    }

    #[test]
    fn another_host_needs_a_flag_that_says_what_it_means() {
        let text = "http://192.0.2.1:50651";
        assert!(matches!(AnalyzerUrl::parse(text, false), Err(InvalidAnalyzerUrl::Plaintext { .. })));
        assert_eq!(AnalyzerUrl::parse(text, true).unwrap().as_str(), text);
        assert!(AnalyzerUrl::parse("localhost.example.com", false).is_err());
    }

    #[test]
    fn tls_goes_anywhere() {
        let url = AnalyzerUrl::parse("https://analyzer.example.com", false).unwrap();
        assert_eq!(url.as_str(), "https://analyzer.example.com:50651");
        assert!(url.is_tls());
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "",
            ":",
            "http://",
            "http://:1",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "[::1",
            "[localhost]:1",
            "::1",
            "a b",
            "localhost/path",
            "user@localhost",
            "ftp://localhost",
            "localhost:1?q",
        ] {
            assert!(matches!(AnalyzerUrl::parse(text, true), Err(InvalidAnalyzerUrl::NoUrl { .. })), "{text}");
        }
    }
}
