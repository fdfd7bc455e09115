//! What the fuzz targets share: how octets become packets, what has to hold of
//! what is made of them, and seeds from real captures.

pub mod check;
pub mod items;
pub mod seeds;
pub mod wire;
