//! Attempts of a recording, indexed by the call that made them.

use std::collections::HashMap;
use std::io;

use super::Call;
use crate::capture::Recording;
use crate::engine::{AnalysisOptions, Summary, analyse};
use crate::handshake::Attempt;
use crate::kernel::ListenerDelta;
use crate::listener::Listeners;
use crate::packet::Endpoint;

/// Attempts in a recording, found by the same code as for any capture.
#[derive(Debug, Clone)]
pub struct Packets {
    /// Attempts by client port, in order of their start; causes inferred with all that is known at the end.
    attempts: HashMap<u16, Vec<Attempt>>,
    /// The tallies.
    pub summary: Summary,
    listeners: Listeners,
}

impl Packets {
    /// Analyses a recording.
    ///
    /// # Errors
    ///
    /// None of its own: the sink keeps everything in memory.
    pub fn of(recording: Recording) -> io::Result<Self> {
        let mut kept = Vec::new();
        let options = AnalysisOptions::default().with_threads(1);
        let (summary, listeners) = analyse(&mut recording.play(), &options, &mut kept)?;
        kept.sort_by_key(|attempt| attempt.ordinal);
        let mut attempts: HashMap<u16, Vec<Attempt>> = HashMap::new();
        for mut attempt in kept {
            attempt.inference = listeners.infer(&attempt).into();
            attempts.entry(attempt.client.port()).or_default().push(attempt);
        }
        Ok(Self { attempts, summary, listeners })
    }

    /// Takes what the kernel counted of the server of these packets, whatever address they call it by: from now on
    /// the causes of its attempts are confirmed, or contradicted.
    pub fn apply_kernel(&mut self, delta: &ListenerDelta) {
        let servers: Vec<Endpoint> = self.listeners.servers().collect();
        for server in servers {
            self.listeners.record_kernel(server, delta.stats.clone(), delta.interval);
        }
        for attempt in self.attempts.values_mut().flatten() {
            attempt.inference = self.listeners.infer(attempt).into();
        }
    }

    /// All attempts in order of their start.
    #[must_use]
    pub fn attempts(&self) -> Vec<&Attempt> {
        let mut all: Vec<_> = self.attempts.values().flatten().collect();
        all.sort_by_key(|attempt| attempt.ordinal);
        all
    }

    /// The attempt that a call made: the first from its port since it began, because the kernel gives
    /// the port of a dead connection to another one.
    #[must_use]
    pub fn attempt(&self, call: &Call) -> Option<&Attempt> {
        self.attempts.get(&call.port)?.iter().find(|attempt| attempt.start >= call.started)
    }
}
