//! `destinations`: whom each device talks to.

use iotq_proto::v1::{self, destinations_question::Key};

use super::{Analyst, AskError, Asked, Out, Pieces, octets, peers::By, share};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::DestinationsQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let by = match question.by() {
        Key::Unspecified | Key::Name => By::Name,
        Key::Domain => By::Domain,
        Key::Asn => By::Asn,
        Key::Country => By::Country,
        Key::Ip => By::Ip,
    };
    let (sides, encrypted, ()) =
        tokio::try_join!(analyst.by_address(asked), analyst.encrypted(asked), out.header(asked))?;
    let mut pieces =
        Pieces::new(out, asked.scope.limit, |destinations| v1::Rows { destinations, ..v1::Rows::default() });
    for found in analyst.exchanged(asked, by, sides, &encrypted) {
        let (device, device_name) = analyst.id_and_name(asked, Some(found.device));
        let peer = found.peer;
        let (encrypted, packets) = found.encrypted;
        let row = v1::Destination {
            device,
            device_name,
            destination: found.destination,
            name_source: found.name_source.to_owned(),
            ips: found.ips.into_iter().map(octets).collect(),
            asn: peer.asn,
            as_name: peer.as_name,
            country: peer.country,
            packets: found.packets,
            wire_bytes: found.wire_bytes,
            first_seen_at_ns: found.first_at_ns,
            last_seen_at_ns: found.last_at_ns,
            encrypted_share: (packets > 0).then(|| share(encrypted, packets)),
            owner: peer.owner,
            category: peer.category,
            name_at_ns: peer.naming.last_at_ns,
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}
