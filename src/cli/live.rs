//! The main form with `-i` or `--follow`: a live capture.

#[cfg(feature = "metrics")]
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use super::number::whole;
use crate::capture::{LiveOptions, Rotation, TimeSource};
use crate::command::analyse::AnalyseConfig;
use crate::command::live::{LiveConfig, LiveInput, SaveConfig};
use crate::kernel::NetnsChoice;
use crate::packet::Span;
#[cfg(feature = "tui")]
use crate::report::ReportFormat;

/// Arguments as clap reads them. An option that tcpdump has, too, has tcpdump's letter.
#[derive(Args)]
#[command(next_help_heading = "Live capture (with -i or --follow)")]
pub(super) struct LiveArgs {
    /// Capture on this interface, named or numbered as by -D; "any" is all of them
    ///
    /// Trouble is printed by episode: when a listener's begins, every ten seconds while it goes on, and when it ended; with
    /// -v or --all also single attempts. Ctrl-C, SIGTERM, --duration or --count end the capture with the
    /// report; SIGUSR1 prints the report so far to standard error. Where the server is this machine, its kernel is
    /// asked every second for its queues and counters, which confirm an overflow or rule it out.
    #[arg(short = 'i', long, value_name = "IFACE")]
    interface: Option<String>,

    /// Read FILE as it grows, as a live capture: it is read on when its end is reached
    ///
    /// For a capture that another program is writing, as by `tcpdump -U -w FILE`: without -U packets come late. Words after
    /// the options are a filter. The kernel is not asked, since the file may come from another machine.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["interface", "read"])]
    follow: Option<PathBuf>,

    /// Show a screen instead of lines, with -i or --follow: listeners, episodes and problem attempts
    ///
    /// Enter shows the messages of an attempt, / filters by address, ? lists all keys. The report is printed when the
    /// screen is left.
    #[cfg(feature = "tui")]
    #[arg(long)]
    tui: bool,

    /// Serve metrics for Prometheus at this port of 127.0.0.1, or at ADDR:PORT
    ///
    /// http://ADDR:PORT/metrics has attempts by listener and verdict, late connects, times, accept queues, drops and
    /// episodes; docs/METRICS.md lists them. /healthz says whether the capture goes on. Port 0 lets the system choose.
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = metrics_address)]
    metrics: Option<SocketAddr>,

    /// List the interfaces, and exit
    #[arg(short = 'D', long, conflicts_with_all = ["interface", "follow"])]
    list_interfaces: bool,

    /// End the capture after this time: seconds, or such as 90s, 10m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// End the capture after N packets
    #[arg(short, long, value_name = "N",
          value_parser = whole::<u64>(1..=u64::MAX))]
    count: Option<u64>,

    /// Keep N bytes of each packet [default: 256]
    ///
    /// The default is enough for all headers, 54 the least that one can be judged by; 0 keeps whole packets. What is
    /// kept fills the buffer: the more of it, the shorter the burst that fits.
    #[arg(short, long, value_name = "N",
          value_parser = whole::<u32>(0..=LiveOptions::MAX_SNAP_LENGTH.into()))]
    snapshot_length: Option<u32>,

    /// Size of the kernel's buffer in KiB [default: 16384]
    #[arg(short = 'B', long, value_name = "KIB",
          value_parser = whole::<u32>(1..=2_097_151))]
    buffer_size: Option<u32>,

    /// Do not put the interface into promiscuous mode
    #[arg(short = 'p', long)]
    no_promiscuous_mode: bool,

    /// Stamp packets by this clock: host, host_lowprec, host_hiprec, adapter, adapter_unsynced
    #[arg(short = 'j', long, alias = "time-stamp-type", value_name = "CLOCK")]
    time_source: Option<TimeSource>,

    /// Keep the packets in FILE, too (pcap with nanoseconds)
    ///
    /// As with tcpdump, all packets that the filter selects are kept, up to the snapshot length. Without -w the kernel
    /// drops most of the bulk data that no verdict needs.
    #[arg(short = 'w', long = "save", value_name = "FILE", value_parser = PathBufValueParser::new().try_map(no_standard_output))]
    save: Option<PathBuf>,

    /// Begin another file when FILE is larger than MB million bytes; its name gets a number
    #[arg(short = 'C', long, value_name = "MB",
          value_parser = whole::<u64>(1..=1_000_000_000))]
    file_size: Option<u64>,

    /// Begin another file every SECS seconds; FILE may hold strftime(3) conversions
    ///
    /// As with tcpdump, a packet ends a file, not the clock. Where the conversions give the name of the file before,
    /// or FILE has none, the name gets a number, so that no file is overwritten by the next.
    #[arg(short = 'G', long, value_name = "SECS",
          value_parser = whole::<u32>(1..=u32::MAX.into()))]
    file_seconds: Option<u32>,

    /// Keep N files: with -C overwrite them in turn, with -G alone save no more after the last
    #[arg(short = 'W', long, value_name = "N",
          value_parser = whole::<u32>(1..=u32::MAX.into()))]
    file_count: Option<u32>,

    /// As root, become USER once the capture is open [default: the user who called sudo]
    ///
    /// Files are created as that user. Capabilities are given up in any case; "root" stays root without them.
    #[arg(short = 'Z', long, value_name = "USER")]
    relinquish_privileges: Option<String>,

    /// Network namespaces whose listeners the kernel is asked about: all, self, PID's, or one of `ip netns`
    ///
    /// Of all, those that begin later are opened by a second process, which keeps the privileges for that, where there are
    /// any (root, or CAP_SYS_ADMIN). [default: all]
    #[arg(long, value_name = "all|PID|NAME|self")]
    netns: Option<NetnsChoice>,

    /// Do not load the BPF program that reads the kernel's own event of each dropped handshake segment
    ///
    /// It is loaded where that is permitted (root, or CAP_BPF and CAP_PERFMON); -v says if not, and why.
    #[arg(long)]
    no_bpf: bool,
}

impl LiveArgs {
    /// True if only a list is asked for.
    pub(super) fn lists(&self) -> bool {
        self.list_interfaces
    }

    /// True if a live capture is asked for, or a file to be read like one.
    pub(super) fn captures(&self) -> bool {
        self.interface.is_some() || self.follow.is_some()
    }

    /// An option that has no use with this input, if one is given, and what it needs.
    pub(super) fn given(&self) -> Option<(&'static str, &'static str)> {
        let of_both = [
            ("--duration", self.duration.is_some()),
            ("--count (-c)", self.count.is_some()),
            #[cfg(feature = "tui")]
            ("--tui", self.tui),
            #[cfg(feature = "metrics")]
            ("--metrics", self.metrics.is_some()),
        ];
        let of_interfaces = [
            ("--snapshot-length (-s)", self.snapshot_length.is_some()),
            ("--buffer-size (-B)", self.buffer_size.is_some()),
            ("--no-promiscuous-mode (-p)", self.no_promiscuous_mode),
            ("--time-source (-j)", self.time_source.is_some()),
            ("--save (-w)", self.save.is_some()),
            ("--netns", self.netns.is_some()),
            ("--no-bpf", self.no_bpf),
            ("--relinquish-privileges (-Z)", self.relinquish_privileges.is_some() && self.follow.is_none()),
        ];
        let of_saving = [
            ("--file-size (-C)", self.file_size.is_some()),
            ("--file-seconds (-G)", self.file_seconds.is_some()),
            ("--file-count (-W)", self.file_count.is_some()),
        ];
        let of_both = of_both.into_iter().filter(|_| !self.captures());
        let of_interfaces = of_interfaces.into_iter().filter(|_| self.interface.is_none());
        let given = of_both.map(|option| (option, "-i IFACE or --follow FILE"));
        let given = given.chain(of_interfaces.map(|option| (option, "-i IFACE")));
        let of_saving = of_saving.into_iter().filter(|_| self.save.is_none());
        let mut given = given.chain(of_saving.map(|option| (option, "-i IFACE and -w FILE")));
        given.find_map(|((option, given), needs)| given.then_some((option, needs)))
    }
}

/// Turns raw arguments into a configuration.
pub(super) fn validate(arguments: LiveArgs, analyse: AnalyseConfig) -> Result<LiveConfig, String> {
    let LiveArgs { file_size, file_seconds, file_count, .. } = arguments;
    if file_count.is_some() && file_size.is_none() && file_seconds.is_none() {
        return Err("-W counts files that -C or -G begin: give one of them".to_owned());
    }
    let rotation = Rotation {
        bytes: file_size.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        period: file_seconds.map(|seconds| Span::from_secs(i64::from(seconds))),
        files: file_count,
    };
    let input = match &arguments.follow {
        Some(path) if path.as_os_str() == "-" => {
            return Err("--follow reads a file as it grows; a pipe is read by 'hsanalyze -'".to_owned());
        }
        Some(path) => LiveInput::File(path.clone()),
        None => LiveInput::Interface(interface_options(&arguments, analyse.filter.clone())?),
    };
    #[cfg(feature = "tui")]
    if arguments.tui {
        validate_screen(&analyse)?;
    }
    Ok(LiveConfig {
        input,
        #[cfg(feature = "tui")]
        screen: arguments.tui,
        #[cfg(feature = "metrics")]
        metrics: arguments.metrics,
        duration: arguments.duration,
        count: arguments.count.and_then(NonZeroU64::new),
        save: arguments.save.map(|path| SaveConfig { path, rotation }),
        user: arguments.relinquish_privileges,
        netns: arguments.netns.unwrap_or_default(),
        with_bpf: !arguments.no_bpf,
        analyse,
    })
}

/// Standard output has the screen until the end.
#[cfg(feature = "tui")]
fn validate_screen(analyse: &AnalyseConfig) -> Result<(), String> {
    if matches!(analyse.format, ReportFormat::NdJson | ReportFormat::Csv) && analyse.output.is_none() {
        return Err(
            "--tui shows a screen where this format writes its rows: name a file for them by -o FILE"
                .to_owned(),
        );
    }
    Ok(())
}

fn interface_options(arguments: &LiveArgs, filter: Option<String>) -> Result<LiveOptions, String> {
    let device = arguments.interface.as_deref();
    let device = device.filter(|device| !device.is_empty() && !device.contains('\0'));
    let device =
        device.ok_or("invalid value for '--interface': the name of an interface is needed, see -D")?;
    let default = LiveOptions::new(device);
    Ok(LiveOptions {
        snap_length: match arguments.snapshot_length {
            Some(0) => LiveOptions::MAX_SNAP_LENGTH,
            Some(bytes) => validate_snap_length(bytes)?,
            None => default.snap_length,
        },
        buffer: arguments.buffer_size.map_or(default.buffer, |kib| kib.saturating_mul(1024)),
        promiscuous: !arguments.no_promiscuous_mode,
        time_source: arguments.time_source,
        filter,
        // All packets that the filter selects are kept, as by tcpdump.
        trim: arguments.save.is_none(),
        ..default
    })
}

/// Bytes of a packet that every verdict needs: the headers of Ethernet, IPv4 and TCP without options.
const MIN_SNAP_LENGTH: u32 = 14 + 20 + 20;

fn validate_snap_length(bytes: u32) -> Result<u32, String> {
    if bytes < MIN_SNAP_LENGTH {
        return Err(format!(
            "-s {bytes} cuts packets before the end of the TCP header, so that none could be judged: at least \
             {MIN_SNAP_LENGTH} bytes (Ethernet 14, IPv4 20, TCP 20) are needed, or 0 for whole packets"
        ));
    }
    Ok(bytes)
}

/// Longer runs end by a signal.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A file to keep packets in; standard output has the report.
pub(super) fn no_standard_output(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path.as_os_str() == "-" {
        Err("standard output has the report; name a file, or a FIFO")
    } else {
        Ok(path)
    }
}

/// The value of `--metrics`: a port is one of this machine alone.
#[cfg(feature = "metrics")]
fn metrics_address(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.parse::<u16>().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse()).map_err(
        |_| "a port such as 9464, or an address with one such as 0.0.0.0:9464 or [::1]:9464, is needed",
    )
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time such as 30, 90s, 10m or 1h30m, of 10 years at most");
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?,
        Err(_) => {
            let friendly: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(friendly).map_err(|_| wrong())?
        }
    };
    if parsed.is_zero() || parsed > LONGEST {
        return Err(wrong());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "metrics")]
    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        assert_eq!(metrics_address("9464"), Ok("127.0.0.1:9464".parse().unwrap()));
        assert_eq!(metrics_address("[::]:1"), Ok("[::]:1".parse().unwrap()));
        for wrong in ["", ":9464", "localhost:9464", "65536", "10.0.0.1"] {
            assert!(metrics_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_seconds_or_has_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["0", "-1", "-2m", "nan", "inf", "1e300", "", "m", "2x", "11y"] {
            assert!(duration(wrong).unwrap_err().contains("10m or 1h30m"), "{wrong}");
        }
    }
}
