//! What the kinds in messages are called in JSON and columns.

pub use crate::v1::{
    ConnState, ConnectionEnd, DnsKind, LossStage, ServerNameSource, Service, SightingKind, TlsTransport,
    UndecodedReason, gap::Reason as GapReason,
};

impl LossStage {
    /// As in JSON, columns and metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Interface => "interface",
            Self::KernelRing => "kernel_ring",
            Self::WindowQueue => "window_queue",
            Self::UplinkQueue => "uplink_queue",
            Self::Rejected => "rejected",
            Self::Unacknowledged => "unacknowledged",
            Self::Spool => "spool",
        }
    }
}

impl GapReason {
    /// As in JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::NotRunning => "not_running",
            Self::BatchesMissing => "batches_missing",
            Self::ClockJumped => "clock_jumped",
            Self::Silent => "silent",
        }
    }
}

impl UndecodedReason {
    /// As in JSON, columns and metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::LinkType => "link_type",
            Self::LinkHeaderCut => "link_header_cut",
            Self::LinkHeader => "link_header",
            Self::IpHeaderCut => "ip_header_cut",
            Self::IpVersion => "ip_version",
            Self::IpHeaderLength => "ip_header_length",
            Self::IpTotalLength => "ip_total_length",
        }
    }
}

impl SightingKind {
    /// As in columns.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Arp => "arp",
            Self::Ndp => "ndp",
            Self::RaPrefix => "ra_prefix",
            Self::DhcpClient => "dhcp_client",
            Self::DhcpHostName => "dhcp_host_name",
            Self::DhcpVendorClass => "dhcp_vendor_class",
            Self::DhcpLease => "dhcp_lease",
            Self::MdnsHostName => "mdns_host_name",
            Self::MdnsService => "mdns_service",
            Self::SsdpServer => "ssdp_server",
            Self::NetbiosName => "netbios_name",
        }
    }
}

impl ConnState {
    /// As Zeek writes it; empty where there is none.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

impl ConnectionEnd {
    /// As in columns; empty: still open.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Evicted => "evicted",
            Self::Input => "input",
        }
    }
}

impl Service {
    /// As in JSON and columns; empty: not known.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Dns => "dns",
            Self::Mdns => "mdns",
            Self::Llmnr => "llmnr",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::Ntp => "ntp",
            Self::Dhcp => "dhcp",
            Self::Ssdp => "ssdp",
            Self::NetbiosNs => "netbios-ns",
        }
    }
}

impl ServerNameSource {
    /// As in JSON and columns; empty: no name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Sni => "sni",
            Self::QuicSni => "quic_sni",
            Self::HttpHost => "http_host",
        }
    }
}

impl DnsKind {
    /// As in JSON and columns.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Dns => "dns",
            Self::Mdns => "mdns",
            Self::Llmnr => "llmnr",
        }
    }
}

impl TlsTransport {
    /// As in JSON and columns.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::Udp => "udp",
        }
    }
}
