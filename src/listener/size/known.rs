//! Facts about a listener's queue that its packets do not show: from the kernel, or from the user.

use crate::packet::Timestamp;

/// Facts about a queue that its packets do not show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KnownQueue {
    /// The queue's limit.
    pub limit: Option<u32>,
    /// Sockets that share the port (SO_REUSEPORT), each with a queue of its own.
    pub sockets: Option<u32>,
    /// True if `net.ipv4.tcp_syncookies` is on.
    pub cookies: Option<bool>,
    /// The kernel's samples of the queue, in order of time.
    pub samples: Vec<QueueSample>,
}

/// The queue at one time, as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSample {
    /// Time of the sample.
    pub at: Timestamp,
    /// Connections that waited (Recv-Q): of several sockets, in the fullest.
    pub waiting: u32,
    /// Connections that all listeners of the namespace have got since the sample before (PassiveOpens). `None` in the first
    /// sample, and where the kernel does not count.
    pub opened: Option<u64>,
}

impl KnownQueue {
    /// Number of queues, one unless known.
    #[must_use]
    pub fn queues(&self) -> u32 {
        self.sockets.unwrap_or(1).max(1)
    }

    /// The samples of a single queue with its limit; of several sockets the samples show only the fullest.
    pub(super) fn single_queue(&self) -> Option<(u32, &[QueueSample])> {
        let limit = self.limit.filter(|_| self.queues() == 1)?;
        Some((limit, &self.samples))
    }
}
