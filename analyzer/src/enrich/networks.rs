//! Whose network an address is in, and in which country: two tables, of autonomous
//! systems and of countries, each searched by halving.
//!
//! Never asks anybody: what is not in the tables is not known.

mod import;
mod mmdb;
mod ranges;
mod table;
mod text;

use std::net::IpAddr;

pub(crate) use self::text::asn;
pub use self::{
    import::{ImportError, read, write},
    table::{Kind, Table, TableBuilder},
};
use super::special_use;

/// The tables that are loaded; both may be missing.
#[derive(Debug, Default)]
pub struct Networks {
    asn: Option<Table>,
    country: Option<Table>,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Network<'a> {
    /// The autonomous system that announces it; 0: not known.
    pub asn: u32,
    /// That system's name; empty: not known.
    pub as_name: &'a str,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<&'a str>,
}

impl Networks {
    /// With these tables.
    #[must_use]
    pub fn new(asn: Option<Table>, country: Option<Table>) -> Self {
        Self { asn, country }
    }

    /// What is known of an address of the Internet; addresses for special uses are
    /// in no network.
    #[must_use]
    pub fn lookup(&self, ip: IpAddr) -> Option<Network<'_>> {
        let ip = special_use::to_look_up(ip)?;
        let system = self.asn.as_ref().and_then(|table| table.find(ip));
        let country = self.country.as_ref().and_then(|table| table.find(ip));
        if system.is_none() && country.is_none() {
            return None;
        }
        let (asn, as_name) = system.unwrap_or_default();
        Some(Network { asn, as_name, country: country.map(|(_, code)| code) })
    }

    /// The table of autonomous systems.
    #[must_use]
    pub fn asn(&self) -> Option<&Table> {
        self.asn.as_ref()
    }

    /// The table of countries.
    #[must_use]
    pub fn country(&self) -> Option<&Table> {
        self.country.as_ref()
    }
}

#[cfg(test)]
mod tests;
