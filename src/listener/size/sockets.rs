//! A load on several queues: with SO_REUSEPORT each socket on the port has its own.
//!
//! Linux gives each connection to one of the sockets by a hash of its addresses and ports with a secret of that boot, so
//! packets do not show which. Here chance decides, by a fixed sequence: the same load gives the same result.

use super::load::Load;
use super::simulate::{Model, Service, SimulationResult};
use crate::packet::Timestamp;

/// Divisions of the clients among the sockets that are tried for the longest queue. Of ten that chance makes, the worst is
/// exceeded by one further in eleven.
const DIVISIONS: u64 = 10;

impl Load {
    /// Simulates this load with an application that accepts like `service` from all sockets together, each with this limit.
    /// Counts are those of all sockets; the longest queue and its times are those of the fullest.
    #[must_use]
    pub fn simulate(&self, service: Service, limit: Option<u32>) -> SimulationResult {
        self.divide(0, service, limit, false).into_iter().fold(SimulationResult::default(), joined)
    }

    /// Simulates this load with queues that never fill, and returns the result of the fullest socket. With several sockets
    /// chance decides which clients share one; of some divisions this is the worst.
    #[must_use]
    pub fn fullest(&self, service: Service) -> SimulationResult {
        self.worst_division(service, false)
    }

    /// The same, with the length of that socket's queue over time.
    #[must_use]
    pub fn fullest_traced(&self, service: Service) -> SimulationResult {
        self.worst_division(service, true)
    }

    fn worst_division(&self, service: Service, traced: bool) -> SimulationResult {
        let divisions = if self.known.queues() > 1 { DIVISIONS } else { 1 };
        let outcomes = (0..divisions).flat_map(|division| self.divide(division, service, None, traced));
        outcomes.max_by_key(|outcome| outcome.longest).unwrap_or_default()
    }

    /// Simulates each socket alone, with its share of the clients.
    fn divide(
        &self,
        division: u64,
        service: Service,
        limit: Option<u32>,
        traced: bool,
    ) -> Vec<SimulationResult> {
        let queues = self.known.queues();
        let run = |model: Model<'_>| if traced { model.run_traced() } else { model.run() };
        if queues == 1 {
            return vec![run(self.model(service, limit))];
        }
        let service = Service { per_second: service.per_second / f64::from(queues), ..service };
        let mut shares = vec![Vec::<Timestamp>::new(); queues as usize];
        let mut random = fastrand::Rng::with_seed(division);
        for &arrival in &self.arrivals {
            shares[random.usize(..queues as usize)].push(arrival);
        }
        shares.iter().map(|share| run(Model { arrivals: share, ..self.model(service, limit) })).collect()
    }
}

/// Both outcomes as one: counts summed, the longest queue that of the fuller one.
fn joined(one: SimulationResult, other: SimulationResult) -> SimulationResult {
    let fuller = if other.longest > one.longest { &other } else { &one };
    SimulationResult {
        overflows: one.overflows + other.overflows,
        cookie_overflows: one.cookie_overflows + other.cookie_overflows,
        ignored: one.ignored + other.ignored,
        syn_queue_drops: one.syn_queue_drops + other.syn_queue_drops,
        turned_away: one.turned_away + other.turned_away,
        late: one.late + other.late,
        lost: one.lost + other.lost,
        admitted: one.admitted + other.admitted,
        accepted: one.accepted + other.accepted,
        longest: fuller.longest,
        longest_at: fuller.longest_at,
        grows_from: fuller.grows_from,
        most_requests: one.most_requests.max(other.most_requests),
        longest_wait: one.longest_wait.max(other.longest_wait),
        waited: one.waited.plus(other.waited),
        lengths: Vec::new(),
    }
}

/// The most of `count` clients that one of these sockets gets, in all but one case of several hundred.
pub(super) fn most_of_one(count: u32, sockets: u32) -> u32 {
    let (count, share) = (f64::from(count), 1.0 / f64::from(sockets.max(1)));
    let deviation = (count * share * (1.0 - share)).sqrt();
    (count * share + 3.0 * deviation).ceil().min(count) as u32
}
