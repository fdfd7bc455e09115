//! Where frames come from: capture files and interfaces.
//!
//! Both hand over [`Chunk`](crate::chunk::Chunk)s: decoded packets, and a count
//! for every frame that is none. Nothing here waits for what comes after.

pub mod file;
mod intake;
pub mod live;
pub mod own;
pub mod pcapng;
pub mod raw;
