//! Options of a live capture, with the reasons for their defaults.

use std::str::FromStr;

use ::pcap::TimestampType;

/// Options of a live capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// The interface's name, `any`, or its number in [`devices`](super::devices), from 1.
    pub device: String,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Bytes of the kernel's ring buffer.
    pub buffer: u32,
    /// True to capture packets to other hosts, too.
    pub promiscuous: bool,
    /// The source of time stamps; libpcap's default when `None`.
    pub time_source: Option<TimeSource>,
    /// A BPF expression.
    pub filter: Option<String>,
    /// True to have the kernel's filter also drop packets that no verdict needs.
    pub trim: bool,
}

impl LiveOptions {
    /// Default of [`Self::snap_length`]. Ethernet with two tags (22), a tunnel over IPv6 (40 + 8 + 8 + 14), IPv6 (40)
    /// and a full TCP header (60) make 192 bytes; an ICMP error quotes as much again. The kept bytes fill the ring, so
    /// fewer are safer.
    pub const SNAP_LENGTH: u32 = 256;

    /// Default of [`Self::buffer`]. 16 MiB hold about 48,000 packets at the default snap length: at 50,000 packets a
    /// second, the program may sleep for most of a second. With 256 KiB and immediate mode, most of a burst was lost.
    pub const BUFFER: u32 = 16 << 20;

    /// Largest snap length of libpcap and tcpdump (`MAXIMUM_SNAPLEN`).
    pub const MAX_SNAP_LENGTH: u32 = 262_144;

    /// The defaults for `device`.
    #[must_use]
    pub fn new(device: &str) -> Self {
        Self {
            device: device.to_owned(),
            snap_length: Self::SNAP_LENGTH,
            buffer: Self::BUFFER,
            promiscuous: true,
            time_source: None,
            filter: None,
            trim: true,
        }
    }
}

/// A source of time stamps for a live capture (pcap-tstamp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSource {
    /// The host's clock, as it comes.
    Host,
    /// The host's clock, low precision.
    HostLowPrec,
    /// The host's clock, high precision.
    HostHighPrec,
    /// The adapter's clock, synchronised with the host's.
    Adapter,
    /// The adapter's clock, not synchronised.
    AdapterUnsynced,
}

/// An unknown name of a time source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time source; there are {list}", list = TimeSource::ALL.map(TimeSource::name).join(", "))]
pub struct UnknownTimeSource(String);

impl TimeSource {
    /// All time sources, in the order of libpcap's numbers (`PCAP_TSTAMP_*`).
    pub const ALL: [Self; 5] =
        [Self::Host, Self::HostLowPrec, Self::HostHighPrec, Self::Adapter, Self::AdapterUnsynced];

    /// libpcap's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::HostLowPrec => "host_lowprec",
            Self::HostHighPrec => "host_hiprec",
            Self::Adapter => "adapter",
            Self::AdapterUnsynced => "adapter_unsynced",
        }
    }

    pub(super) const fn to_pcap(self) -> TimestampType {
        match self {
            Self::Host => TimestampType::Host,
            Self::HostLowPrec => TimestampType::HostLowPrec,
            Self::HostHighPrec => TimestampType::HostHighPrec,
            Self::Adapter => TimestampType::Adapter,
            Self::AdapterUnsynced => TimestampType::AdapterUnsynced,
        }
    }
}

impl FromStr for TimeSource {
    type Err = UnknownTimeSource;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|source| source.name() == name);
        found.ok_or_else(|| UnknownTimeSource(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_sources_have_libpcaps_names() {
        for source in TimeSource::ALL {
            assert_eq!(source.name().parse(), Ok(source));
        }
        let message = "gps".parse::<TimeSource>().unwrap_err().to_string();
        assert!(message.contains("\"gps\"") && message.contains("adapter_unsynced"), "{message}");
    }
}
