//! The arguments of `hsanalyze lab`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::number::whole;
use super::race::seconds;
use crate::command::lab::{Experiments, LabConfig, LabFormat};
use crate::lab::{AcceptPolicy, Custom, Parameter, Parameters, Scenario};

/// Most clients at once: each is a thread.
const CLIENTS: std::ops::RangeInclusive<u64> = 2..=1_000;
/// The longest round trip, in milliseconds: below the second after which SYN and SYN-ACK are repeated.
const ROUND_TRIP: std::ops::RangeInclusive<f64> = 0.0..=900.0;

/// Try on this kernel what a full accept queue does, in a private network namespace.
///
/// One kernel is client and server across a path of its own; nothing outside is touched, and everything is
/// gone afterwards. Without SCENARIO, one experiment with the given settings is made and shown.
#[derive(Debug, Args)]
pub(super) struct LabArgs {
    /// Experiments to try
    #[arg(value_enum)]
    scenario: Option<ScenarioArg>,

    #[arg(long, value_name = "N", value_parser = whole::<u32>(CLIENTS),
          help = help("Clients that connect together [default: 64]", Parameter::Clients))]
    clients: Option<u32>,

    #[arg(long, value_name = "MS", value_parser = round_trip,
          help = help("Round trip of the path, in milliseconds [default: 2]", Parameter::RoundTrip))]
    rtt: Option<Duration>,

    /// Use IPv6
    #[arg(long)]
    ipv6: bool,

    /// net.ipv4.tcp_synack_retries
    #[arg(long, value_name = "N", value_parser = whole::<u8>(1..=5))]
    synack_retries: Option<u8>,

    #[arg(long, value_name = "BYTES", value_parser = whole::<u16>(0..=u16::MAX.into()), help = help("Bytes that each client sends at once", Parameter::Data))]
    data: Option<u16>,

    /// The backlog given to listen(); the queue is filled to its limit first
    #[arg(long, value_name = "N", value_parser = whole::<u16>(0..=u16::MAX.into()), conflicts_with = "scenario")]
    backlog: Option<u16>,

    /// net.core.somaxconn
    #[arg(long, value_name = "N", value_parser = whole::<u16>(0..=u16::MAX.into()), conflicts_with = "scenario")]
    somaxconn: Option<u16>,

    /// net.ipv4.tcp_abort_on_overflow
    #[arg(long, value_name = "0|1", value_parser = whole::<u8>(0..=1), conflicts_with = "scenario")]
    abort: Option<u8>,

    /// net.ipv4.tcp_syncookies
    #[arg(long, value_name = "0|1|2", value_parser = whole::<u8>(0..=2), conflicts_with = "scenario")]
    syncookies: Option<u8>,

    /// TCP_DEFER_ACCEPT of the listener, in seconds
    #[arg(long, value_name = "SECS", value_parser = whole::<u16>(0..=u16::MAX.into()), conflicts_with = "scenario")]
    defer_accept: Option<u16>,

    /// ACKs that end a handshake and that the path loses, counted from 1
    #[arg(long, value_name = "K,...", value_delimiter = ',', value_parser = whole::<u64>(1..=u64::MAX), conflicts_with = "scenario")]
    loss_ack: Vec<u64>,

    /// Accept everything from this many seconds on; the application never accepts otherwise
    #[arg(long, value_name = "SECS", value_parser = seconds, conflicts_with_all = ["scenario", "accept_rate"])]
    accept_after: Option<Duration>,

    /// Accept this many connections a second
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000), conflicts_with = "scenario")]
    accept_rate: Option<u32>,

    /// Time clients watch their connections, in seconds; 1.5 at least
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = watch, conflicts_with = "scenario")]
    watch: Duration,

    /// Write the packets of both ends to FILE (pcapng, two interfaces); of a scenario with several runs,
    /// to FILE with the run's name in it
    #[arg(short = 'w', long = "save", alias = "write-packets", value_name = "FILE")]
    write: Option<PathBuf>,

    /// Draw the curve of `race` to FILE (SVG); with the scenarios race and all
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Output form
    #[arg(long, value_enum, default_value = "text")]
    format: LabFormatArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScenarioArg {
    /// The accept queue fills up to its limit
    Queue,
    /// Overflow that ignores the ACK (tcp_abort_on_overflow=0)
    Drop,
    /// Overflow that resets (tcp_abort_on_overflow=1)
    Reset,
    /// connect() against the reset: which comes first
    Race,
    /// Overflow with SYN cookies
    Cookies,
    /// Queue full at the SYN
    SynDrop,
    /// A listener with TCP_DEFER_ACCEPT, which looks like an overflow
    DeferAccept,
    /// A lost ACK, which looks like an overflow
    AckLoss,
    /// Overflow, then room
    Recover,
    /// A listener that is closed, which looks like an overflow
    Close,
    /// All of them
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LabFormatArg {
    Text,
    Json,
}

impl LabArgs {
    /// Experiments to do, or why not.
    pub(super) fn config(self) -> Result<LabConfig, String> {
        let curve = matches!(self.scenario, Some(ScenarioArg::Race | ScenarioArg::All));
        if let Some(output) = self.output.as_ref().filter(|_| !curve) {
            let output = output.display();
            return Err(format!("-o {output}: only the scenarios race and all have a curve to draw"));
        }
        for (parameter, given) in [
            (Parameter::Clients, self.clients.is_some()),
            (Parameter::RoundTrip, self.rtt.is_some()),
            (Parameter::Data, self.data.is_some()),
        ] {
            validate_use(parameter, given, self.scenario)?;
        }
        let default = Parameters::default();
        let parameters = Parameters {
            v6: self.ipv6,
            clients: self.clients.map_or(default.clients, |clients| clients as usize),
            round_trip: self.rtt.unwrap_or(default.round_trip),
            synack_retries: self.synack_retries,
            data: self.data.map_or(default.data, usize::from),
        };
        let what = match self.scenario {
            Some(scenario) => Experiments::Scenarios(scenario.scenarios()),
            None => Experiments::Custom(Custom {
                backlog: self.backlog.map_or(16, u32::from),
                somaxconn: self.somaxconn.map(u32::from),
                abort: self.abort == Some(1),
                syncookies: self.syncookies.unwrap_or(0),
                defer_accept: self.defer_accept.map(u32::from),
                lose_acks: self.loss_ack,
                accept: match (self.accept_after, self.accept_rate) {
                    (Some(after), _) => AcceptPolicy::After(after),
                    (None, Some(rate)) => AcceptPolicy::Every(Duration::from_secs(1) / rate),
                    (None, None) => AcceptPolicy::Never,
                },
                send: self.data.map_or(0, usize::from),
                watch: self.watch,
            }),
        };
        Ok(LabConfig {
            what,
            parameters,
            packets: self.write,
            drawing: self.output,
            format: match self.format {
                LabFormatArg::Text => LabFormat::Text,
                LabFormatArg::Json => LabFormat::Json,
            },
        })
    }
}

impl ScenarioArg {
    fn scenarios(self) -> Vec<Scenario> {
        let one = match self {
            Self::Queue => Scenario::Queue,
            Self::Drop => Scenario::Drop,
            Self::Reset => Scenario::Reset,
            Self::Race => Scenario::Race,
            Self::Cookies => Scenario::Cookies,
            Self::SynDrop => Scenario::SynDrop,
            Self::DeferAccept => Scenario::DeferAccept,
            Self::AckLoss => Scenario::AckLoss,
            Self::Recover => Scenario::Recover,
            Self::Close => Scenario::Close,
            Self::All => return Scenario::ALL.to_vec(),
        };
        vec![one]
    }
}

/// The kernel repeats a SYN-ACK after a second, with slack: whoever watches for less sees no overflow.
fn watch(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(1_500);
    let watch = seconds(text)?;
    if watch < LEAST {
        return Err(format!(
            "a SYN-ACK is repeated after 1 s at the earliest; watch for {} s at least",
            LEAST.as_secs_f64()
        ));
    }
    Ok(watch)
}

/// The scenarios that have a use for a parameter, named.
fn users(parameter: Parameter) -> String {
    let users = Scenario::ALL.into_iter().filter(|scenario| scenario.uses(parameter));
    users.map(Scenario::name).collect::<Vec<_>>().join(", ")
}

fn help(what: &str, parameter: Parameter) -> String {
    format!("{what} [scenarios: {}]", users(parameter))
}

/// A parameter that changes nothing was given by mistake.
fn validate_use(parameter: Parameter, given: bool, scenario: Option<ScenarioArg>) -> Result<(), String> {
    let Some(scenario) = scenario.filter(|_| given) else { return Ok(()) };
    if scenario.scenarios().into_iter().any(|scenario| scenario.uses(parameter)) {
        return Ok(());
    }
    let (option, why) = match parameter {
        Parameter::Clients => ("--clients", "brings its own number of clients"),
        Parameter::RoundTrip => ("--rtt", "tries several round trips"),
        Parameter::Data => ("--data", "sends no data at once"),
    };
    let name = scenario.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    Err(format!("{option}: the scenario {name} {why}; {option} is for {}", users(parameter)))
}

fn round_trip(text: &str) -> Result<Duration, String> {
    let millis: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of milliseconds"))?;
    if !ROUND_TRIP.contains(&millis) {
        return Err(format!("{millis} ms is not within {} to {} ms", ROUND_TRIP.start(), ROUND_TRIP.end()));
    }
    Ok(Duration::from_secs_f64(millis / 1e3))
}
