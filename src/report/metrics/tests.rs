use std::collections::BTreeSet;
use std::time::Duration;

use super::listeners::MAX_LISTENERS;
use super::slots::IDLE;
use super::*;
use crate::capture::CaptureDrops;
use crate::handshake::Verdict;
use crate::kernel::{BacklogBy, Container, Counters, KernelStats, Netns, Owner, ProcessState};
use crate::packet::Span;
use crate::report::samples;

/// A listening socket whose process has a name that could end a label.
fn socket(port: u16, drops: u64) -> SocketNow {
    let stats = KernelStats {
        local: ([0, 0, 0, 0], port).into(),
        published: None,
        sockets: 1,
        sockets_full: 0,
        sockets_full_max: 0,
        listening: true,
        span: Span::from_secs(2),
        samples: 2,
        recv_q: 5,
        send_q: Some(4),
        longest_wait: None,
        recv_q_max: 5,
        full_seen: true,
        overflowed_within: None,
        replaced: None,
        drops: Some(drops),
        limit_from: None,
        somaxconn: None,
        abort_on_overflow: None,
        synack_retries: None,
        syncookies: None,
        netns: Netns { own: true, inode: Some(4_026_531_840), ..Netns::default() },
        owner: Some(Owner {
            pid: 7,
            command: "a\"} 1\n\u{1b}[2Jb".to_owned(),
            state: ProcessState::Sleeping,
            container: Some(Container::Unit("a.service".to_owned())),
            polls: false,
            backlog_by: BacklogBy::Program,
        }),
        namespace: Counters::parse("", ""),
    };
    SocketNow { server: Endpoint::v4([10, 0, 0, 1], port), stats }
}

fn moment(sockets: Vec<SocketNow>) -> MetricsNow {
    let server = Some(sockets[0].server);
    let counts = LiveCounts {
        packets: 900,
        undecided: 3,
        kernel_drops: 12,
        dropped: CaptureDrops { by_kernel: 4, by_interface: 1 },
        ..LiveCounts::default()
    };
    let scan = OngoingEpisode { server: None, cause: Some(Cause::SynScan) };
    let episodes = vec![OngoingEpisode { server, cause: None }, scan];
    MetricsNow { at: Instant::now(), counts, sockets, episodes }
}

fn attempt_to(server: Endpoint) -> Attempt {
    Attempt { server, ..samples::healthy().1.remove(0) }
}

/// The text of a registry, of which each line has this beginning.
fn lines(registry: &MetricsRegistry, beginning: &str) -> Vec<String> {
    let text = registry.encode(MetricsFormat::PrometheusText).unwrap();
    text.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

#[test]
fn every_metric_has_the_name_the_kind_the_labels_and_the_help_of_its_guide() {
    let (mut metrics, registry) = LiveMetrics::new();
    let mut raced = samples::overflow_mixed().1;
    raced[0].connect.window = Some(Span::from_micros(3));
    raced[0].timing.connect = Some(Span::from_millis(1_002));
    raced[0].timing.delay = Some(Span::from_secs(1));
    raced.iter().for_each(|attempt| metrics.count(attempt));
    metrics.update(&moment(vec![socket(80, 6)]));
    let text = registry.encode(MetricsFormat::PrometheusText).unwrap();
    let mut expected = BTreeSet::new();
    for guide in GUIDES {
        let name = guide.full_name();
        assert!(text.contains(&format!("# TYPE {name} {}\n", guide.kind.name())), "{name}: {text}");
        assert!(text.contains(&format!("# HELP {name} {}.\n", guide.help)), "{name}: {text}");
        let sample = |line: &&str| line.strip_prefix(&name).is_some_and(|rest| !rest.starts_with("_created"));
        let series = text.lines().find(sample).unwrap_or_else(|| panic!("{name} has no series: {text}"));
        let labels: Vec<&str> =
            guide.labels.iter().copied().filter(|l| series.contains(&format!("{l}=\""))).collect();
        assert_eq!(labels, guide.labels, "{series}");
        let allowed = guide.labels.len() + usize::from(guide.kind == MetricKind::Histogram);
        assert!(series.matches("=\"").count() <= allowed, "{series}");
        expected.insert(name);
    }
    let registered = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(registered.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    assert!(registry.encode(MetricsFormat::OpenMetrics).unwrap().ends_with("# EOF\n"));
    assert!(!text.contains('\u{1b}'));
    assert!(text.contains(r#"process="a\"} 1"#), "{text}");
}

#[test]
fn each_attempt_is_counted_once_and_late_ones_again_as_late() {
    let (mut metrics, registry) = LiveMetrics::new();
    let attempts = samples::overflow_mixed().1;
    attempts.iter().for_each(|attempt| metrics.count(attempt));
    let sum = |beginning: &str| -> usize {
        let values = lines(&registry, beginning).into_iter();
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    };
    assert_eq!(sum("hsanalyze_attempts_total{"), attempts.len());
    assert_eq!(sum("hsanalyze_late_connects_total{"), attempts.iter().filter(|a| a.is_late()).count());
    let connected = attempts.iter().filter(|attempt| attempt.timing.connect.is_some()).count();
    assert_eq!(sum("hsanalyze_connect_time_seconds_count{"), connected);
    let retries: u32 = attempts.iter().map(|attempt| attempt.retries.syn + attempt.retries.syn_ack).sum();
    assert_eq!(sum("hsanalyze_retries_total{"), retries as usize);
}

#[test]
fn listeners_past_the_bound_share_series_until_others_are_idle() {
    let (mut metrics, registry) = LiveMetrics::new();
    let server = |n: u16| Endpoint::v4([10, 0, 0, 1], n);
    let many = MAX_LISTENERS as u16 + 50;
    (0..many).for_each(|port| metrics.count(&attempt_to(server(port))));
    let mut now = moment(vec![socket(80, 0)]);
    metrics.update(&now);
    assert_eq!(lines(&registry, "hsanalyze_late_connects_total{").len(), MAX_LISTENERS + 1);
    let completed = format!("verdict=\"{}\"", Verdict::Completed.name());
    let other = lines(&registry, "hsanalyze_attempts_total{listener=\"other\"");
    assert!(other.iter().any(|line| line.contains(&completed) && line.ends_with(" 50")), "{other:?}");
    assert_eq!(
        lines(&registry, "hsanalyze_folded{kind=\"listener\"}"),
        ["hsanalyze_folded{kind=\"listener\"} 50"]
    );
    now.at += IDLE + Duration::from_secs(1);
    metrics.update(&now);
    metrics.count(&attempt_to(server(many - 1)));
    metrics.update(&now);
    assert_eq!(lines(&registry, "hsanalyze_late_connects_total{").len(), MAX_LISTENERS + 1);
    assert_eq!(
        lines(&registry, "hsanalyze_listeners_forgotten_total"),
        ["hsanalyze_listeners_forgotten_total 1"]
    );
    assert_eq!(
        lines(&registry, "hsanalyze_folded{kind=\"listener\"}"),
        ["hsanalyze_folded{kind=\"listener\"} 49"]
    );
}

#[test]
fn what_is_over_has_no_series_and_no_counter_falls() {
    let (mut metrics, registry) = LiveMetrics::new();
    metrics.update(&moment(vec![socket(80, 6), socket(81, 0)]));
    assert_eq!(lines(&registry, "hsanalyze_accept_queue_length{").len(), 2);
    assert_eq!(lines(&registry, "hsanalyze_episodes_ongoing{").len(), 2);
    let mut now = moment(vec![socket(81, 0)]);
    now.episodes.clear();
    now.counts.kernel_drops = 5;
    metrics.update(&now);
    for family in ["accept_queue_length", "accept_queue_limit", "listener_drops_total", "listener_info"] {
        assert_eq!(lines(&registry, &format!("hsanalyze_{family}{{")).len(), 1, "{family}");
    }
    assert_eq!(lines(&registry, "hsanalyze_episodes_ongoing{"), [""; 0]);
    assert_eq!(lines(&registry, "hsanalyze_kernel_drops_total"), ["hsanalyze_kernel_drops_total 12"]);
    now.counts.kernel_drops = 6;
    metrics.update(&now);
    assert_eq!(lines(&registry, "hsanalyze_kernel_drops_total"), ["hsanalyze_kernel_drops_total 13"]);
}
