//! What is known beyond the packets: whose an endpoint is, what a device is
//! called, who made it. Applied when a question is asked, never stored, so that
//! learning something later changes the past too.

mod about;
mod directory;
mod domain;
mod fields;
mod identity;
pub mod installed;
mod known;
pub mod leases;
pub mod networks;
mod open;
mod oui;
pub mod owners;
mod peers;
mod special_use;

pub use self::{
    about::About,
    directory::{Directory, Entry, Naming},
    domain::registrable_domain,
    identity::{DeviceKey, Identity, mapped, range_of},
    installed::{Enrichment, SharedEnrichment},
    known::{KnownName, KnownNames},
    networks::{Network, Networks},
    oui::{OUI_DATE, Oui},
    owners::{Owner, Owners},
    peers::{PeerName, PeerNames},
};
pub use iotq_proto::names_file::{Named, Names, NamesError};
