//! `dhcpd.leases(5)` of ISC's DHCP server: statements and blocks as in its
//! configuration.

use std::{iter::Peekable, net::IpAddr, str::Chars};

use super::{Found, Lease, LeasesError, at_ns};

/// Whether a file begins so.
pub(super) fn is_begin(line: &str) -> bool {
    let word = line.split([' ', '\t', '{']).next().unwrap_or_default();
    BEGINS.contains(&word) && line.contains(['{', ';', ' ']) && !line.contains(',')
}

/// Reads leases and host declarations.
pub(super) fn parse(content: &str, found: &mut Found) -> Result<(), LeasesError> {
    let mut tokens = Tokens { chars: content.chars().peekable(), line: 1 };
    let mut blocks: Vec<Block> = Vec::new();
    let mut statement: Vec<String> = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) if statement.len() < MAX_WORDS => statement.push(word),
            Token::Word(_) => {}
            Token::End => {
                if let Some(block) = blocks.last_mut() {
                    block.take(&statement);
                }
                statement.clear();
            }
            Token::Open => {
                if blocks.len() >= MAX_DEPTH {
                    return Err(found.malformed(format!("line {}: blocks in blocks in blocks", tokens.line)));
                }
                blocks.push(Block::new(&statement, tokens.line));
                statement.clear();
            }
            Token::Close => {
                let Some(block) = blocks.pop() else {
                    return Err(found.malformed(format!("line {}: `}}` without `{{`", tokens.line)));
                };
                statement.clear();
                block.finish(found)?;
            }
        }
    }
    if let Some(block) = blocks.first() {
        // The server may be writing just now, or the copy was cut.
        found.skip(block.line, "the block does not end");
    }
    Ok(())
}

/// What stands between braces.
struct Block {
    line: usize,
    kind: Kind,
    lease: Lease,
    /// Not `active`: the address may be another's by now.
    has_ended: bool,
    is_deleted: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Lease,
    Host,
    /// Groups and whatever has no name in it.
    Other,
}

impl Block {
    fn new(head: &[String], line: usize) -> Self {
        let mut lease = Lease::default();
        let word = |at: usize| head.get(at).map_or("", String::as_str);
        let kind = match word(0) {
            "lease" => {
                lease.ip = word(1).parse().ok();
                Kind::Lease
            }
            "host" => {
                word(1).clone_into(&mut lease.name);
                Kind::Host
            }
            _ => Kind::Other,
        };
        Self { line, kind, lease, has_ended: false, is_deleted: false }
    }

    fn take(&mut self, statement: &[String]) {
        let words: Vec<&str> = statement.iter().map(String::as_str).collect();
        match (self.kind, words.as_slice()) {
            (Kind::Lease | Kind::Host, ["hardware", "ethernet", mac, ..]) => self.lease.mac = mac.parse().ok(),
            (Kind::Lease, ["client-hostname", name, ..])
            | (Kind::Host, ["option", "host-name", name, ..] | ["ddns-hostname", name, ..]) => {
                (*name).clone_into(&mut self.lease.name);
            }
            (Kind::Lease, ["binding", "state", state, ..]) => self.has_ended = *state != "active",
            (Kind::Lease, ["ends", "epoch", seconds, ..]) => {
                self.lease.ends_at_ns = seconds.parse().ok().and_then(at_ns);
            }
            (Kind::Lease, ["ends", _, date, time, ..]) => self.lease.ends_at_ns = instant(date, time),
            (Kind::Host, ["fixed-address", addresses @ ..]) => {
                let addresses = addresses.iter().flat_map(|word| word.split(','));
                self.lease.ip = addresses.filter_map(|address| address.parse::<IpAddr>().ok()).next();
            }
            (Kind::Host, ["deleted", ..]) => self.is_deleted = true,
            _ => {}
        }
    }

    fn finish(mut self, found: &mut Found) -> Result<(), LeasesError> {
        if self.kind == Kind::Other || self.is_deleted {
            return Ok(());
        }
        if self.has_ended {
            self.lease.ip = None;
        }
        found.take(self.line, self.lease)
    }
}

/// `2026/01/02 03:04:05`, in UTC as the page says.
fn instant(date: &str, time: &str) -> Option<i64> {
    let text = format!("{}T{time}", date.replace('/', "-"));
    let instant = text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    at_ns(instant.timestamp().as_second())
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            match self.advance()? {
                '{' => return Some(Token::Open),
                '}' => return Some(Token::Close),
                ';' => return Some(Token::End),
                '"' => return Some(Token::Word(self.string())),
                '#' => while self.advance().is_some_and(|each| each != '\n') {},
                each if each.is_whitespace() => {}
                each => return Some(Token::Word(self.word(each))),
            }
        }
    }

    fn advance(&mut self) -> Option<char> {
        let each = self.chars.next()?;
        if each == '\n' {
            self.line += 1;
        }
        Some(each)
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(each) = self.chars.peek().copied() {
            if each.is_whitespace() || matches!(each, '{' | '}' | ';' | '"') {
                break;
            }
            if word.len() < MAX_WORD_BYTES {
                word.push(each);
            }
            self.advance();
        }
        word
    }

    /// Up to the closing quote. Octets that are no printable ASCII are written as
    /// three octal digits, so UTF-8 comes together again only at the end.
    fn string(&mut self) -> String {
        let mut octets = Vec::new();
        let mut utf8 = [0; 4];
        while let Some(each) = self.advance() {
            let octet = match each {
                '"' => break,
                '\\' => match self.advance() {
                    Some('n') => b'\n',
                    Some('r') => b'\r',
                    Some('t') => b'\t',
                    Some('b') => 8,
                    Some('x') => self.number('0', 16, 2),
                    Some(digit @ '0'..='7') => self.number(digit, 8, 2),
                    Some(other) => u8::try_from(other).unwrap_or(b'?'),
                    None => break,
                },
                other => {
                    octets.extend_from_slice(other.encode_utf8(&mut utf8).as_bytes());
                    continue;
                }
            };
            octets.push(octet);
            if octets.len() >= MAX_WORD_BYTES {
                break;
            }
        }
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// A number of an octet: the first digit is read, up to so many more follow.
    fn number(&mut self, first: char, radix: u32, more: usize) -> u8 {
        let mut value = first.to_digit(radix).unwrap_or(0);
        for _ in 0..more {
            let Some(digit) = self.chars.peek().and_then(|each| each.to_digit(radix)) else { break };
            value = value * radix + digit;
            self.advance();
        }
        u8::try_from(value).unwrap_or(b'?')
    }
}

/// The first words of a lease file's statements.
const BEGINS: [&str; 12] = [
    "lease",
    "host",
    "group",
    "subgroup",
    "server-duid",
    "default-duid",
    "authoring-byte-order",
    "failover",
    "ia-na",
    "ia-ta",
    "ia-pd",
    "shared-network",
];
/// A lease has statements of at most six words; conditions in a host may have more.
const MAX_WORDS: usize = 64;
/// A name is at most 255 octets, an identifier too.
const MAX_WORD_BYTES: usize = 4096;
/// Groups in groups with hosts: four in what the server writes.
const MAX_DEPTH: usize = 32;
