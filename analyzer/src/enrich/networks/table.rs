//! One table of networks: ranges of addresses, and the systems or countries they
//! stand for.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::ranges::{NOTHING, Ranges, Row};
use crate::enrich::about::{About, clean};

/// What a table says of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Which autonomous system announces it.
    Asn,
    /// In which country it is.
    Country,
}

impl Kind {
    /// As in commands and file names.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Asn => "asn",
            Self::Country => "country",
        }
    }
}

/// A table of networks.
#[derive(Debug)]
pub struct Table {
    kind: Kind,
    about: About,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// Number, and where in `text` its name is; the first stands for nothing.
    entries: Vec<(u32, u32, u32)>,
    text: String,
}

impl Table {
    /// The system's number (0 in a table of countries) and the system's or
    /// country's name.
    pub(super) fn find(&self, ip: IpAddr) -> Option<(u32, &str)> {
        let value = match ip {
            IpAddr::V4(ip) => self.v4.find(ip.into()),
            IpAddr::V6(ip) => self.v6.find(ip.into()),
        };
        self.entry(value)
    }

    /// What it says.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it comes from.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Says where it comes from.
    pub fn describe(&mut self, about: About) {
        self.about = about;
    }

    /// How many ranges it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether it says nothing of any address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<(u32, u32, u32)>();
        self.v4.size_bytes() + self.v6.size_bytes() + entries + self.text.capacity()
    }

    /// All ranges: first and last address, number, name.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u32, &str)> {
        let v4 = self
            .v4
            .iter()
            .map(|(first, last, value)| (IpAddr::V4(Ipv4Addr::from(first)), IpAddr::V4(Ipv4Addr::from(last)), value));
        let v6 = self
            .v6
            .iter()
            .map(|(first, last, value)| (IpAddr::V6(Ipv6Addr::from(first)), IpAddr::V6(Ipv6Addr::from(last)), value));
        v4.chain(v6).filter_map(|(first, last, value)| {
            let (number, name) = self.entry(value)?;
            Some((first, last, number, name))
        })
    }

    fn entry(&self, value: u32) -> Option<(u32, &str)> {
        if value == NOTHING {
            return None;
        }
        let (number, begin, end) = self.entries.get(usize::try_from(value).ok()?)?;
        let name = self.text.get(usize::try_from(*begin).ok()?..usize::try_from(*end).ok()?)?;
        Some((*number, name))
    }
}

/// Takes the rows of a file and packs them.
#[derive(Debug)]
pub struct TableBuilder {
    kind: Kind,
    about: About,
    v4: Vec<Row<u32>>,
    v6: Vec<Row<u128>>,
    entries: Vec<(u32, u32, u32)>,
    text: String,
    known: HashMap<(u32, String), u32>,
}

impl TableBuilder {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let entries = vec![(0, 0, 0)];
        let about = About::default();
        Self { kind, about, v4: Vec::new(), v6: Vec::new(), entries, text: String::new(), known: HashMap::new() }
    }

    /// What is said of the file as a whole.
    pub fn about_mut(&mut self) -> &mut About {
        &mut self.about
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds a range of IPv4 or IPv6 addresses.
    ///
    /// # Errors
    /// If the range is none, or there are too many; the text says which.
    pub fn add(&mut self, first: IpAddr, last: IpAddr, number: u32, name: &str) -> Result<(), String> {
        if self.v4.len() + self.v6.len() >= MAX_ROWS {
            return Err(format!("more than {MAX_ROWS} ranges"));
        }
        if first > last {
            return Err(format!("the range {first} to {last} ends before it begins"));
        }
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let value = self.value(number, name)?;
                self.v4.push((first.into(), last.into(), value));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let value = self.value(number, name)?;
                self.v6.push((first.into(), last.into(), value));
            }
            _ => return Err(format!("{first} to {last} is half IPv4, half IPv6")),
        }
        Ok(())
    }

    /// Packs what was added.
    #[must_use]
    pub fn finish(mut self) -> Table {
        self.entries.shrink_to_fit();
        self.text.shrink_to_fit();
        Table {
            kind: self.kind,
            about: self.about,
            v4: Ranges::pack(self.v4),
            v6: Ranges::pack(self.v6),
            entries: self.entries,
            text: self.text,
        }
    }

    /// The number of an entry, which is made if it is new.
    fn value(&mut self, number: u32, name: &str) -> Result<u32, String> {
        let name: String = clean(name).chars().take(MAX_NAME_CHARS).collect();
        let key = (number, name);
        if let Some(value) = self.known.get(&key) {
            return Ok(*value);
        }
        let too_many = || format!("more than {MAX_NAMES} different names");
        let value = u32::try_from(self.entries.len()).map_err(|_| too_many())?;
        if self.entries.len() > MAX_NAMES {
            return Err(too_many());
        }
        let begin = u32::try_from(self.text.len()).map_err(|_| too_many())?;
        self.text.push_str(&key.1);
        let end = u32::try_from(self.text.len()).map_err(|_| too_many())?;
        self.entries.push((number, begin, end));
        self.known.insert(key, value);
        Ok(value)
    }
}

/// Some twice what the largest free tables have; 400 MB while they are read.
const MAX_ROWS: usize = 8_000_000;
/// There are some 120,000 autonomous systems.
const MAX_NAMES: usize = 1_000_000;
/// The longest name of an autonomous system is some 100 characters.
const MAX_NAME_CHARS: usize = 200;
