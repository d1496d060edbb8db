//! `queue`: how the accept queue fills, and what limits it (DOMAIN §1).

use std::time::Duration;

use super::{Parameters, ScenarioOutcome, side_by_side};
use crate::kernel::{Counter, Sysctls};
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{LabError, Setup, result_name};

/// The tried `somaxconn`, with backlogs below, at and above it.
const SOMAXCONN: u32 = 16;
const BACKLOGS: [u32; 4] = [1, 8, 16, 64];

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "queue",
        format!("fills accept queues one connection at a time, somaxconn={SOMAXCONN}, nobody accepts"),
    );
    defaults(&mut comparison)?;
    let runs = side_by_side(&BACKLOGS, |&backlog| {
        let setup = Setup { backlog, somaxconn: Some(SOMAXCONN), ..parameters.setup() };
        setup.run(|experiment| {
            let send_q = experiment.queue()?.send_q.unwrap_or(0);
            let mut grown = Vec::new();
            for _ in 0..=send_q {
                experiment.fill(1)?;
                grown.push(experiment.queue()?.recv_q);
            }
            let mut late = parameters.clients(Duration::ZERO);
            late.count = 1;
            late.timeout = Duration::from_millis(300);
            let running = experiment.start(late)?;
            let refused = experiment.collect(running)?;
            Ok((send_q, grown, experiment.queue()?, refused))
        })
    })?;
    let mut traces = Vec::new();
    for (&backlog, ((send_q, grown, after, late), trace)) in BACKLOGS.iter().zip(runs) {
        let of = |what: &str| format!("{what}, listen({backlog})");
        comparison.equal("1", of("Send-Q = min(backlog, somaxconn)"), backlog.min(SOMAXCONN), send_q);
        let regular = grown.iter().copied().eq(1..=send_q + 1);
        comparison.holds(
            "1",
            of("Recv-Q after each connection"),
            format!("1, 2 … {}", send_q + 1),
            grown.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
            regular,
        );
        comparison.equal(
            "1",
            of("Recv-Q/Send-Q when one more came"),
            format!("{}/{send_q}", send_q + 1),
            format!("{}/{}", after.recv_q, after.send_q.unwrap_or(0)),
        );
        let late = late.first().map_or_else(String::new, |call| result_name(call.result));
        comparison.equal("2 C", of("connect() of the one more, 0.3 s"), "ETIMEDOUT".to_owned(), late);
        let overflows = trace.counters.get(Counter::ListenOverflows).unwrap_or(0);
        comparison.equal("2 C", of("overflows counted"), 1, overflows);
        comparison.count(format!("listen({backlog})"), &trace.counters);
        traces.push((format!("queue-{backlog}"), trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

/// A new namespace has the kernel's defaults, but for what the lab sets.
fn defaults(comparison: &mut Comparison) -> Result<(), LabError> {
    let (sysctls, _) = Setup::default().run(|_| Ok(Sysctls::read()))?;
    let shown = |value: Option<u32>| value.map_or_else(|| "absent".to_owned(), |value| value.to_string());
    comparison.equal("1", "somaxconn of a new namespace", "4096".to_owned(), shown(sysctls.somaxconn));
    comparison.equal(
        "1",
        "tcp_synack_retries of a new namespace",
        "5".to_owned(),
        shown(sysctls.tcp_synack_retries),
    );
    Ok(())
}
