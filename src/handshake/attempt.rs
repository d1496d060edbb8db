//! A decided attempt: the record that every output is made from.

use smallvec::SmallVec;

use super::cause::Inference;
use super::facts::Facts;
use super::verdict::{Connect, Reason, Vantage, Verdict};
use crate::packet::{Endpoint, FrameRef, Span, Timestamp};

/// One client SYN and what became of it (DOMAIN: "attempt").
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Who connects.
    pub client: Endpoint,
    /// Who is connected to.
    pub server: Endpoint,
    /// The first packet: the SYN, or the SYN-ACK where no SYN stands before it. (A refusal before its SYN counts, but
    /// is not the first.)
    pub frame: FrameRef,
    /// The position of the first packet in the whole input, from 0; orders attempts.
    pub ordinal: u64,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the last packet before the decision.
    pub end: Timestamp,
    /// What the packets show.
    pub verdict: Verdict,
    /// More about an `undetermined` or `unreachable`, or that the SYN is not in the capture.
    pub reason: Option<Reason>,
    /// Whether the server established the connection: proved, disproved by the verdict, or unknown.
    pub established: Option<bool>,
    /// Repeated packets, copies excluded.
    pub retries: Retries,
    /// When SYN-ACK was repeated, counted from the first SYN-ACK; where there was no SYN-ACK, when SYN was
    /// repeated, counted from the first SYN. At most [`Retries::TIMES_KEPT`].
    pub retry_at: RetryTimes,
    /// Round trips and margins.
    pub timing: Timing,
    /// Where the capture was taken, as this attempt's timing tells.
    pub vantage: Option<Vantage>,
    /// What the client's `connect()` said.
    pub connect: Connect,
    /// Packets of the attempt up to its decision, copies included.
    pub packets: u32,
    /// Facts that the inference goes by.
    pub facts: Facts,
    /// How long nothing had been heard of it at the capture's end; zero where it was replaced, evicted or
    /// is not decided; `None` where it was silent for longer than any repeat takes.
    pub silence: Option<Span>,
    /// What it means, and how sure that is.
    pub inference: Inference,
}

impl Attempt {
    /// Whether the server reset it after the client's ACK.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.verdict == Verdict::ResetAfterAck || self.timing.ack_to_rst.is_some()
    }
}

/// Times of repeats. As many as take no more room are kept in place: most attempts have none or few, and memory that one
/// thread asks for and another gives back is dear.
pub type RetryTimes = SmallVec<[Span; 2]>;

/// How often each packet was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// Repeated SYNs.
    pub syn: u32,
    /// Repeated SYN-ACKs.
    pub syn_ack: u32,
    /// Those of `syn_ack` that came after an ACK which the server should have had by then.
    pub after_ack: u32,
}

impl Retries {
    /// How many repeat times an attempt keeps. Linux gives up after 5 by default; a sysctl may raise
    /// it to 255, but by the 16th the doubling time-out has passed the kernel's ceiling of 120 s.
    pub const TIMES_KEPT: usize = 16;
}

/// The attempt's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// From the SYN to the SYN-ACK that answers it: the server side's round trip.
    pub syn_to_synack: Option<Span>,
    /// From the SYN-ACK to the ACK that answers it: the client side's round trip.
    pub synack_to_ack: Option<Span>,
    /// From the last valid ACK or data of the client to the server's RST.
    pub ack_to_rst: Option<Span>,
    /// From the first packet to the last.
    pub duration: Span,
}
