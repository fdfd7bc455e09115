//! What collector, analyzer and CLI agree on: the gRPC messages, and the
//! checked types that raw values become when they cross a program's border.
//!
//! This crate reads no clock, and no files but those that the user names: of names, settings, certificates.

mod batch;
mod codec;
mod collector;
mod dns;
pub mod error;
mod kinds;
mod link;
mod mac;
pub mod names_file;
mod net;
#[cfg(feature = "service")]
pub mod service;
pub mod settings;
mod size;
pub mod supervision;
mod time;
pub mod tls;
mod vlan;

pub use batch::{
    BatchId, CheckedBatch, InvalidBatch, MAX_BATCH_BYTES, MAX_BATCH_CONNECTIONS, MAX_BATCH_NAME_BYTES, MAX_BATCH_NAMES,
    MAX_BATCH_PACKETS, MAX_BATCH_SLICES, MAX_DNS_ANSWERS, MAX_NAME_TEXT, MAX_RECORD_TEXT, MAX_SIGHTING_TEXT,
};
pub use collector::{CollectorId, InvalidCollectorId};
pub use dns::{RecordType, rcode_mnemonic};
pub use kinds::{
    ConnState, ConnectionEnd, DnsKind, GapReason, LossStage, ServerNameSource, Service, SightingKind, TlsTransport,
    UndecodedReason,
};
pub use link::LinkProtocol;

pub use mac::{InvalidMacAddr, MacAddr};
pub use net::{InvalidAddress, address_from_octets, address_octets, address_of_version, protocol_keyword};
pub use size::parse_size;
pub use time::Timestamp;
pub use vlan::VlanId;

/// Generated messages and services of `package iotq.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::doc_markdown,
    clippy::allow_attributes_without_reason,
    clippy::map_unwrap_or,
    clippy::semicolon_if_nothing_returned,
    clippy::uninlined_format_args,
    reason = "generated; the comments in the .proto files are its documentation"
)]
pub mod v1 {
    tonic::include_proto!("iotq.v1");
}

/// The compiled `.proto` files, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/iotq.descriptors.bin"));
