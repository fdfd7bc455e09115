//! Names of the counted kinds: stages of loss, reasons, sightings.

pub use crate::v1::{LossStage, SightingKind, UndecodedReason};

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
        }
    }
}
