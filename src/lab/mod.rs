//! lab
mod experiment;
mod listener;
mod namespace;
mod network;
mod path;
mod tun;
mod wire;

pub use experiment::*;
pub use namespace::{acquire_privilege, NamespaceError};

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::*;
    use crate::race::*;
    use crate::kernel::*;
    #[test]
    fn try_it() {
        for (abort, rtt, v6) in [(true, 2000, false), (true, 0, false), (false, 500, true)] {
        let setup = Setup { backlog: 128, abort, v6, round_trip: Duration::from_micros(rtt), ..Setup::default() };
        let t = Instant::now();
        let (calls, trace) = setup.run(|e| {
            println!("ns {} up {:?}", e.namespace().inode(), t.elapsed());
            e.fill(128)?;
            println!("filled {:?} {:?}", t.elapsed(), e.queue()?);
            let r = e.start_together(Clients { count: 64, mode: Mode::Blocking, timeout: Duration::from_secs(5), send: 0, watch: Duration::from_millis(300), probe: Probe::Send })?;
            let c = e.collect(r)?;
            println!("{:?} req {}", e.queue()?, e.requests()?);
            Ok(c)
        }).unwrap();
        println!("done {:?}", t.elapsed());
        for c in calls.iter().take(4) { println!("{c:?}"); }
        println!("ok {} dead {}", calls.iter().filter(|c| c.succeeded()).count(), calls.iter().filter(|c| c.death().is_some()).count());
        println!("{:?} {:?}", Counter::ALL.map(|c| (c.name(), trace.counters.get(c))), trace.sysctls);
        println!("{} {}", trace.client.len(), trace.server.len());
        let mut prev = None;
        for f in trace.client.frames().skip(128*3).take(12) { println!("{} {:?}", f.at.as_nanos() - prev.unwrap_or(f.at.as_nanos()), wire::step(f.data, PORT)); prev=Some(f.at.as_nanos()); }
        }
    }
}
