//! The registrable domain of a name: the public suffix and one label before it,
//! which is what somebody registered and so what has an owner.
//!
//! Only the ICANN section of the Public Suffix List decides. Its private section
//! keeps the customers of a provider apart: by it, `bucket.s3.amazonaws.com` would
//! be a registrant of its own, while all that can be said of it is "Amazon".

/// The registrable domain of a name, lower case and without final dot as in all
/// our columns. `None` where nobody registers names: addresses, single labels,
/// names of the local network, names for asking about addresses, suffixes
/// themselves and suffixes that are not in the list.
#[must_use]
pub fn registrable_domain(fqdn: &str) -> Option<&str> {
    let name = fqdn.trim_end_matches('.');
    if is_special(name) {
        return None;
    }
    let suffix = icann_suffix(name)?;
    let before = name.get(..name.len().checked_sub(suffix.len() + 1)?)?;
    let label = before.rsplit('.').next().filter(|label| !label.is_empty())?;
    name.get(name.len() - suffix.len() - 1 - label.len()..)
}

/// Whether the name is in a zone that is nobody's: of the local network, or one
/// that turns addresses into names.
#[must_use]
fn is_special(name: &str) -> bool {
    !name.contains('.') || SPECIAL_ZONES.iter().any(|zone| is_in_zone(name, zone))
}

/// Whether a name is the zone itself or below it.
fn is_in_zone(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A suffix of the private section lies below one of the ICANN section: the first
/// labels are taken off until that one is left.
fn icann_suffix(name: &str) -> Option<&str> {
    let mut rest = name;
    loop {
        let suffix = psl::suffix(rest.as_bytes())?;
        let text = str::from_utf8(suffix.as_bytes()).ok()?;
        match suffix.typ()? {
            psl::Type::Icann => return Some(text),
            psl::Type::Private => rest = text.split_once('.')?.1,
        }
    }
}

/// IANA's Special-Use Domain Names that are no names of the public DNS (RFC 6761,
/// 6762, 7686, 8375, 9476), `.internal` (reserved by ICANN in 2024), and the zones of reverse
/// lookups; then what routers use without having been given it.
const SPECIAL_ZONES: [&str; 15] = [
    "local",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "localhost",
    "invalid",
    "test",
    "onion",
    "alt",
    "internal",
    "lan",
    "home",
    "localdomain",
    "intranet",
    "corp",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_icann_section_says_who_registered() {
        for (fqdn, domain) in [
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("a.example.com.", "example.com"),
            // Private suffixes: the provider's domain, not the customer's.
            ("bucket.s3.amazonaws.com", "amazonaws.com"),
            ("s3.amazonaws.com", "amazonaws.com"),
            ("ec2-192-0-2-1.eu-west-1.compute.amazonaws.com", "amazonaws.com"),
            ("abcdef.cloudfront.net", "cloudfront.net"),
            ("cloudfront.net", "cloudfront.net"),
            ("somebody.github.io", "github.io"),
            ("blog.blogspot.co.uk", "blogspot.co.uk"),
            // An exception and a wildcard of the ICANN section.
            ("www.city.kawasaki.jp", "city.kawasaki.jp"),
            ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
        ] {
            assert_eq!(registrable_domain(fqdn), Some(domain), "{fqdn}");
        }
    }

    #[test]
    fn what_nobody_registers_has_none() {
        for fqdn in [
            "",
            ".",
            "com",
            "co.uk",
            "router",
            "printer.local",
            "nas.lan",
            "tv.home.arpa",
            "1.2.0.192.in-addr.arpa",
            "1.0.0.0.ip6.arpa",
            "192.0.2.1",
            "2001:db8::1",
            "device.nosuchsuffix",
            "_mqtt._tcp.local",
            ".com",
        ] {
            assert_eq!(registrable_domain(fqdn), None, "{fqdn}");
        }
        assert_eq!(registrable_domain("notlocal.example.org"), Some("example.org"));
    }

    proptest! {
        #[test]
        fn any_text_ends_with_its_domain(name in "[a-z.\u{e4}-]{0,40}(\\.(com|co\\.uk|s3\\.amazonaws\\.com|local))?") {
            if let Some(domain) = registrable_domain(&name) {
                prop_assert!(name.trim_end_matches('.').ends_with(domain));
                prop_assert_eq!(registrable_domain(domain), Some(domain));
            }
        }
    }
}
