//! An attempt with the facts known of its listener and its host: the input of every hypothesis.

use crate::handshake::{Attempt, Evidence, Fact, Vantage, Verdict};
use crate::listener::capture_limits::CaptureLimits;
use crate::listener::kernel_history::{KernelEvents, KernelEvidence};
use crate::listener::observed::{Observed, Stretch};
use crate::packet::{Endpoint, Span, Timestamp};

/// An attempt to be explained.
pub(in crate::listener) struct Case<'a> {
    pub(in crate::listener) attempt: &'a Attempt,
    pub(in crate::listener) own: &'a Observed,
    pub(in crate::listener) host: HostView,
    pub(in crate::listener) limits: CaptureLimits,
    /// Evidence from the kernel's counts of the listener at the attempt's time.
    pub(in crate::listener) kernel: Option<KernelEvidence>,
    /// Events that the kernel counted in the intervals which touch that time.
    pub(in crate::listener) kernel_events: Option<KernelEvents>,
}

/// Facts about other listeners and clients at the attempt's time.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::listener) struct HostView {
    /// Other listeners of the host that left SYNs unanswered in the same stretch.
    pub(in crate::listener) siblings_dropping: u32,
    /// Listeners, of any host, whose SYNs or SYN-ACKs were lost for this client at other times.
    pub(in crate::listener) lossy_elsewhere: u32,
    /// The way from the client to the host lived between the first and the last ignored ACK.
    pub(in crate::listener) way_lived: bool,
    /// Listeners at which the client knocked in vain.
    pub(in crate::listener) ports_knocked: u32,
    /// Time since the end of the last attempt with the same client address, client port and server, if one is known.
    pub(in crate::listener) ports_used_before: Option<Span>,
    /// The address from which the attempt was answered, if it is not the server's.
    pub(in crate::listener) answered_from: Option<Endpoint>,
}

impl Case<'_> {
    pub(in crate::listener) fn verdict(&self) -> Verdict {
        self.attempt.verdict
    }

    pub(in crate::listener) fn has(&self, fact: Fact) -> bool {
        self.attempt.facts.has(fact)
    }

    /// True if the capture was taken near the server: packets in it have reached the server, or come from it.
    pub(in crate::listener) fn is_near_server(&self) -> bool {
        matches!(self.attempt.vantage, Some(Vantage::Server | Vantage::Local))
    }

    /// The time between the attempt's first packet and its last.
    pub(in crate::listener) fn span(&self) -> (Timestamp, Timestamp) {
        (self.attempt.start, self.attempt.end)
    }

    /// Others than this attempt that showed a full queue meanwhile: whether any did, and surely.
    pub(in crate::listener) fn others_overflowed(&self) -> Option<bool> {
        let (from, to) = self.span();
        self.own.marks.others(self.attempt.ordinal, from, to)
    }

    /// Evidence of that.
    pub(in crate::listener) fn others_evidence(&self) -> Option<Evidence> {
        self.others_overflowed().map(|sure| match sure {
            true => Evidence::OthersOverflowed,
            false => Evidence::OthersMayHaveOverflowed,
        })
    }

    /// True if an answer of the server does not fit the SYN: it has other numbers, or came from another address.
    pub(in crate::listener) fn has_odd_answer(&self) -> bool {
        self.has(Fact::ServerOutOfWindow) || self.has(Fact::RstWrongAck) || self.host.answered_from.is_some()
    }

    /// The stretch of unanswered SYNs that the attempt is part of.
    pub(in crate::listener) fn stretch(&self) -> Option<&Stretch> {
        let dropped = crate::listener::observed::dropped_syns(self.attempt);
        let (Some(&first), Some(&last)) = (dropped.first(), dropped.last()) else { return None };
        self.own.drops.at(first, last)
    }

    /// Evidence that the attempt's SYNs went unanswered in one stretch with those of several others, while the listener
    /// answered at other times (DOMAIN §5.1); `None` where they did not.
    pub(in crate::listener) fn drops_cluster(&self) -> Option<Evidence> {
        /// Attempts of a stretch from which on it is one.
        const SEVERAL: u32 = 3;
        /// From a single address loss on its path is as common: more of them.
        const OF_ONE_CLIENT: u32 = 8;
        /// Time before and after the stretch within which the listener must be seen to answer.
        const AROUND: Span = Span::from_secs(30);
        let stretch = self.stretch()?;
        let answered = self.own.drops.answered_between(stretch.from, stretch.to);
        let around =
            self.own.drops.answered_between(stretch.from.plus(AROUND.scaled(-1, 1)), stretch.to.plus(AROUND));
        let several =
            stretch.attempts >= OF_ONE_CLIENT || stretch.attempts >= SEVERAL && stretch.clients.count() >= 2;
        // While the queue is full, every admission is one accept(): dropped SYNs are at least as many.
        let most = stretch.drops >= answered;
        let (attempts, clients) = (stretch.attempts, stretch.clients.count());
        (several && most && around > 0).then_some(Evidence::DropsCluster { attempts, clients, answered })
    }
}
