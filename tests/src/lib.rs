//! Traffic made from described scenarios, and tests of the whole system.
//!
//! The generator builds every frame itself, from a seed: no captured packet is
//! in this crate, and the same description gives the same bytes everywhere.

pub mod answers;
pub mod bench;
pub mod findings;
pub mod mix;
pub mod oracle;
pub mod pcap_file;
pub mod random;
pub mod scenario;
pub mod system;
pub mod torture;
pub mod traffic;
