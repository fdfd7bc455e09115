//! The user's own names and groups, from a file.
//!
//! A line is `MAC or address, name, group`; the group may be missing, or be
//! several with `;` between them. What follows a `#` is a comment.

use std::{
    collections::HashMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use iotq_proto::MacAddr;

/// Names by MAC and by address.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_mac: HashMap<MacAddr, Named>,
    by_ip: HashMap<IpAddr, Named>,
}

/// What the user calls a device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Named {
    /// Empty: only its groups are given.
    pub name: String,
    /// May be empty.
    pub groups: Vec<String>,
}

/// Why a names file is not used.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// It cannot be read.
    #[error("names file {path} not read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is none.
    #[error("names file {path}, line {line}: {what}")]
    Line {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl Names {
    /// Reads a names file.
    ///
    /// # Errors
    /// If it cannot be read or a line is not understood.
    pub fn read(path: &Path) -> Result<Self, NamesError> {
        let text = fs::read_to_string(path).map_err(|source| NamesError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|(line, what)| NamesError::Line { path: path.to_owned(), line, what })
    }

    /// What the user calls the device with this MAC or one of these addresses.
    #[must_use]
    pub fn find<'a>(&self, mac: Option<MacAddr>, ips: impl IntoIterator<Item = &'a IpAddr>) -> Option<&Named> {
        let by_mac = mac.and_then(|mac| self.by_mac.get(&mac));
        by_mac.or_else(|| ips.into_iter().find_map(|ip| self.by_ip.get(ip)))
    }

    /// What the user calls this address.
    #[must_use]
    pub fn of_ip(&self, ip: IpAddr) -> Option<&Named> {
        self.by_ip.get(&ip)
    }

    /// Stub.
    pub fn group_members(&self) -> Vec<(String, String)> {
        vec![]
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut names = Self::default();
        for (index, line) in text.lines().enumerate() {
            let code = line.split('#').next().unwrap_or_default().trim();
            if code.is_empty() {
                continue;
            }
            names.add(code).map_err(|what| (index + 1, what))?;
        }
        Ok(names)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let mut fields = line.splitn(3, ',').map(str::trim);
        let who = fields.next().unwrap_or_default();
        let name = fields.next().ok_or("a line is `MAC or address, name, group`")?.to_owned();
        let groups = fields.next().unwrap_or_default().split(';').map(str::trim).filter(|group| !group.is_empty());
        let named = Named { name, groups: groups.map(str::to_owned).collect() };
        if named.name.is_empty() && named.groups.is_empty() {
            return Err(format!("`{who}` gets neither name nor group"));
        }
        let known = if let Ok(mac) = who.parse() {
            self.by_mac.insert(mac, named).is_some()
        } else if let Ok(ip) = who.parse::<IpAddr>() {
            self.by_ip.insert(ip.to_canonical(), named).is_some()
        } else {
            return Err(format!("`{who}` is neither a MAC nor an address"));
        };
        if known { Err(format!("`{who}` is here twice")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_groups_are_read() {
        let text = "# house\n00:00:5e:00:53:01, Kindle, mobile; kids # hers\n192.0.2.7, NAS\n\n2001:db8::1,,iot\n";
        let names = Names::parse(text).unwrap();
        let kindle = names.find("00:00:5e:00:53:01".parse().ok(), []).unwrap();
        assert_eq!(
            (kindle.name.as_str(), kindle.groups.as_slice()),
            ("Kindle", ["mobile".to_owned(), "kids".to_owned()].as_slice())
        );
        assert_eq!(names.of_ip("192.0.2.7".parse().unwrap()).unwrap().name, "NAS");
        assert_eq!(names.find(None, [&"2001:db8::1".parse().unwrap()]).unwrap().groups, ["iot"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in
            [("\nkindle, Kindle", 2), ("192.0.2.1", 1), ("192.0.2.1, a\n192.0.2.1, b", 2), ("192.0.2.1, ,", 1)]
        {
            assert_eq!(Names::parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
