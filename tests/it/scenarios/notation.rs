//! The notation that scenario files are written in: TOML around packets, one packet a line.
//!
//! Owns the syntax and its errors. Does not know how packets become bytes (`build`) nor what the
//! analysis must answer (`compare`). `fixtures/scenarios/README.md` teaches the notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use super::compare::{Attempt, Counts, Listener};

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    pub(super) scenario: Vec<Scenario>,
}

/// Packets in, expected fields out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// What it shows, and which reading of the rules it takes where there is more than one.
    pub(super) why: String,
    #[serde(default)]
    pub(super) packets: String,
    #[serde(default)]
    pub(super) burst: Vec<Burst>,
    #[serde(default)]
    pub(super) v6: bool,
    #[serde(default = "yes")]
    pub(super) timestamps: bool,
    #[serde(default)]
    pub(super) isn: Isns,
    /// When the capture ends, by a mid-stream segment of strangers.
    pub(super) end: Option<f64>,
    /// Frames stay as written, even where their times go back.
    #[serde(default)]
    pub(super) unsorted: bool,
    /// The scenario is run again for each packet and each of these times, by which that packet's time is off.
    #[serde(default)]
    pub(super) misdated: Vec<Misdated>,
    /// Every packet is captured twice.
    pub(super) twice: Option<Twice>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// The name of the example in `fixtures/examples/` that this is.
    pub(super) example: Option<String>,
    #[serde(default)]
    pub(super) attempt: Vec<Attempt>,
    #[serde(default)]
    pub(super) listener: Vec<Listener>,
    #[serde(default)]
    pub(super) counts: Counts,
}

/// The same packets from `repeat` client ports, `every` seconds apart.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Burst {
    pub(super) packets: String,
    pub(super) repeat: u16,
    pub(super) every: f64,
}

/// Initial sequence numbers of clients and servers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Isns {
    #[serde(rename = "C")]
    pub(super) client: u32,
    #[serde(rename = "S")]
    pub(super) server: u32,
}

impl Default for Isns {
    fn default() -> Self {
        Self { client: 1_000_000, server: 900_000_000 }
    }
}

/// A wrong time of a packet.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum Misdated {
    /// So many seconds off.
    By(f64),
    /// `"zero"`: the first second of 1970; the first packet only.
    FirstAtZero(Zero),
}

/// The word `zero`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Zero {
    Zero,
}

/// Difference between the second copy of every packet and the first.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Twice {
    pub(super) after: f64,
    pub(super) ttl: Option<u8>,
}

const fn yes() -> bool {
    true
}

/// Nanoseconds since the capture began.
pub(super) type Nanos = i64;

/// A number of seconds as nanoseconds.
pub(super) fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9).round() as Nanos
}

/// Part of a host in the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Client,
    Server,
    Router,
    /// Somebody whose traffic has nothing to do with the scenario.
    Stranger,
}

/// `C`, `S2`, `C:40001` …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) role: Role,
    pub(super) host: u8,
    pub(super) port: u16,
}

impl Endpoint {
    /// Its address: a client is 10.0.0.n, a server 10.0.1.n, a router 10.0.2.n, a stranger 10.0.3.n.
    pub(super) fn socket(self, v6: bool) -> SocketAddr {
        let net = match self.role {
            Role::Client => 0,
            Role::Server => 1,
            Role::Router => 2,
            Role::Stranger => 3,
        };
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, u16::from(net), 0, 0, 0, u16::from(self.host)))
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 0, net, self.host))
        };
        SocketAddr::new(ip, self.port)
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(number::<u16>("port", port)?)),
            None => (text, None),
        };
        let mut letters = name.chars();
        let (role, usual_port) = match letters.next() {
            Some('C') => (Role::Client, 40_000),
            Some('S') => (Role::Server, 80),
            Some('R') => (Role::Router, 0),
            Some('X') => (Role::Stranger, 5000),
            _ => return Err(format!("'{text}' is no endpoint: C, S, R or X, a host number, a :port")),
        };
        let host = match letters.as_str() {
            "" => 1,
            digits => number("host", digits)?,
        };
        Ok(Self { role, host, port: port.unwrap_or(usual_port) })
    }
}

/// One packet as written.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: Nanos,
    pub(super) packet: Written,
    /// The line itself, for messages.
    pub(super) text: String,
}

/// Content of a line.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Tcp {
        from: Endpoint,
        to: Endpoint,
        tcp: Tcp,
    },
    Icmp {
        from: Endpoint,
        to: Endpoint,
        kind: u8,
        code: u8,
        quoted: Option<usize>,
    },
    Udp {
        from: Endpoint,
        to: Endpoint,
    },
    /// The packet of the line before, again.
    Copy {
        ttl: Option<u8>,
    },
}

/// The TCP header; what is not written is filled in by `build`.
#[derive(Debug, Clone, Default)]
pub(super) struct Tcp {
    pub(super) flags: Flags,
    pub(super) seq: Option<Number>,
    pub(super) ack: Option<Number>,
    pub(super) len: usize,
    pub(super) win: Option<u16>,
    pub(super) ttl: Option<u8>,
    pub(super) isn: Option<u32>,
    pub(super) timestamps: Timestamps,
    pub(super) fast_open: bool,
    pub(super) checksum: Sum,
    /// The kinds of options in their order; Linux' where none are given.
    pub(super) options: Option<Vec<OptionKind>>,
    /// A SACK block, counted from the peer's ISN.
    pub(super) sack: Option<(u32, u32)>,
    /// The IPv4 ID.
    pub(super) ip_id: Option<u16>,
}

/// The TCP checksum of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sum {
    #[default]
    Right,
    Wrong,
    /// The same value whatever the segment: the interface fills it in later.
    Offloaded,
}

/// An option of a SYN or SYN-ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionKind {
    Mss(u16),
    SackPermitted,
    Timestamps,
    Noop,
    WindowScale,
    End,
}

/// Control bits, written as tcpdump does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) psh: bool,
}

/// A sequence number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Counted from the ISN.
    Relative(u32),
    /// `@N`: as it stands in the header.
    Absolute(u32),
}

/// Values of the timestamps option.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Timestamps {
    /// The sender's clock and the peer's last TSval; nothing on RST.
    #[default]
    Usual,
    /// `ts=none`
    None,
    /// `ts=VAL/ECR`
    Given(u32, u32),
    /// `ts=clock`: the clock, on RST too. `ecr=T`: what the peer sent at T is echoed.
    Clock { echo: Option<Nanos> },
}

/// Where and why a line is not understood.
#[derive(Debug)]
pub(super) struct BadLine {
    line: String,
    reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet line '{}': {}", self.line, self.reason)
    }
}

/// Reads all lines of a script. `#` begins a comment.
pub(super) fn script(text: &str) -> Result<Vec<Line>, BadLine> {
    let mut lines = Vec::new();
    let mut clock = 0;
    for raw in text.lines() {
        let words: Vec<&str> = raw.split('#').next().unwrap_or_default().split_whitespace().collect();
        let Some((time, rest)) = words.split_first() else { continue };
        let bad = |reason| BadLine { line: raw.trim().to_owned(), reason };
        clock = instant(time, clock).map_err(bad)?;
        let packet = written(rest).map_err(bad)?;
        lines.push(Line { at: clock, packet, text: rest.join(" ") });
    }
    Ok(lines)
}

/// `1.5` from the start of the script, or `+0.5` after the line before.
fn instant(text: &str, previous: Nanos) -> Result<Nanos, String> {
    match text.strip_prefix('+') {
        Some(after) => Ok(previous + nanos(number("time", after)?)),
        None => Ok(nanos(number("time", text)?)),
    }
}

fn written(words: &[&str]) -> Result<Written, String> {
    match words {
        ["copy", fields @ ..] => Ok(Written::Copy { ttl: copy_ttl(fields)? }),
        [from, ">", to, "icmp", error, fields @ ..] => {
            let (kind, code) = error.split_once('/').ok_or("icmp wants TYPE/CODE")?;
            Ok(Written::Icmp {
                from: from.parse()?,
                to: to.parse()?,
                kind: number("icmp type", kind)?,
                code: number("icmp code", code)?,
                quoted: quoted(fields)?,
            })
        }
        [from, ">", to, "udp"] => Ok(Written::Udp { from: from.parse()?, to: to.parse()? }),
        [from, ">", to, flags, fields @ ..] => {
            Ok(Written::Tcp { from: from.parse()?, to: to.parse()?, tcp: tcp(flags, fields)? })
        }
        _ => Err("want: TIME FROM > TO FLAGS [field=value …], or TIME copy".to_owned()),
    }
}

fn copy_ttl(fields: &[&str]) -> Result<Option<u8>, String> {
    match fields {
        [] => Ok(None),
        [field] => match field.split_once('=') {
            Some(("ttl", ttl)) => Ok(Some(number("ttl", ttl)?)),
            _ => Err(format!("copy takes ttl=N, not '{field}'")),
        },
        _ => Err("copy takes ttl=N only".to_owned()),
    }
}

fn quoted(fields: &[&str]) -> Result<Option<usize>, String> {
    match fields {
        [] => Ok(None),
        [field] => match field.split_once('=') {
            Some(("quoted", bytes)) => Ok(Some(number("quoted", bytes)?)),
            _ => Err(format!("icmp takes quoted=N, not '{field}'")),
        },
        _ => Err("icmp takes quoted=N only".to_owned()),
    }
}

fn tcp(flags: &str, fields: &[&str]) -> Result<Tcp, String> {
    let mut tcp = Tcp { flags: control_bits(flags)?, ..Tcp::default() };
    for field in fields {
        match field.split_once('=') {
            None if *field == "fastopen" => tcp.fast_open = true,
            Some(("sum", "wrong")) => tcp.checksum = Sum::Wrong,
            Some(("sum", "offloaded")) => tcp.checksum = Sum::Offloaded,
            Some(("opts", value)) => tcp.options = Some(option_kinds(value)?),
            Some(("seq", value)) => tcp.seq = Some(sequence(value)?),
            Some(("ack", value)) => tcp.ack = Some(sequence(value)?),
            Some(("len", value)) => tcp.len = number("len", value)?,
            Some(("win", value)) => tcp.win = Some(number("win", value)?),
            Some(("ttl", value)) => tcp.ttl = Some(number("ttl", value)?),
            Some(("id", value)) => tcp.ip_id = Some(number("IP ID", value)?),
            Some(("sack", value)) => {
                let (from, to) = value.split_once('-').ok_or("sack wants FROM-TO")?;
                tcp.sack = Some((number("sack", from)?, number("sack", to)?));
            }
            Some(("isn", value)) => tcp.isn = Some(number("isn", value)?),
            Some(("ts", value)) => tcp.timestamps = timestamps(value)?,
            Some(("ecr", value)) => {
                tcp.timestamps = Timestamps::Clock { echo: Some(nanos(number("ecr", value)?)) };
            }
            _ => return Err(format!("unknown field '{field}'")),
        }
    }
    Ok(tcp)
}

/// `mss,nop,ws,sack,ts,eol`: as tcpdump names them; `mss:8960` gives a size.
fn option_kinds(text: &str) -> Result<Vec<OptionKind>, String> {
    let kind = |name: &str| match name.split_once(':') {
        Some(("mss", size)) => Ok(OptionKind::Mss(number("MSS", size)?)),
        _ => match name {
            "mss" => Ok(OptionKind::Mss(1460)),
            "sack" => Ok(OptionKind::SackPermitted),
            "ts" => Ok(OptionKind::Timestamps),
            "nop" => Ok(OptionKind::Noop),
            "ws" => Ok(OptionKind::WindowScale),
            "eol" => Ok(OptionKind::End),
            other => Err(format!("'{other}' is no option: mss, sack, ts, nop, ws or eol")),
        },
    };
    text.split(',').filter(|name| !name.is_empty()).map(kind).collect()
}

fn control_bits(text: &str) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for letter in text.chars() {
        match letter {
            'S' => flags.syn = true,
            'F' => flags.fin = true,
            'R' => flags.rst = true,
            'P' => flags.psh = true,
            '.' => flags.ack = true,
            _ => return Err(format!("'{text}' are no flags: S F R P and . for ACK")),
        }
    }
    Ok(flags)
}

fn sequence(text: &str) -> Result<Number, String> {
    match text.strip_prefix('@') {
        Some(absolute) => number("sequence number", absolute).map(Number::Absolute),
        None => number("sequence number", text).map(Number::Relative),
    }
}

fn timestamps(text: &str) -> Result<Timestamps, String> {
    match text {
        "none" => Ok(Timestamps::None),
        "clock" => Ok(Timestamps::Clock { echo: None }),
        given => {
            let (value, echo) = given.split_once('/').unwrap_or((given, "0"));
            Ok(Timestamps::Given(number("TSval", value)?, number("TSecr", echo)?))
        }
    }
}

fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no {what}"))
}
