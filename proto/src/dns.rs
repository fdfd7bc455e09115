//! DNS code points by name.

use std::fmt;

/// A DNS resource record type (RFC 1035, section 3.2.2); any number is one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordType(pub u16);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// The canonical name of an alias.
    pub const CNAME: Self = Self(5);
    /// A name for an address.
    pub const PTR: Self = Self(12);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// A service's host and port (RFC 2782).
    pub const SRV: Self = Self(33);
    /// Extension mechanisms (RFC 6891); no record.
    pub const OPT: Self = Self(41);
    /// How to reach a service (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// The same for HTTPS.
    pub const HTTPS: Self = Self(65);
    /// All types.
    pub const ANY: Self = Self(255);

    /// IANA's mnemonic; `None` for types that have none here.
    #[must_use]
    pub fn mnemonic(self) -> Option<&'static str> {
        let at = MNEMONICS.binary_search_by_key(&self.0, |(code, _)| *code).ok()?;
        MNEMONICS.get(at).map(|(_, mnemonic)| *mnemonic)
    }
}

/// The mnemonic, else `TYPEn` (RFC 3597, section 5).
impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.pad(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A DNS response code's mnemonic (IANA "DNS RCODEs"); `None`: it has none.
#[must_use]
pub fn rcode_mnemonic(rcode: u32) -> Option<&'static str> {
    let at = usize::try_from(rcode).ok()?;
    RCODES.get(at).copied().filter(|mnemonic| !mnemonic.is_empty())
}

/// IANA "DNS RCODEs", 0 to 11 and 16 to 23.
const RCODES: [&str; 24] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
    "",
    "",
    "",
    "",
    "BADVERS",
    "BADKEY",
    "BADTIME",
    "BADMODE",
    "BADNAME",
    "BADALG",
    "BADTRUNC",
    "BADCOOKIE",
];

/// IANA "Resource Record (RR) TYPEs", by code.
const MNEMONICS: [(u16, &str); 93] = [
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP-PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (56, "NINFO"),
    (57, "RKEY"),
    (58, "TALINK"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (66, "DSYNC"),
    (99, "SPF"),
    (100, "UINFO"),
    (101, "UID"),
    (102, "GID"),
    (103, "UNSPEC"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (128, "NXNAME"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (258, "AVC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (262, "WALLET"),
    (32768, "TA"),
    (32769, "DLV"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_and_numbers() {
        assert!(MNEMONICS.is_sorted_by_key(|(code, _)| *code));
        assert_eq!(RecordType(1).to_string(), "A");
        assert_eq!(RecordType(65).to_string(), "HTTPS");
        assert_eq!(RecordType(65_280).to_string(), "TYPE65280");
        assert_eq!(rcode_mnemonic(3), Some("NXDOMAIN"));
        assert_eq!((rcode_mnemonic(12), rcode_mnemonic(99)), (None, None));
    }
}
