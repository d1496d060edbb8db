//! The one client of a listener, as long as there is one.

use std::net::IpAddr;

use crate::handshake::Attempt;

/// The client of all of a listener's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SoleClient {
    /// No attempt yet.
    #[default]
    None,
    One(IpAddr),
    Several,
}

impl SoleClient {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let client = attempt.client.ip();
        *self = match *self {
            Self::None => Self::One(client),
            Self::One(known) if known == client => Self::One(client),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}
