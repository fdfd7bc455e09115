//! What is known beyond the packets: whose an endpoint is, what a device is
//! called, who made it. Applied when a question is asked, never stored, so that
//! learning something later changes the past too.

mod directory;
mod identity;
mod names;
mod oui;
mod peers;

pub use self::{
    directory::{Directory, Naming},
    identity::{DeviceKey, Identity, mapped, range_of},
    names::{Named, Names, NamesError},
    oui::{OUI_DATE, Oui},
    peers::{PeerName, PeerNames},
};
