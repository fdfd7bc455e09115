//! Packets as lines of text, in the habits of tcpdump.

use std::io::{self, Write};

use iotq_proto::{
    address_of_version,
    v1::{Header, Packet},
};
use jiff::tz::TimeZone;

use super::{Sheet, protocol_name, safe, units::Zoned};
use crate::config::Config;

/// One line a packet, written when it comes.
pub struct PacketLines<W> {
    out: W,
    time_zone: TimeZone,
    color: bool,
    follow: bool,
    /// Whether the time alone would not say when it was.
    dated: bool,
}

impl<W: Write> PacketLines<W> {
    /// No lines yet.
    #[must_use]
    pub fn new(out: W, config: &Config) -> Self {
        let (time_zone, color) = (config.terminal.time_zone.clone(), config.terminal.color);
        Self { out, time_zone, color, follow: config.follow, dated: true }
    }
}

impl<W: Write> Sheet<Packet> for PacketLines<W> {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        let within_a_day = match (header.since_ns, header.until_ns) {
            (Some(since), Some(until)) => until.saturating_sub(since) <= DAY_NS,
            _ => false,
        };
        self.dated = !self.follow && !within_a_day;
        Ok(())
    }

    fn row(&mut self, packet: &Packet) -> io::Result<()> {
        let at = Zoned { at_ns: packet.captured_at_ns, time_zone: &self.time_zone };
        let at = at.format(if self.dated { "%Y-%m-%d %H:%M:%S.%6f" } else { "%H:%M:%S.%6f" });
        let (dim, plain) = if self.color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        writeln!(self.out, "{dim}{at}{plain} {}", line(packet, self.color))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.out.flush()
    }
}

/// The letters tcpdump writes for TCP flags, `none` for none.
#[must_use]
pub fn tcp_flag_letters(flags: u16) -> String {
    let letters: String = FLAG_LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
    if letters.is_empty() { "none".to_owned() } else { letters }
}

/// The line without its time.
fn line(packet: &Packet, color: bool) -> String {
    let paint = |text: String, code: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
    let src = endpoint(&packet.src_name, &packet.src_ip, packet.src_port, packet.ip_version);
    let dst = endpoint(&packet.dst_name, &packet.dst_ip, packet.dst_port, packet.ip_version);
    let (src, dst) = (paint(src, CYAN), paint(dst, CYAN));
    let protocol = protocol_name(packet.protocol);
    let flags = packet.tcp_flags.and_then(|flags| u16::try_from(flags).ok());
    let flags = flags.map_or_else(String::new, |flags| {
        let letters = format!("[{}]", tcp_flag_letters(flags));
        format!(" {}", if flags & (SYN | FIN | RST) == 0 { letters } else { paint(letters, BOLD) })
    });
    let vlan = packet.vlan_id.map_or_else(String::new, |vlan| format!(", vlan {vlan}"));
    let (payload, wire) = (packet.payload_bytes, packet.wire_bytes);
    format!("{src} > {dst}: {protocol}{flags}, payload {payload}, wire {wire}{vlan}")
}

fn endpoint(name: &str, octets: &[u8], port: Option<u32>, ip_version: u32) -> String {
    let host = if name.is_empty() {
        address_of_version(octets, ip_version).map_or_else(|_| "?".to_owned(), |ip| ip.to_string())
    } else {
        safe(name).into_owned()
    };
    port.map_or_else(|| host.clone(), |port| format!("{host}.{port}"))
}

/// tcpdump's order (print-tcp.c, `tcp_flag_values`); bits of RFC 9293, section
/// 3.1, and AE of draft-ietf-tcpm-accurate-ecn.
const FLAG_LETTERS: [(u16, char); 9] = [
    (0x001, 'F'),
    (0x002, 'S'),
    (0x004, 'R'),
    (0x008, 'P'),
    (0x010, '.'),
    (0x020, 'U'),
    (0x040, 'E'),
    (0x080, 'W'),
    (0x100, 'e'),
];

/// What begins or ends a connection stands out (RFC 9293, section 3.1).
const FIN: u16 = 0x001;
const SYN: u16 = 0x002;
const RST: u16 = 0x004;

/// Select Graphic Rendition (ECMA-48, section 8.3.117).
const BOLD: &str = "1";
const CYAN: &str = "36";

const DAY_NS: i64 = 86_400_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_tcpdumps() {
        let letters = [0x002, 0x012, 0x018, 0x011, 0x004, 0x0c2, 0].map(tcp_flag_letters);
        assert_eq!(letters, ["S", "S.", "P.", "F.", "R", "SEW", "none"]);
    }
}
