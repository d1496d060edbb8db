//! Estimate of how large the accept queue should have been (DOMAIN §9).
//!
//! From the packets of a listener whose queue overflowed follow the rate at which its application accepts ([`AcceptRate`]),
//! the queue that the same clients would have made had none been turned away, and so the backlog that would have held
//! them; or the reason why none would have, or why none can be computed. Owns the estimate and the simulation. Does not own
//! the sentences (`report`), nor the experiment that checks a prediction against a kernel (`lab`).

mod answer;
mod bounded;
mod candidates;
mod known;
mod load;
mod rate;
mod series;
mod simulate;
mod sockets;
mod stretch;
#[cfg(test)]
mod tests;

pub(super) use bounded::BoundedLoad;

pub use answer::{Answer, ArrivalRates, Cookies, QueueLimit, Size, Unknown, size};
pub use candidates::{Candidate, WhatIf, candidates};
pub use known::{KnownQueue, QueueSample};
pub use load::{Collector, Load, RETRIES_DOUBLING, RETRIES_LINEAR};
pub use rate::{AcceptRate, Pace};
pub use series::{Bin, Series};
pub use simulate::{Model, Service, SimulationResult};
