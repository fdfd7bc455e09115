//! `destinations`: whom each device talks to.

use iotq_proto::v1::{self, destinations_question::Key};

use super::{Analyst, AskError, Asked, Out, Pieces, octets};
use crate::enrich::DeviceKey;

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::DestinationsQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let by_ip = match question.by() {
        Key::Unspecified | Key::Name => false,
        Key::Ip => true,
        Key::Domain | Key::Asn | Key::Country => {
            return Err(AskError::Question("destinations are known by name or ip only; more comes later".into()));
        }
    };
    let covered = analyst.covered(asked).await?;
    out.header(asked, covered.coverage).await?;
    let mut rows = analyst.store.destinations(&asked.scope, by_ip)?;
    let mut pieces =
        Pieces::new(out, asked.scope.limit, |destinations| v1::Rows { destinations, ..v1::Rows::default() });
    while let Some(row) = rows.next().await? {
        let Some(key) = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip) else { continue };
        let peer = DeviceKey::from_columns(row.peer_mac, row.peer_vlan_id, row.peer_ip);
        // By address the columns say "a device known by address" for every address.
        let peer_ip = row.peer_ip.to_canonical();
        let device = match peer {
            Some(DeviceKey::Ip(ip)) if asked.directory.entry(DeviceKey::Ip(ip)).is_none() => None,
            peer => peer,
        };
        let (name, source) = if by_ip { (String::new(), "") } else { analyst.peer_naming(asked, device, peer_ip) };
        let (destination, name_source) = match (name.is_empty(), device) {
            (false, _) => (name, source),
            (true, Some(key @ DeviceKey::Mac(..))) => (key.to_string(), "mac"),
            (true, _) => (peer_ip.to_string(), "address"),
        };
        let row = v1::Destination {
            device: key.to_string(),
            device_name: analyst.naming(asked, key).name,
            destination,
            name_source: name_source.to_owned(),
            ips: row.ips.into_iter().map(octets).collect(),
            packets: row.packets,
            wire_bytes: row.wire_bytes,
            first_seen_at_ns: row.first_at_ns,
            last_seen_at_ns: row.last_at_ns,
            ..v1::Destination::default()
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}
