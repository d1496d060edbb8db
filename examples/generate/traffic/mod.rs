//! The contents of a generated capture: when each attempt begins, and the order of all packets.
//!
//! Attempts overlap as on a busy server: each is a script ([`flow`]) whose next packet waits in a heap for
//! its time. Memory depends on how many run at once, not on the capture's length.

mod flow;
mod frame;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::str::FromStr;

use fastrand::Rng;
use hsanalyze::handshake::Verdict;

use flow::{Flow, Peers};
use frame::{Address, CaptureWriter, Side};

/// Floods draw their sources from 2²⁸ addresses, 16.0.0.0 to 31.255.255.255.
pub(crate) const MAX_FLOOD: u64 = 1 << 28;

/// A plan of the capture to write.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Attempts apart from the flood's.
    pub(crate) attempts: u64,
    /// Their packets, exactly; `None` for the natural number.
    pub(crate) packets: Option<u64>,
    /// Shares of the verdicts.
    pub(crate) mix: Mix,
    /// Length of the records.
    pub(crate) records: Records,
    /// Attempts in a hundred that use IPv6.
    pub(crate) ipv6_percent: u8,
    /// SYNs from distinct sources that nothing answers.
    pub(crate) flood: u64,
    /// Number of listeners.
    pub(crate) listeners: u16,
    /// Number of the host that serves.
    pub(crate) host: u16,
    /// Packets a second while attempts are begun.
    pub(crate) pace: u64,
    /// Seed of the random numbers.
    pub(crate) seed: u64,
}

/// Length of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Records {
    /// Headers only: 66 and 74 bytes, IPv6 20 more.
    Thin,
    /// Everything; data packets have 1514 bytes, and most packets are data.
    Full,
}

/// Shares of verdicts among the attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Verdict, u64)>);

impl Mix {
    /// The default: mostly good, and four ways to fail.
    pub(crate) const FIVE_KINDS: &'static str =
        "completed=60,synack-retransmitted=10,reset-after-ack=10,refused=10,unanswered=10";

    /// Attempts of each verdict: the floor of its share; the first verdicts get one of the rest each.
    fn shares(&self, attempts: u64) -> Vec<(Verdict, u64)> {
        let whole: u64 = self.0.iter().map(|(_, share)| share).sum();
        let part = |share: u64| (u128::from(attempts) * u128::from(share) / u128::from(whole)) as u64;
        let mut shares: Vec<_> = self.0.iter().map(|&(verdict, share)| (verdict, part(share))).collect();
        let left = attempts - shares.iter().map(|(_, n)| n).sum::<u64>();
        shares.iter_mut().zip(0..left).for_each(|((_, n), _)| *n += 1);
        shares
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (verdict, share) = part.split_once('=').ok_or(format!("'{part}' is not VERDICT=SHARE"))?;
            let verdict = verdict.parse::<Verdict>().map_err(|e| e.to_string())?;
            if verdict == Verdict::Undetermined {
                return Err("'undetermined' is a matter of where a capture ends, and is not generated".into());
            }
            match share.parse::<u32>() {
                Ok(share @ 1..) => Ok((verdict, u64::from(share))),
                _ => Err(format!("'{share}' is not a share: a number from 1 to {}", u32::MAX)),
            }
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

/// Counts of the capture that was written.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Packets, the last one included, which belongs to no attempt.
    pub(crate) packets: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    verdicts: Vec<(Verdict, u64)>,
}

impl Made {
    /// Number of attempts that must get this verdict.
    pub(crate) fn attempts_of(&self, verdict: Verdict) -> u64 {
        self.verdicts.iter().filter(|(v, _)| *v == verdict).map(|(_, n)| n).sum()
    }

    /// Number of attempts.
    pub(crate) fn attempts(&self) -> u64 {
        self.verdicts.iter().map(|(_, n)| n).sum()
    }
}

/// A flow's next packet and its time, by which it is ordered; `order` breaks ties.
struct NextPacket {
    at: u64,
    order: u64,
    flow: Flow,
}

impl Ord for NextPacket {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for NextPacket {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NextPacket {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for NextPacket {}

/// Shares the remaining packets among the completed attempts, as evenly as possible.
struct Budget {
    each: u64,
    one_more: u64,
}

impl Budget {
    /// `packets` for all, of which the other verdicts take what their scripts have.
    fn new(packets: Option<u64>, shares: &[(Verdict, u64)]) -> io::Result<Self> {
        let of = |wanted: bool| shares.iter().filter(move |(v, _)| (*v == Verdict::Completed) == wanted);
        let completed: u64 = of(true).map(|(_, n)| n).sum();
        let others: u64 =
            of(false).map(|&(v, n)| (0..n).map(|ordinal| flow::packets_of(v, ordinal)).sum::<u64>()).sum();
        let Some(packets) = packets else {
            return Ok(Self { each: flow::NATURAL_PACKETS, one_more: 0 });
        };
        match packets.checked_sub(others) {
            Some(0) if completed == 0 => Ok(Self { each: 0, one_more: 0 }),
            Some(rest) if completed > 0 && rest / completed >= flow::FEWEST_PACKETS => {
                Ok(Self { each: rest / completed, one_more: rest % completed })
            }
            _ => Err(io::Error::other(format!(
                "{packets} packets do not do: {others} belong to attempts that fail, and each of the \
                 {completed} completed ones has at least {}",
                flow::FEWEST_PACKETS
            ))),
        }
    }

    fn next(&mut self) -> u64 {
        let extra = self.one_more.min(1);
        self.one_more -= extra;
        self.each + extra
    }
}

/// Writes the capture.
///
/// # Errors
/// The output fails, or there are fewer packets than the attempts need.
pub(crate) fn write(plan: &Plan, out: impl Write) -> io::Result<Made> {
    let shares = plan.mix.shares(plan.attempts);
    let budget = Budget::new(plan.packets, &shares)?;
    let mut made = Made { verdicts: shares.clone(), ..Made::default() };
    made.verdicts.push((Verdict::Unanswered, plan.flood));
    let mut capture = CaptureWriter::new(out, plan.records, plan.ipv6_percent > 0)?;
    let mut source = AttemptSource::new(plan, shares, budget);
    let mut running = BinaryHeap::<Reverse<NextPacket>>::new();
    let mut order = 0;
    let mut now = frame::EPOCH_US;
    loop {
        let next = running.peek().map(|Reverse(p)| p.at);
        let begun = if source.due().is_some_and(|due| next.is_none_or(|at| due <= at)) {
            source.begin()
        } else {
            running.pop().map(|Reverse(p)| (p.at, p.flow))
        };
        let Some((at, mut flow)) = begun else { break };
        now = at;
        flow.emit(at, &mut capture)?;
        if let Some(delay) = flow.advance(&mut source.rng) {
            order += 1;
            running.push(Reverse(NextPacket { at: at + delay, order, flow }));
        }
    }
    // A segment of a connection older than the capture, so late that no attempt is cut by the capture's end.
    Flow::old_connection().emit(now + 2_000_000, &mut capture)?;
    (made.packets, made.bytes) = capture.written();
    Ok(made)
}

/// Begins attempts and the flood's SYNs, each evenly spread over the time that the pace gives.
struct AttemptSource<'a> {
    plan: &'a Plan,
    rng: Rng,
    /// Attempts still to begin, by verdict, and of each verdict how many have begun.
    left: Vec<(Verdict, u64, u64)>,
    budget: Budget,
    duration: u64,
    attempts: u64,
    flooded: u64,
}

impl<'a> AttemptSource<'a> {
    fn new(plan: &'a Plan, shares: Vec<(Verdict, u64)>, budget: Budget) -> Self {
        let natural = plan.attempts * flow::NATURAL_PACKETS;
        let packets = plan.packets.unwrap_or(natural) + plan.flood;
        Self {
            plan,
            rng: Rng::with_seed(plan.seed),
            left: shares.into_iter().map(|(verdict, n)| (verdict, n, 0)).collect(),
            budget,
            duration: (u128::from(packets) * 1_000_000 / u128::from(plan.pace)) as u64,
            attempts: 0,
            flooded: 0,
        }
    }

    fn time_of(&self, done: u64, all: u64) -> Option<u64> {
        let offset = || (u128::from(self.duration) * u128::from(done) / u128::from(all)) as u64;
        (done < all).then(|| frame::EPOCH_US + offset())
    }

    fn next_attempt(&self) -> Option<u64> {
        self.time_of(self.attempts, self.plan.attempts)
    }

    fn next_flood(&self) -> Option<u64> {
        self.time_of(self.flooded, self.plan.flood)
    }

    /// Time at which the next one begins; `None` after the last.
    fn due(&self) -> Option<u64> {
        [self.next_attempt(), self.next_flood()].into_iter().flatten().min()
    }

    fn begin(&mut self) -> Option<(u64, Flow)> {
        match (self.next_attempt(), self.next_flood()) {
            (Some(at), flood) if flood.is_none_or(|f| at <= f) => Some((at, self.attempt())),
            (_, Some(at)) => Some((at, self.flood())),
            (_, None) => None,
        }
    }

    fn attempt(&mut self) -> Flow {
        let number = self.attempts;
        self.attempts += 1;
        // Drawn without replacement, so that the shares are exact.
        let left: u64 = self.left.iter().map(|(_, left, _)| left).sum();
        let mut draw = self.rng.u64(..left);
        let mut drawn = (Verdict::Completed, 0);
        for (verdict, left, begun) in &mut self.left {
            if draw < *left {
                drawn = (*verdict, *begun);
                *left -= 1;
                *begun += 1;
                break;
            }
            draw -= *left;
        }
        let (verdict, ordinal) = drawn;
        let packets = match verdict {
            Verdict::Completed => self.budget.next(),
            other => flow::packets_of(other, ordinal),
        };
        let listener = (number % u64::from(self.plan.listeners)) as u16;
        let v6 = self.rng.u8(..100) < self.plan.ipv6_percent;
        let peers = Peers {
            client: client(number, v6),
            server: Side {
                address: server(v6, self.plan.host),
                port: if verdict == Verdict::Refused { 9 } else { 8000 + listener },
            },
        };
        Flow::new(verdict, packets, peers, self.plan.records, &mut self.rng)
    }

    fn flood(&mut self) -> Flow {
        // An odd factor makes it a permutation of the 2²⁸ sources.
        let scattered = (self.flooded * 0x9e37_79b1) % MAX_FLOOD;
        self.flooded += 1;
        let v6 = self.rng.u8(..100) < self.plan.ipv6_percent;
        let address = if v6 {
            Address::V6(0x2001_0db8_00f1_u128 << 80 | u128::from(scattered))
        } else {
            Address::V4(0x1000_0000 + scattered as u32)
        };
        let peers = Peers {
            client: Side { address, port: self.rng.u16(1024..) },
            server: Side { address: server(v6, self.plan.host), port: 8000 },
        };
        Flow::lone_syn(peers, self.plan.records, &mut self.rng)
    }
}

/// 10.200.0.0 and fd00::200:0, plus the host.
fn server(v6: bool, host: u16) -> Address {
    if v6 {
        Address::V6(0xfd00_u128 << 112 | 0x200_0000 | u128::from(host))
    } else {
        Address::V4(0x0ac8_0000 | u32::from(host))
    }
}

/// 4096 clients with ports in the order that Linux assigns them: no two of 100 million attempts share both.
fn client(number: u64, v6: bool) -> Side {
    const CLIENTS: u64 = 4096;
    const FIRST_PORT: u64 = 32768;
    const PORTS: u64 = 60999 - FIRST_PORT + 1;
    let host = number % CLIENTS;
    let address = if v6 {
        Address::V6(0xfd00_u128 << 112 | 0x100_0000 | u128::from(host))
    } else {
        Address::V4(0x0a01_0000 + host as u32)
    };
    Side { address, port: (FIRST_PORT + number / CLIENTS % PORTS) as u16 }
}
