//! Handshake counters of a network namespace, from `/proc/net/netstat` and `snmp`.

use super::KernelError;

/// A counter of the network namespace, named as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Events that met a full accept queue: each SYN, ACK or data segment, not each connection.
    ListenOverflows,
    /// SYNs and ACKs that listeners dropped, for this and for other reasons (memory, full SYN queue).
    ListenDrops,
    /// SYNs dropped because the SYN queue was full and cookies were off.
    TcpReqQFullDrop,
    /// SYNs answered with a cookie because the SYN queue was full.
    TcpReqQFullDoCookies,
    /// SYN cookies sent.
    SyncookiesSent,
    /// Valid SYN cookies that came back.
    SyncookiesRecv,
    /// ACKs whose cookie was not valid: also every late ACK of a vanished request.
    SyncookiesFailed,
    /// Connections reset in SYN_RECV; with `tcp_abort_on_overflow=1`, by overflow.
    EmbryonicRsts,
    /// Bare ACKs ignored on behalf of TCP_DEFER_ACCEPT.
    TcpDeferAcceptDrop,
    /// SYNs and SYN-ACKs sent again.
    TcpSynRetrans,
    /// Segments sent with RST.
    OutRsts,
    /// Connections that completed at a listener of this namespace. Of group `Tcp`.
    PassiveOpens,
    /// SYN-ACKs rejected for an old time stamp.
    PawsActive,
    /// Segments of connections rejected for an old time stamp, and ACKs of requests.
    PawsEstab,
    /// Old pure ACKs that PAWS tolerates (Linux ≥ 6.15).
    PawsOldAck,
    /// Segments rejected by a socket in TIME-WAIT for an old time stamp (Linux ≥ 6.15).
    PawsTimewait,
}

impl Counter {
    /// All of them, in the order of every output.
    pub const ALL: [Self; 16] = [
        Self::ListenOverflows,
        Self::ListenDrops,
        Self::TcpReqQFullDrop,
        Self::TcpReqQFullDoCookies,
        Self::SyncookiesSent,
        Self::SyncookiesRecv,
        Self::SyncookiesFailed,
        Self::EmbryonicRsts,
        Self::TcpDeferAcceptDrop,
        Self::TcpSynRetrans,
        Self::OutRsts,
        Self::PassiveOpens,
        Self::PawsActive,
        Self::PawsEstab,
        Self::PawsOldAck,
        Self::PawsTimewait,
    ];

    /// The kernel's name, without the group (`nstat` writes the group in front: `TcpExtListenOverflows`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListenOverflows => "ListenOverflows",
            Self::ListenDrops => "ListenDrops",
            Self::TcpReqQFullDrop => "TCPReqQFullDrop",
            Self::TcpReqQFullDoCookies => "TCPReqQFullDoCookies",
            Self::SyncookiesSent => "SyncookiesSent",
            Self::SyncookiesRecv => "SyncookiesRecv",
            Self::SyncookiesFailed => "SyncookiesFailed",
            Self::EmbryonicRsts => "EmbryonicRsts",
            Self::TcpDeferAcceptDrop => "TCPDeferAcceptDrop",
            Self::TcpSynRetrans => "TCPSynRetrans",
            Self::OutRsts => "OutRsts",
            Self::PassiveOpens => "PassiveOpens",
            Self::PawsActive => "PAWSActive",
            Self::PawsEstab => "PAWSEstab",
            Self::PawsOldAck => "PAWSOldAck",
            Self::PawsTimewait => "PAWSTimewait",
        }
    }

    /// The group it stands in: a line of `/proc/net/netstat` or `snmp`.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::OutRsts | Self::PassiveOpens => "Tcp",
            Self::ListenOverflows
            | Self::ListenDrops
            | Self::TcpReqQFullDrop
            | Self::TcpReqQFullDoCookies
            | Self::SyncookiesSent
            | Self::SyncookiesRecv
            | Self::SyncookiesFailed
            | Self::EmbryonicRsts
            | Self::TcpDeferAcceptDrop
            | Self::TcpSynRetrans
            | Self::PawsActive
            | Self::PawsEstab
            | Self::PawsOldAck
            | Self::PawsTimewait => "TcpExt",
        }
    }
}

/// The counters of one network namespace at one time, or their growth between two times.
///
/// A counter that this kernel does not have is `None`, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([Option<u64>; Counter::ALL.len()]);

impl Counters {
    /// No growth of any counter.
    pub const ZERO: Self = Self([Some(0); Counter::ALL.len()]);

    /// Reads those of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// `/proc/thread-self/net` cannot be read (no `/proc` mounted, Linux before 3.17); not Linux.
    pub fn read() -> Result<Self, KernelError> {
        let netstat = super::read_proc("/proc/thread-self/net/netstat")?;
        let snmp = super::read_proc("/proc/thread-self/net/snmp")?;
        Ok(Self::parse(&netstat, &snmp))
    }

    /// Reads the texts of `netstat` and `snmp`: pairs of lines, `Group: name name…` and `Group: value value…`.
    ///
    /// Anything else in them is passed over; a counter that is not found stays `None`.
    #[must_use]
    pub fn parse(netstat: &str, snmp: &str) -> Self {
        let mut counters = Self::default();
        for text in [netstat, snmp] {
            let mut names: Option<(&str, &str)> = None;
            for line in text.lines() {
                let Some((group, fields)) = line.split_once(':') else { continue };
                match names.take() {
                    Some((of, names)) if of == group => counters.take_pair(group, names, fields),
                    _ => names = Some((group, fields)),
                }
            }
        }
        counters
    }

    fn take_pair(&mut self, group: &str, names: &str, values: &str) {
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            let known = Counter::ALL.into_iter().find(|known| known.group() == group && known.name() == name);
            if let (Some(counter), Ok(value)) = (known, value.parse()) {
                self.set(counter, value);
            }
        }
    }

    fn set(&mut self, counter: Counter, value: u64) {
        self.0[counter as usize] = Some(value);
    }

    /// The value of one counter; `None` when the kernel does not have it.
    #[must_use]
    pub const fn get(&self, counter: Counter) -> Option<u64> {
        self.0[counter as usize]
    }

    /// Growth of each counter since `earlier`; `None` where either does not have it.
    ///
    /// The counters are the kernel's `unsigned long` and wrap: at 2⁶⁴, on 32-bit kernels at 2³².
    #[must_use]
    pub fn delta(&self, earlier: &Self) -> Self {
        let mut grown = Self::default();
        for counter in Counter::ALL {
            if let (Some(now), Some(before)) = (self.get(counter), earlier.get(counter)) {
                grown.set(counter, growth(now, before));
            }
        }
        grown
    }

    /// The sum of both; `None` where either does not have it.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = Self::default();
        for counter in Counter::ALL {
            if let (Some(one), Some(other)) = (self.get(counter), other.get(counter)) {
                sum.set(counter, one.saturating_add(other));
            }
        }
        sum
    }

    /// Names and values, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + '_ {
        Counter::ALL.into_iter().map(|counter| (counter.name(), self.get(counter)))
    }
}

fn growth(now: u64, before: u64) -> u64 {
    let wide = now.wrapping_sub(before);
    match (u32::try_from(now), u32::try_from(before)) {
        (Ok(now), Ok(before)) if now < before => u64::from(now.wrapping_sub(before)),
        _ => wide,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Linux 6.18, most columns left out.
    const NETSTAT: &str = "\
TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled ListenOverflows ListenDrops \
TCPDeferAcceptDrop TCPReqQFullDoCookies TCPReqQFullDrop TCPSynRetrans PAWSActive PAWSEstab PAWSOldAck PAWSTimewait
TcpExt: 1 2 3 4 0 6 7 8 9 10 11 13 14 15 16
IpExt: InNoRoutes ListenOverflows
IpExt: 0 99
";
    /// `RtoMax…` is -1 on every kernel: a value that is no u64.
    const SNMP: &str = "\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn PassiveOpens OutSegs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 12 100 5 0
";

    #[test]
    fn every_counter_is_found_by_group_and_name() {
        let counters = Counters::parse(NETSTAT, SNMP);
        let values: Vec<_> = counters.iter().map(|(name, value)| (name, value.unwrap())).collect();
        assert_eq!(
            values,
            [
                ("ListenOverflows", 6),
                ("ListenDrops", 7),
                ("TCPReqQFullDrop", 10),
                ("TCPReqQFullDoCookies", 9),
                ("SyncookiesSent", 1),
                ("SyncookiesRecv", 2),
                ("SyncookiesFailed", 3),
                ("EmbryonicRsts", 4),
                ("TCPDeferAcceptDrop", 8),
                ("TCPSynRetrans", 11),
                ("OutRsts", 5),
                ("PassiveOpens", 12),
                ("PAWSActive", 13),
                ("PAWSEstab", 14),
                ("PAWSOldAck", 15),
                ("PAWSTimewait", 16),
            ]
        );
    }

    #[test]
    fn a_counter_that_the_kernel_lacks_is_none_and_not_zero() {
        // Linux 2.6.32: no TCPReqQFull…, no TCPSynRetrans.
        let old = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 0 3\n";
        let counters = Counters::parse(old, "");
        assert_eq!(counters.get(Counter::ListenOverflows), Some(0));
        assert_eq!(counters.get(Counter::ListenDrops), Some(3));
        assert_eq!(counters.get(Counter::TcpReqQFullDrop), None);
        assert_eq!(counters.get(Counter::OutRsts), None);
        let now = Counters::parse(NETSTAT, SNMP);
        assert_eq!(now.delta(&counters).get(Counter::TcpReqQFullDrop), None);
        assert_eq!(now.delta(&counters).get(Counter::ListenOverflows), Some(6));
    }

    #[test]
    fn odd_lines_are_passed_over() {
        let odd = "no colon\n\nTcpExt: ListenOverflows\nUdp: InDatagrams\nTcpExt: ListenDrops ListenOverflows Extra\n\
                   TcpExt: 4 many\nTcpExt:\n";
        let counters = Counters::parse(odd, "Tcp: OutRsts\n");
        assert_eq!(counters.get(Counter::ListenDrops), Some(4), "the pair after a lone header");
        assert_eq!(counters.get(Counter::ListenOverflows), None, "not a number");
        assert_eq!(counters.get(Counter::OutRsts), None, "names without values");
    }

    #[test]
    fn growth_survives_wrapping_at_32_and_64_bits() {
        assert_eq!(growth(5, 3), 2);
        assert_eq!(growth(1, u64::from(u32::MAX)), 2, "a 32-bit kernel");
        assert_eq!(growth(1, u64::MAX), 2);
        assert_eq!(growth(1 << 32, u64::from(u32::MAX)), 1);
    }
}
