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

impl Sysctls {
    /// Files of the sysctls under `/proc/sys`, in the order of the fields.
    pub(super) const FILES: [&str; 7] = [
        "net/core/somaxconn",
        "net/ipv4/tcp_abort_on_overflow",
        "net/ipv4/tcp_synack_retries",
        "net/ipv4/tcp_syncookies",
        "net/ipv4/tcp_max_syn_backlog",
        "net/ipv4/tcp_syn_retries",
        "net/ipv4/tcp_syn_linear_timeouts",
    ];

    /// Reads those of the calling thread's namespace; one that cannot be read is `None`.
    #[must_use]
    pub fn read() -> Self {
        Self::from_files(|name| super::read_proc(&format!("/proc/sys/{name}")).ok())
    }

    /// Reads them by a function that gives the text of a file.
    pub(super) fn from_files(text: impl Fn(&'static str) -> Option<String>) -> Self {
        let [a, b, c, d, e, f, g] = Self::FILES.map(|name| text(name)?.trim().parse().ok());
        Self {
            somaxconn: a,
            tcp_abort_on_overflow: b,
            tcp_synack_retries: c,
            tcp_syncookies: d,
            tcp_max_syn_backlog: e,
            tcp_syn_retries: f,
            tcp_syn_linear_timeouts: g,
        }
    }

    /// True if an overflow is answered by RST; `None` when the sysctl cannot be read.
    #[must_use]
    pub fn abort_on_overflow(&self) -> Option<bool> {
        self.tcp_abort_on_overflow.map(|value| value != 0)
    }

    /// Names as `sysctl` writes them, with values, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u32>)> {
        [
            ("net.core.somaxconn", self.somaxconn),
            ("net.ipv4.tcp_abort_on_overflow", self.tcp_abort_on_overflow),
            ("net.ipv4.tcp_synack_retries", self.tcp_synack_retries),
            ("net.ipv4.tcp_syncookies", self.tcp_syncookies),
            ("net.ipv4.tcp_max_syn_backlog", self.tcp_max_syn_backlog),
            ("net.ipv4.tcp_syn_retries", self.tcp_syn_retries),
            ("net.ipv4.tcp_syn_linear_timeouts", self.tcp_syn_linear_timeouts),
        ]
        .into_iter()
    }
}
