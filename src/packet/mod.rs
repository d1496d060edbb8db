//! Packets: bytes and link type in, [`Segment`] or [`Skip`] out.
//!
//! Owns packet time, sequence numbers, flags, endpoints and flow keys, and the decoding of every
//! link type and encapsulation. Does not own where the bytes come from (`capture`) nor what a
//! sequence of segments means (`handshake`).

#![deny(clippy::disallowed_methods)]

mod capture_set;
mod decode;
mod flow;
mod frame;
mod link;
mod option_layout;
mod point;
mod protocol;
mod segment;
mod seq;
mod shared;
mod time;

pub use capture_set::CaptureSet;
#[cfg(feature = "fuzzing")]
pub(crate) use decode::agree;
pub use decode::decode;
pub(crate) use decode::{
    Glimpse, HEADERS, Unused, general, glimpse_ipv4, glimpse_ipv6, tunnel_ports, tunnel_protocols,
    usual_ipv4, usual_ipv6,
};
pub use flow::{Direction, Endpoint, FlowHasher, FlowKey};
pub(crate) use flow::{SPREAD, Seeded};
pub use frame::{Frame, Frames};
pub use link::LinkType;
pub use option_layout::{OptionKind, OptionLayout};
pub use point::{CapturePoint, PathOrder};
pub use protocol::Protocol;
pub use segment::{Checksum, FrameRef, IcmpError, Packet, Segment, Skip, TcpOptions, Unreachable};
pub(crate) use seq::ticks_between;
pub use seq::{Flags, Seq};
pub use shared::Shared;
pub use time::{Period, Span, Timestamp};
