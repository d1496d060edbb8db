//! Data of the server's that ICMP errors call too big for the path although it was sent before: path MTU discovery fails there
//! (DOMAIN §3).

use crate::handshake::Attempt;
use crate::packet::{Endpoint, Seq, Span, Timestamp};

/// Connections whose data from the server is too big for the path.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Oversized {
    /// The latest connections with such an error, at most [`MAX_CONNECTIONS`].
    latest: Vec<OversizedData>,
    /// Number of connections that sent the same data in vain again and again.
    pub(in crate::listener) connections: u64,
}

/// The segment of a connection that an error quotes, the time of its last error, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OversizedData {
    client: Endpoint,
    seq: Seq,
    last: Timestamp,
    errors: u32,
}

const MAX_CONNECTIONS: usize = 64;

/// Errors about one segment from which on its sender does not heed them: the second answers what was under way.
const UNHEEDED: u32 = 3;

/// Shortest time between two transmissions of a segment (the least `TCP_RTO_MIN` in use is 200 ms): sooner it is one error, captured
/// twice.
const BETWEEN: Span = Span::from_millis(100);

impl Oversized {
    /// Takes the stand-in for a connection with such an error.
    pub(in crate::listener) fn see(&mut self, error: &Attempt) {
        let (client, seq, last) = (error.client, error.client_isn, error.start);
        let Some(known) = self.latest.iter_mut().find(|known| known.client == client) else {
            if self.latest.len() >= MAX_CONNECTIONS {
                self.latest.remove(0);
            }
            return self.latest.push(OversizedData { client, seq, last, errors: 1 });
        };
        if known.seq != seq {
            *known = OversizedData { client, seq, last, errors: 1 };
        } else if last.since(known.last) >= BETWEEN {
            known.last = last;
            known.errors += 1;
            self.connections += u64::from(known.errors == UNHEEDED);
        }
    }
}
