//! What can go wrong with an interface, and what to do about it.

use std::path::PathBuf;

use nix::{errno::Errno, net::if_::if_nametoindex};

/// Why an interface could not be opened for capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name is wrong.
    #[error("no interface named `{interface}`; `iotq-collector interfaces` lists them")]
    NoSuchInterface {
        /// The name.
        interface: String,
    },
    /// The process may not capture.
    #[error(
        "capturing on `{interface}` is not permitted; run as root, or once: \
         sudo setcap cap_net_raw,cap_net_admin=eip {}",
        program.display()
    )]
    Permission {
        /// The interface.
        interface: String,
        /// This program.
        program: PathBuf,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
    /// It is there, but down.
    #[error("`{interface}` is down; bring it up: sudo ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
    /// The filter is wrong.
    #[error("BPF filter `{filter}` does not compile")]
    Filter {
        /// As typed.
        filter: String,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
    /// Anything else.
    #[error("cannot capture on `{interface}`")]
    Open {
        /// The interface.
        interface: String,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
}

impl OpenError {
    /// libpcap tells the kinds apart by text only, once the wrapper is through.
    pub(in crate::capture) fn of(interface: &str, source: pcap::Error) -> Self {
        let text = source.to_string();
        let interface = interface.to_owned();
        if matches!(source, pcap::Error::InvalidInputString) || text.contains("No such device") {
            // Of megabytes of garbage, show only the begin.
            return Self::NoSuchInterface { interface: interface.chars().take(80).collect() };
        }
        if text.contains("ermission") || text.contains("not permitted") || text.contains("CAP_NET_RAW") {
            let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("iotq-collector"));
            return Self::Permission { interface, program, source };
        }
        if is_about_being_down(&text) {
            return Self::Down { interface, source };
        }
        Self::Open { interface, source }
    }
}

/// Why an interface gives no more frames.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It was unplugged or deleted.
    #[error("interface `{interface}` is gone")]
    Gone {
        /// The interface.
        interface: String,
    },
    /// Somebody brought it down.
    #[error("interface `{interface}` went down; bring it up again: sudo ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
    },
    /// Anything else, repeatedly.
    #[error("reading from interface `{interface}` fails")]
    Read {
        /// The interface.
        interface: String,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
}

impl CaptureError {
    /// What follows from the `failures`th failure in a row; `None`: try again.
    pub(in crate::capture) fn of(interface: &str, source: pcap::Error, failures: u32) -> Option<Self> {
        let text = source.to_string();
        let is_gone = text.contains("disappeared") || if_nametoindex(interface) == Err(Errno::ENODEV);
        let interface = interface.to_owned();
        if is_gone && interface != super::ANY {
            Some(Self::Gone { interface })
        } else if is_about_being_down(&text) {
            Some(Self::Down { interface })
        } else {
            (failures >= MAX_FAILURES).then_some(Self::Read { interface, source })
        }
    }
}

fn is_about_being_down(text: &str) -> bool {
    text.contains("went down") || text.contains("not up") || text.contains("Network is down")
}

/// Nothing that passes lasts longer than the half second that these take.
const MAX_FAILURES: u32 = 5;
