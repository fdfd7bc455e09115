//! Which devices there are.

use clap::Subcommand;
use iotq_proto::v1::{self, Device, question::Ask};

use super::{Question, wording::name_or_id};
use crate::{
    config::{Config, InvalidConfig},
    naming::ImportDevices,
    render::{Cell, Column},
};

/// The devices, what is known of each, which stay in the house
///
/// FIRST SEEN and LAST SEEN lie within the range that was asked for, unless that is `all`. LOCAL: no packet of it left the
/// house. SAYS is what it says of itself over DHCP, mDNS and SSDP.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq devices --since all --group iot\n  \
    iotq devices import /var/lib/misc/dnsmasq.leases")]
pub struct Devices {
    #[command(subcommand)]
    action: Option<DevicesAction>,
}

/// What else there is to do with all devices.
#[derive(Clone, Debug, Subcommand)]
enum DevicesAction {
    Import(ImportDevices),
}

impl Devices {
    /// What to take over, if that is wanted and no list.
    #[must_use]
    pub fn import(&self) -> Option<&ImportDevices> {
        self.action.as_ref().map(|DevicesAction::Import(import)| import)
    }
}

impl Question for Devices {
    type Row = Device;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Devices(v1::DevicesQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Device> {
        rows.devices
    }

    fn columns(&self) -> Vec<Column<Device>> {
        type Col = Column<Device>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.name, &it.device))
                .shortest(20),
            Col::left("mac", "MAC", |it| Cell::mac(it.mac)).rank(6),
            Col::left("ips", "ADDRESSES", |it| Cell::addresses(&it.ips)).shortest(15),
            Col::data("name", |it| Cell::text(&it.name)),
            Col::data("name_source", |it| Cell::text(&it.name_source)),
            Col::left("vendor", "VENDOR", |it| Cell::text(&it.vendor)).shortest(8).rank(3),
            Col::left("group", "GROUP", |it| Cell::joined(&it.groups)).shortest(10).rank(2),
            Col::left("first_seen_at", "FIRST SEEN", |it| Cell::Time(it.first_seen_at_ns)).rank(7),
            Col::left("last_seen_at", "LAST SEEN", |it| Cell::Time(it.last_seen_at_ns)).rank(1),
            Col::right("packets", "PACKETS", |it| Cell::Count(it.packets)),
            Col::right("wire_bytes", "BYTES", |it| Cell::Bytes(it.wire_bytes)).rank(5),
            Col::right("packets_per_minute", "PKT/MIN", |it| Cell::Rate(it.packets_per_minute)).rank(4),
            Col::data("name_at", |it| Cell::time(it.name_at_ns)),
            Col::left("says", "SAYS", |it| Cell::texts(&it.says)).shortest(12).rank(8),
            Col::left("local_only", "LOCAL", |it| Cell::Bool(it.local_only)),
        ]
    }
}
