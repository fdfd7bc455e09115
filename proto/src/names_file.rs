//! The user's own names and groups, from a file.
//!
//! A line is `WHO, name, group`; the group may be missing, or be several with `;`
//! between them. What follows a `#` is a comment. WHO is one of
//!
//! | who | gets |
//! | --- | --- |
//! | a MAC or an address | a name, groups, or both |
//! | a network, `192.0.2.0/24` | groups: all devices with an address in it |
//! | a pattern, `name:Meross*` | groups: all devices called so, whoever called them so |

use std::{
    collections::HashMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use crate::MacAddr;

/// Names by MAC and by address, groups also by network and by name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_mac: HashMap<MacAddr, Named>,
    by_ip: HashMap<IpAddr, Named>,
    by_net: Vec<(IpNet, Vec<String>)>,
    /// Patterns in lower case.
    by_name: Vec<(String, Vec<String>)>,
}

/// What the user calls a device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Named {
    /// Empty: only its groups are given.
    pub name: String,
    /// May be empty.
    pub groups: Vec<String>,
}

/// Who is in a group, as far as packets show it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Member {
    /// A device by its MAC.
    Mac(MacAddr),
    /// A device by its address.
    Ip(IpAddr),
    /// All devices with an address in it.
    Net(IpNet),
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
    /// Lines are none.
    #[error("names file {path}: {}", told(lines, *more))]
    Lines {
        /// Which.
        path: PathBuf,
        /// Their numbers, from 1, and what is wrong; at most ten.
        lines: Vec<(usize, String)>,
        /// How many more are wrong.
        more: usize,
    },
}

impl Names {
    /// Reads a names file.
    ///
    /// # Errors
    /// If it cannot be read or a line is not understood.
    pub fn read(path: &Path) -> Result<Self, NamesError> {
        let text = fs::read_to_string(path).map_err(|source| NamesError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|mut lines| {
            let more = lines.len().saturating_sub(MAX_ERRORS);
            lines.truncate(MAX_ERRORS);
            NamesError::Lines { path: path.to_owned(), lines, more }
        })
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

    /// The groups of all devices with one of these addresses, and of those that are
    /// called so.
    pub fn groups_by_rule<'a>(
        &'a self,
        ips: impl IntoIterator<Item = &'a IpAddr> + Clone,
        name: &str,
    ) -> impl Iterator<Item = &'a String> {
        let name = name.to_lowercase();
        let by_net = self.by_net.iter().filter(move |(net, _)| ips.clone().into_iter().any(|ip| net.contains(ip)));
        let by_name = self.by_name.iter().filter(move |(pattern, _)| fits(pattern, &name));
        by_net.flat_map(|(_, groups)| groups).chain(by_name.flat_map(|(_, groups)| groups))
    }

    /// Groups, and what makes somebody a member: networks, patterns of names, MACs and
    /// addresses, as in the file.
    #[must_use]
    pub fn group_members(&self) -> Vec<(String, String)> {
        let by_net = self.by_net.iter().map(|(net, groups)| (net.to_string(), groups));
        let by_name = self.by_name.iter().map(|(pattern, groups)| (format!("name:{pattern}"), groups));
        let by_mac = self.by_mac.iter().map(|(mac, named)| (mac.to_string(), &named.groups));
        let by_ip = self.by_ip.iter().map(|(ip, named)| (ip.to_string(), &named.groups));
        let all = by_net.chain(by_name).chain(by_mac).chain(by_ip);
        let mut members: Vec<_> =
            all.flat_map(|(member, groups)| groups.iter().map(move |group| (group.clone(), member.clone()))).collect();
        members.sort_unstable();
        members
    }

    /// Who is in a group, by this file alone: patterns of names mean the names in it.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<Member> {
        let is_it = |groups: &[String]| groups.iter().any(|each| each == group);
        let is_named_so = |name: &str| {
            let name = name.to_lowercase();
            !name.is_empty() && self.by_name.iter().any(|(pattern, groups)| is_it(groups) && fits(pattern, &name))
        };
        let is_member = |named: &Named| is_it(&named.groups) || is_named_so(&named.name);
        let macs = self.by_mac.iter().filter(|(_, named)| is_member(named)).map(|(mac, _)| Member::Mac(*mac));
        let ips = self.by_ip.iter().filter(|(_, named)| is_member(named)).map(|(ip, _)| Member::Ip(*ip));
        let nets = self.by_net.iter().filter(|(_, groups)| is_it(groups)).map(|(net, _)| Member::Net(*net));
        let mut members: Vec<_> = macs.chain(ips).chain(nets).collect();
        members.sort_unstable();
        members
    }

    /// All that is wrong, if anything is.
    fn parse(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let mut names = Self::default();
        let mut wrong = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let code = line.split('#').next().unwrap_or_default().trim();
            if code.is_empty() {
                continue;
            }
            if let Err(what) = names.add(code) {
                wrong.push((index + 1, what));
            }
        }
        if wrong.is_empty() { Ok(names) } else { Err(wrong) }
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
        } else if let Some(pattern) = who.strip_prefix("name:").map(str::trim).filter(|pattern| !pattern.is_empty()) {
            let groups = groups_only(who, named)?;
            let pattern = pattern.to_lowercase();
            let known = self.by_name.iter().any(|(other, _)| *other == pattern);
            self.by_name.push((pattern, groups));
            known
        } else if let Ok(net) = who.parse::<IpNet>() {
            let groups = groups_only(who, named)?;
            let net = net.trunc();
            let known = self.by_net.iter().any(|(other, _)| *other == net);
            self.by_net.push((net, groups));
            known
        } else {
            return Err(format!("`{who}` is neither a MAC nor an address, a network or `name:…`"));
        };
        if known { Err(format!("`{who}` is here twice")) } else { Ok(()) }
    }
}

fn groups_only(who: &str, named: Named) -> Result<Vec<String>, String> {
    if named.name.is_empty() {
        Ok(named.groups)
    } else {
        Err(format!("`{who}` means several devices: it gets groups, no name"))
    }
}

/// Whether a name fits a pattern, in which `*` is any text and `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at_pattern, mut at_name) = (0, 0);
    // Where the last `*` is, and where in the name its text ends so far.
    let mut star = None;
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(each) if *each == '?' || name.get(at_name) == Some(each) => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => {
                // The last `*` takes one character more.
                let Some((star_pattern, star_name)) = star else { return false };
                star = Some((star_pattern, star_name + 1));
                (at_pattern, at_name) = (star_pattern + 1, star_name + 1);
            }
        }
    }
    pattern.get(at_pattern..).unwrap_or_default().iter().all(|each| *each == '*')
}

fn told(lines: &[(usize, String)], more: usize) -> String {
    let lines: Vec<_> = lines.iter().map(|(line, what)| format!("line {line}: {what}")).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", lines.join("; "))
}

/// More do not help to mend a file.
const MAX_ERRORS: usize = 10;

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
            assert_eq!(Names::parse(text).unwrap_err().first().unwrap().0, line, "{text}");
        }
    }

    #[test]
    fn networks_and_patterns_give_groups() {
        let text =
            "192.168.20.0/24, , iot\n2001:db8::/32,,iot; six\nname:Meross*, , plugs\nname:?\u{d6}fen*,,kitchen\n";
        let names = Names::parse(text).unwrap();
        let groups = |ip: &str, name: &str| {
            let ips = [ip.parse().unwrap()];
            names.groups_by_rule(&ips, name).cloned().collect::<Vec<_>>()
        };
        assert_eq!(groups("192.168.20.9", "MEROSS plug 1"), ["iot", "plugs"]);
        assert_eq!(groups("2001:db8::1", "a meross"), ["iot", "six"]);
        assert_eq!(groups("192.168.21.9", "x\u{f6}fen"), ["kitchen"]);
        assert!(names.find(None, [&"192.168.20.9".parse().unwrap()]).is_none());
    }

    #[test]
    fn members_of_a_group_are_those_that_packets_can_show() {
        let text = "00:00:5e:00:53:01, Meross plug, mobile\n192.0.2.7, NAS, plugs\n192.0.2.8, Meross two\n\
                    198.51.100.0/24,,plugs\nname:meross*,,plugs\n192.0.2.9,,other\n";
        let names = Names::parse(text).unwrap();
        let expected = [
            Member::Mac("00:00:5e:00:53:01".parse().unwrap()),
            Member::Ip("192.0.2.7".parse().unwrap()),
            Member::Ip("192.0.2.8".parse().unwrap()),
            Member::Net("198.51.100.0/24".parse().unwrap()),
        ];
        assert_eq!(names.members("plugs"), expected);
        assert_eq!(names.members("nobody"), []);
    }

    #[test]
    fn all_mistakes_are_told_up_to_ten() {
        let text = "nobody, a\n192.0.2.1, ok\n192.0.2.0/24, name, group\nname:x, y\nname:, , z\n192.0.2.0/24,,a\n192.0.2.7/24,,b\n";
        let lines: Vec<_> = Names::parse(text).unwrap_err().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 7]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        fs::write(&path, "nobody, a\n".repeat(12)).unwrap();
        let error = Names::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 10: `nobody` is neither") && error.ends_with("; and 2 more"), "{error}");
    }

    #[test]
    fn patterns_with_many_stars_end() {
        assert!(fits("*a*b*", "xxaxxbxx") && fits("*", "") && fits("a?c", "abc"));
        assert!(!fits("a*", "ba") && !fits("", "a") && !fits("a?c", "ac"));
        assert!(!fits(&"*a".repeat(200), &"b".repeat(2000)));
    }
}
