//! What can be captured from on this host.

use std::net::IpAddr;

use pcap::{Capture, ConnectionStatus, Device};

use super::OpenError;
use crate::decode::LinkType;

/// An interface, or what libpcap offers as one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// Its name, as `-i` takes it.
    pub name: String,
    /// What libpcap says about it; Ethernet interfaces have none.
    pub description: Option<String>,
    /// A mirror port needs none.
    pub addresses: Vec<IpAddr>,
    /// Brought up by the administrator.
    pub is_up: bool,
    /// Has a link.
    pub is_running: bool,
    /// Only ever sees this host's own traffic.
    pub is_loopback: bool,
    /// Sees its own traffic unless it is in monitor mode.
    pub is_wireless: bool,
    /// Whether a cable is plugged in, or a network joined; `None`: it cannot be told.
    pub is_connected: Option<bool>,
}

/// Why interfaces could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the interfaces")]
pub struct ListError(#[source] pcap::Error);

/// Lists what can be captured from, those that look most useful first.
///
/// # Errors
/// If the system does not tell.
pub fn interfaces() -> Result<Vec<Interface>, ListError> {
    Ok(Device::list().map_err(ListError)?.into_iter().map(Interface::from).collect())
}

impl Interface {
    /// The link types it can be captured with, the one we would get first. Opens
    /// it for a moment, which needs the right to capture.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn link_types(&self) -> Result<Vec<(LinkType, String)>, OpenError> {
        let failed = |source| OpenError::of(&self.name, source);
        let capture = Capture::from_device(self.name.as_str()).map_err(failed)?.open().map_err(failed)?;
        let ours = capture.get_datalink();
        let mut link_types = capture.list_datalinks().map_err(failed)?;
        link_types.sort_by_key(|link_type| *link_type != ours);
        Ok(link_types
            .into_iter()
            .map(|link_type| {
                let name = link_type.get_name().unwrap_or_else(|_| link_type.0.to_string());
                (LinkType::from_number(u32::try_from(link_type.0).unwrap_or(u32::MAX)), name)
            })
            .collect())
    }
}

impl From<Device> for Interface {
    fn from(device: Device) -> Self {
        let flags = device.flags;
        Self {
            name: device.name,
            description: device.desc,
            addresses: device.addresses.into_iter().map(|address| address.addr).collect(),
            is_up: flags.is_up(),
            is_running: flags.is_running(),
            is_loopback: flags.is_loopback(),
            is_wireless: flags.is_wireless(),
            is_connected: match flags.connection_status {
                ConnectionStatus::Connected => Some(true),
                ConnectionStatus::Disconnected => Some(false),
                ConnectionStatus::Unknown | ConnectionStatus::NotApplicable => None,
            },
        }
    }
}
