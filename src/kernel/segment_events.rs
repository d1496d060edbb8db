//! Segments of handshakes that the kernel dropped, each with its reason, by a BPF program (`bpf/handshake.bpf.c`).
//!
//! Owns loading, and turning the program's records into [`SegmentEvent`]s. Does not own what a reason means.
//!
//! Needs CAP_BPF and CAP_PERFMON once, Linux 5.8 and BTF; without, [`SegmentEvents::attach`] returns the reason. For a
//! SYN that met a full queue the kernel has no event: it is consumed, not dropped. ListenOverflows counts those.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, MapData, MapError, RingBuf};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, BtfError, Ebpf, EbpfError};
use strum::IntoEnumIterator;

use super::btf::{VMLINUX, enum_values};
use super::bytes::{bytes_at, u32_at};
use super::segment_event::{DropReason, SegmentEvent, SegmentEventKind};
use crate::clock::now;
use crate::packet::{Flags, Seq, Span, Timestamp};

/// The program, compiled by `scripts/bpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/handshake.bpf.o");

/// Bytes of `struct event`.
const EVENT_LEN: usize = 64;

/// TCP_LISTEN (`net/tcp_states.h`).
const LISTEN_STATE: u8 = 10;

/// Values of `wanted`: all segments; those with SYN, and those without that a LISTEN socket got; all while half of the
/// ring is free.
const WANT_ALL: u32 = 1;
const WANT_SYN_OR_LISTENER: u32 = 2;
const WANT_IF_ROOM: u32 = 3;

/// The segments that are read: full queues come first, since of the other reasons a busy machine may have many.
const fn wanted(reason: DropReason) -> u32 {
    match reason {
        DropReason::ListenOverflow => WANT_ALL,
        DropReason::NoSocket => WANT_SYN_OR_LISTENER,
        DropReason::Paws
        | DropReason::TimeWaitPaws
        | DropReason::InvalidSyn
        | DropReason::Checksum
        | DropReason::Netfilter
        | DropReason::ReversePath
        | DropReason::SocketFilter
        | DropReason::Xfrm
        | DropReason::BpfCgroupEgress
        | DropReason::Qdisc
        | DropReason::CpuBacklog => WANT_IF_ROOM,
    }
}

/// Reason why segment events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentEventsError {
    /// The kernel has no type information.
    #[error("{VMLINUX}: {0} (a kernel with CONFIG_DEBUG_INFO_BTF is needed)")]
    NoBtf(std::io::Error),
    /// The kernel names no reasons of drops: it is older than Linux 5.17.
    #[error("this kernel names no reasons of drops (Linux 5.17 or later is needed)")]
    NoReasons,
    /// The type information could not be used.
    #[error("the kernel's types: {0}")]
    Types(#[from] BtfError),
    /// The program could not be loaded.
    #[error("loading the BPF program: {0} (needs root, or CAP_BPF and CAP_PERFMON)")]
    Load(#[from] EbpfError),
    /// A part of the BPF program could not be attached.
    #[error("attaching the BPF program: {0} (needs root, or CAP_BPF and CAP_PERFMON)")]
    Attach(#[from] ProgramError),
    /// The maps of the BPF program could not be used.
    #[error("the BPF program's maps: {0}")]
    Map(#[from] MapError),
    /// The committed object lacks a part.
    #[error("the BPF program has no part '{0}'")]
    Incomplete(&'static str),
}

/// The loaded program. Detaches when dropped.
pub struct SegmentEvents {
    ring: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    reasons: BTreeMap<u32, DropReason>,
    /// Offset of the wall clock, which stamps packets, from the monotonic clock, which stamps events.
    offset: Span,
    /// Keeps the programs attached.
    _programs: Ebpf,
}

impl SegmentEvents {
    /// Loads the program; `netns` is the inode of the only namespace whose events are wanted. Without `retransmissions`
    /// only drops are: of a server with a million clients SYN-ACKs sent again would fill the ring.
    ///
    /// # Errors
    ///
    /// [`SegmentEventsError`] names what is missing.
    pub fn attach(netns: Option<u32>, retransmissions: bool) -> Result<Self, SegmentEventsError> {
        let vmlinux = fs::read(VMLINUX).map_err(SegmentEventsError::NoBtf)?;
        let values = enum_values(&vmlinux, "skb_drop_reason").ok_or(SegmentEventsError::NoReasons)?;
        let btf = Btf::from_sys_fs()?;
        let mut programs = Ebpf::load(OBJECT)?;
        let mut reasons = BTreeMap::new();
        let mut asked = Array::<_, u32>::try_from(map(&mut programs, "wanted")?)?;
        for (number, name) in &values {
            let name = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
            if let Some(known) = DropReason::iter().find(|known| known.name() == name)
                && *number < asked.len()
            {
                asked.set(*number, wanted(known), 0)?;
                reasons.insert(*number, known);
            }
        }
        if reasons.is_empty() {
            return Err(SegmentEventsError::NoReasons);
        }
        Array::<_, u32>::try_from(map(&mut programs, "only")?)?.set(0, netns.unwrap_or(0), 0)?;
        let ring = RingBuf::try_from(take(&mut programs, "events")?)?;
        let lost = Array::try_from(take(&mut programs, "lost")?)?;
        let parts = [("segment_dropped", "kfree_skb"), ("synack_retransmitted", "tcp_retransmit_synack")];
        let attached = if retransmissions { parts.len() } else { 1 };
        for (program, tracepoint) in parts.into_iter().take(attached) {
            let part = programs.program_mut(program).ok_or(SegmentEventsError::Incomplete(program))?;
            let part: &mut BtfTracePoint = part.try_into()?;
            part.load(tracepoint, &btf)?;
            part.attach()?;
        }
        Ok(Self { ring, lost, reasons, offset: clock_offset(), _programs: programs })
    }

    /// The events that have come.
    pub fn drain(&mut self) -> Vec<SegmentEvent> {
        let mut events = Vec::new();
        while let Some(record) = self.ring.next() {
            events.extend(event(&record, &self.reasons, self.offset));
        }
        events
    }

    /// Events that found the ring full since the program was loaded.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.get(&0, 0).unwrap_or(0)
    }
}

fn map<'a>(programs: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::maps::Map, SegmentEventsError> {
    programs.map_mut(name).ok_or(SegmentEventsError::Incomplete(name))
}

fn take(programs: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, SegmentEventsError> {
    programs.take_map(name).ok_or(SegmentEventsError::Incomplete(name))
}

/// The wall clock ahead of `bpf_ktime_get_ns` (CLOCK_MONOTONIC).
fn clock_offset() -> Span {
    let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec());
    Span::from_nanos(now().as_nanos() - monotonic)
}

/// Reads `struct event`; `None` where it is not one.
pub(super) fn event(
    record: &[u8],
    reasons: &BTreeMap<u32, DropReason>,
    offset: Span,
) -> Option<SegmentEvent> {
    if record.len() < EVENT_LEN {
        return None;
    }
    let port = |at| bytes_at(record, at).map(u16::from_ne_bytes);
    let nanos = u64::from_ne_bytes(*record.first_chunk()?);
    let ip = |at: usize| -> Option<IpAddr> {
        match record.get(29)? {
            4 => bytes_at::<4>(record, at).map(IpAddr::from),
            6 => bytes_at::<16>(record, at).map(IpAddr::from),
            _ => None,
        }
    };
    Some(SegmentEvent {
        at: Timestamp::from_nanos(i64::try_from(nanos).ok()?).plus(offset),
        kind: match record.get(28)? {
            1 => SegmentEventKind::Dropped(*reasons.get(&u32_at(record, 8)?)?),
            2 => SegmentEventKind::SynAckRetransmitted,
            _ => return None,
        },
        source: SocketAddr::new(ip(32)?, port(24)?),
        destination: SocketAddr::new(ip(48)?, port(26)?),
        seq: Seq(u32_at(record, 16)?),
        ack: Seq(u32_at(record, 20)?),
        flags: Flags(*record.get(30)?),
        netns: u32_at(record, 12)?,
        on_listener: *record.get(31)? == LISTEN_STATE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_field_by_field() {
        let mut record = [0_u8; EVENT_LEN];
        record[..8].copy_from_slice(&5_u64.to_ne_bytes());
        for (at, value) in [(8, 77_u32), (12, 4_026_532_177), (16, 1_000), (20, 2_000)] {
            record[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        record[24..26].copy_from_slice(&40_000_u16.to_ne_bytes());
        record[26..28].copy_from_slice(&80_u16.to_ne_bytes());
        record[28..31].copy_from_slice(&[1, 4, 0x10]);
        record[32..36].copy_from_slice(&[10, 0, 0, 9]);
        record[48..52].copy_from_slice(&[10, 0, 0, 1]);
        let reasons = BTreeMap::from([(77, DropReason::ListenOverflow)]);
        let read = event(&record, &reasons, Span::from_nanos(10)).unwrap();
        assert_eq!(read.at, Timestamp::from_nanos(15));
        assert_eq!(read.kind, SegmentEventKind::Dropped(DropReason::ListenOverflow));
        assert_eq!(
            (read.source.to_string(), read.destination.to_string()),
            ("10.0.0.9:40000".into(), "10.0.0.1:80".into())
        );
        assert_eq!(
            (read.seq, read.ack, read.flags, read.netns),
            (Seq(1_000), Seq(2_000), Flags::ACK, 4_026_532_177)
        );
        assert!(!read.on_listener);
        record[31] = LISTEN_STATE;
        assert!(event(&record, &reasons, Span::ZERO).unwrap().on_listener);
        record[28] = 9;
        assert_eq!(event(&record, &reasons, Span::ZERO), None, "another kind");
        assert_eq!(event(&record[..63], &reasons, Span::ZERO), None);
    }
}
