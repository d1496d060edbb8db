//! The sysctls that decide how accept queues behave, of the calling thread's network namespace.

/// One sysctl each; `None` where this kernel (or its `/proc`) does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sysctls {
    /// `net.core.somaxconn`: the cap on every accept queue. 128 up to Linux 5.3, 4096 since.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`: 0 ignores the ACK that meets a full queue, 1 resets.
    pub tcp_abort_on_overflow: Option<u32>,
    /// `net.ipv4.tcp_synack_retries`: how often SYN-ACK is repeated, 5 by default.
    pub tcp_synack_retries: Option<u32>,
    /// `net.ipv4.tcp_syncookies`: 0 never, 1 when the SYN queue is full, 2 always.
    pub tcp_syncookies: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`: bounds the SYN queue when cookies are off.
    pub tcp_max_syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syn_retries`: how often a client repeats its SYN, 6 by default.
    pub tcp_syn_retries: Option<u32>,
    /// `net.ipv4.tcp_syn_linear_timeouts` (Linux ≥ 6.5): SYN repeats that come 1 s apart before doubling.
    pub tcp_syn_linear_timeouts: Option<u32>,
}

/// A sysctl's name as `sysctl` writes it, and its field.
type Named = (&'static str, fn(&mut Sysctls) -> &mut Option<u32>);

/// All of them, in the order of the outputs.
const NAMED: [Named; 7] = [
    ("net.core.somaxconn", |all| &mut all.somaxconn),
    ("net.ipv4.tcp_abort_on_overflow", |all| &mut all.tcp_abort_on_overflow),
    ("net.ipv4.tcp_synack_retries", |all| &mut all.tcp_synack_retries),
    ("net.ipv4.tcp_syncookies", |all| &mut all.tcp_syncookies),
    ("net.ipv4.tcp_max_syn_backlog", |all| &mut all.tcp_max_syn_backlog),
    ("net.ipv4.tcp_syn_retries", |all| &mut all.tcp_syn_retries),
    ("net.ipv4.tcp_syn_linear_timeouts", |all| &mut all.tcp_syn_linear_timeouts),
];

impl Sysctls {
    /// Names of the sysctls as `sysctl` writes them.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMED.into_iter().map(|(name, _)| name)
    }

    /// The file of a sysctl.
    pub(super) fn file(name: &str) -> String {
        format!("/proc/sys/{}", name.replace('.', "/"))
    }

    /// Reads those of the calling thread's namespace; one that cannot be read is `None`.
    #[must_use]
    pub fn read() -> Self {
        Self::from_texts(|name| super::read_proc(&Self::file(name)).ok())
    }

    /// Reads them by a function that gives the text of a sysctl's file.
    pub(super) fn from_texts(text: impl Fn(&'static str) -> Option<String>) -> Self {
        let mut read = Self::default();
        for (name, field) in NAMED {
            *field(&mut read) = text(name).and_then(|text| text.trim().parse().ok());
        }
        read
    }

    /// True if an overflow is answered by RST; `None` when the sysctl cannot be read.
    #[must_use]
    pub fn abort_on_overflow(&self) -> Option<bool> {
        self.tcp_abort_on_overflow.map(|value| value != 0)
    }

    /// Names as `sysctl` writes them, with values, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u32>)> {
        let mut all = *self;
        NAMED.into_iter().map(move |(name, field)| (name, *field(&mut all)))
    }
}
