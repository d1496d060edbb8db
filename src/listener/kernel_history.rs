//! What the kernel said of one listener, and when its queue overflowed by the kernel's count.
//!
//! Times are those of the samples, by the clock that stamps packets of a live capture.

use crate::handshake::KernelEvidence;
use crate::kernel::{Counter, KernelStats};
use crate::packet::{Span, Timestamp};

/// The kernel's word on a listener over time: constant in size.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct KernelHistory {
    word: Option<KernelStats>,
    /// From the first sample to the last.
    watched: Option<(Timestamp, Timestamp)>,
    /// Stretches in which it overflowed, or may have; in order of time.
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from: Timestamp,
    to: Timestamp,
    /// Whether it is certain.
    overflowed: bool,
}

/// Stretches kept per listener; a further one lengthens the last.
const STRETCHES: usize = 64;

/// Stretches of the same kind that are closer than this are one: samples are a second apart, and a client's
/// repeats at most 32 s.
const GAP: Span = Span::from_secs(5);

impl KernelHistory {
    /// Adds what was found between two samples; see `Listeners::record_kernel`.
    pub(super) fn take(
        &mut self,
        word: KernelStats,
        lately: Option<bool>,
        since: Timestamp,
        until: Timestamp,
    ) {
        // Nobody asked before there was an attempt to this server, but its figures go back to the first sample.
        let (lately, since) = match self.watched {
            Some(_) => (lately, since),
            None => (word.overflowed(), until.plus(Span::from_nanos(-word.span.as_nanos()))),
        };
        let begin = self.watched.map_or(since, |(begin, _)| begin);
        self.watched = Some((begin, until));
        self.word = Some(word);
        if lately == Some(false) {
            return;
        }
        let overflowed = lately == Some(true);
        let full = self.stretches.len() >= STRETCHES;
        match self.stretches.last_mut() {
            Some(last) if full || (last.overflowed == overflowed && since.since(last.to) <= GAP) => {
                last.to = last.to.max(until);
                last.overflowed &= overflowed;
            }
            _ => self.stretches.push(Stretch { from: since, to: until, overflowed }),
        }
    }

    /// The latest word.
    pub(super) fn word(&self) -> Option<&KernelStats> {
        self.word.as_ref()
    }

    /// Whether another kernel may answer for the listener, whose SYN-ACKs were repeated so often after an ACK: this one
    /// repeated fewer, of all its listeners and clients (TCPSynRetrans), and counted no overflow.
    pub(super) fn is_elsewhere(&self, repeats: u64) -> bool {
        self.word.as_ref().is_some_and(|word| {
            let own = word.namespace.get(Counter::TcpSynRetrans);
            word.overflowed() == Some(false) && own.is_some_and(|own| own < repeats)
        })
    }

    /// What the kernel says of the time from `from` to `to`.
    ///
    /// That the queue overflowed, where a stretch touches that time; that it did not, where all of it was watched, nothing
    /// is open and no other kernel answers. `repeats` is how often the listener's SYN-ACKs were repeated after an ACK.
    pub(super) fn evidence(&self, from: Timestamp, to: Timestamp, repeats: u64) -> Option<KernelEvidence> {
        let (begin, end) = self.watched?;
        let abort_on_overflow = self.word.as_ref().and_then(|word| word.abort_on_overflow);
        let mut touching =
            self.stretches.iter().filter(|stretch| stretch.from <= to && from <= stretch.to).peekable();
        let open = touching.peek().is_some();
        if touching.any(|stretch| stretch.overflowed) {
            return Some(KernelEvidence { overflowed: true, abort_on_overflow });
        }
        let knows = begin <= from && to <= end && !open && !self.is_elsewhere(repeats);
        knows.then_some(KernelEvidence { overflowed: false, abort_on_overflow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{ListenSocket, Snapshot, Sysctls, Watch};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    /// The word at this second, of a listener that dropped nothing since the one before.
    fn word(second: i64) -> KernelStats {
        let server = "10.0.0.1:80".parse().unwrap();
        let socket = ListenSocket {
            local: server,
            device: None,
            v6only: None,
            recv_q: 0,
            send_q: Some(4),
            drops: Some(0),
            inode: 1,
            cookie: 1,
            uid: 0,
        };
        let sysctls = Sysctls { tcp_abort_on_overflow: Some(1), ..Sysctls::default() };
        let counters = crate::kernel::Counters::parse("", "");
        let sample = |at| Snapshot { at, sockets: vec![socket.clone()], counters, sysctls };
        let mut watch = Watch::new(sample(at(second - 1)));
        watch.push(sample(at(second)));
        watch.stats(server).unwrap()
    }

    fn judged(kernel: &KernelHistory, from: i64, to: i64) -> Option<bool> {
        kernel.evidence(at(from), at(to), 0).map(|evidence| evidence.overflowed)
    }

    #[test]
    fn only_a_time_that_was_watched_is_judged() {
        let mut kernel = KernelHistory::default();
        assert_eq!(judged(&kernel, 1, 2), None);
        for (second, lately) in [(10, Some(false)), (11, Some(true)), (12, Some(false)), (13, Some(false))] {
            kernel.take(word(second + 1), lately, at(second), at(second + 1));
        }
        assert_eq!(judged(&kernel, 10, 10), Some(false));
        assert_eq!(judged(&kernel, 9, 10), None, "it began before the first sample");
        assert_eq!(judged(&kernel, 9, 11), Some(true));
        assert_eq!(judged(&kernel, 12, 30), Some(true), "it touches the stretch");
        assert_eq!(judged(&kernel, 13, 14), Some(false));
        assert_eq!(judged(&kernel, 13, 15), None, "it went on after the last sample");
        assert_eq!(kernel.evidence(at(11), at(11), 0).unwrap().abort_on_overflow, Some(true));
    }

    #[test]
    fn the_first_word_speaks_of_all_the_time_since_the_first_sample() {
        let mut kernel = KernelHistory::default();
        let word = KernelStats { span: Span::from_secs(100), ..word(200) };
        kernel.take(word, Some(true), at(199), at(200));
        assert_eq!(judged(&kernel, 100, 200), Some(false), "it dropped nothing in all that time");
        assert_eq!(judged(&kernel, 99, 200), None);
    }

    #[test]
    fn what_is_open_neither_confirms_nor_denies() {
        let mut kernel = KernelHistory::default();
        kernel.take(word(0), Some(false), at(-1), at(0));
        kernel.take(word(1), None, at(0), at(1));
        kernel.take(word(10), Some(false), at(1), at(10));
        assert_eq!(judged(&kernel, 0, 2), None);
        assert_eq!(judged(&kernel, 2, 3), Some(false));
    }

    #[test]
    fn stretches_are_bounded_and_the_last_one_is_never_surer_than_its_parts() {
        let mut kernel = KernelHistory::default();
        kernel.take(word(-10), Some(false), at(-11), at(-10));
        for n in 0..1000 {
            kernel.take(word(n * 10 + 1), (n % 2 == 0).then_some(true), at(n * 10), at(n * 10 + 1));
        }
        assert_eq!(kernel.stretches.len(), STRETCHES);
        assert_eq!(judged(&kernel, 5000, 5001), None);
        assert_eq!(judged(&kernel, 0, 0), Some(true));
    }
}
