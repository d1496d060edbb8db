//! Arguments in, configuration or message out.

use std::path::Path;

use clap::CommandFactory;

use super::*;
use crate::capture::{LiveOptions, Rotation, TimeSource};
use crate::command::live::LiveInput;
use crate::command::live::SaveConfig;
use crate::handshake::{Cause, Confidence, Verdict};
use crate::listener::{AttemptFilter, VerdictSet};
use crate::packet::Span;
use crate::report::ColourChoice;
use crate::report::{ReportFormat, Verbosity};

fn parsed(arguments: &str) -> Result<Command, UsageError> {
    parse(std::iter::once("hsanalyze").chain(arguments.split_whitespace()))
}

fn analyse(arguments: &str) -> AnalyseConfig {
    match parsed(arguments) {
        Ok(Command::Analyse(config)) => config,
        other => panic!("{arguments}: {other:?}"),
    }
}

fn printed(arguments: &str) -> String {
    match parsed(arguments) {
        Ok(Command::Print(text)) => String::from_utf8(text).unwrap(),
        other => panic!("{arguments}: {other:?}"),
    }
}

fn error(arguments: &str) -> String {
    parsed(arguments).expect_err(arguments).to_string()
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
}

#[test]
fn a_file_is_enough() {
    let config = analyse("a.pcap");
    assert_eq!(config.files, [Path::new("a.pcap")]);
    assert_eq!((config.format, config.verbosity), (ReportFormat::Text, Verbosity::Normal));
    assert_eq!((config.listed, config.fail_on.as_slice()), (AttemptFilter::default(), [].as_slice()));
    assert_eq!((config.threads, config.max_attempts.get()), (None, 1_000_000));
    assert_eq!((config.colour, config.all), (ColourChoice::Auto, false));
    assert_eq!((config.output, config.filter), (None, None));
}

#[test]
fn options_arrive_in_the_configuration() {
    let config = analyse(
        "a.pcap b.pcap - -f tcp --format ndjson -o out --all --verdict refused,half-open \
         --cause filtered,port-closed:likely --fail-on problem --color never -v -n --threads 2 --max-attempts 5",
    );
    assert_eq!(config.files, ["a.pcap", "b.pcap", "-"].map(Path::new));
    assert_eq!(config.filter.as_deref(), Some("tcp"));
    assert_eq!((config.format, config.verbosity), (ReportFormat::NdJson, Verbosity::Verbose));
    assert_eq!(config.output.as_deref(), Some(Path::new("out")));
    let causes = [(Cause::Filtered, Confidence::Possible), (Cause::PortClosed, Confidence::Likely)];
    let verdicts = Some(VerdictSet::of(&[Verdict::Refused, Verdict::HalfOpen]));
    assert_eq!(config.listed, AttemptFilter { verdicts, causes: Some(causes.into_iter().collect()) });
    assert_eq!(config.fail_on, ["problem".parse().unwrap()]);
    assert_eq!((config.colour, config.all), (ColourChoice::Never, true));
    assert_eq!(config.threads.map(std::num::NonZeroUsize::get), Some(2));
    assert_eq!(config.max_attempts.get(), 5);
}

fn live(arguments: &str) -> LiveConfig {
    match parsed(arguments) {
        Ok(Command::Live(config)) => *config,
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn an_interface_makes_trailing_words_a_filter() {
    let config = live("-i eth0 port 443 and host 10.0.0.1 --format ndjson");
    let words = Some("port 443 and host 10.0.0.1".to_owned());
    let eth0 = LiveOptions { filter: words, ..LiveOptions::new("eth0") };
    assert_eq!((config.input, config.analyse.format), (LiveInput::Interface(eth0), ReportFormat::NdJson));
    assert_eq!(config.analyse.files, Vec::<std::path::PathBuf>::new());
    let default = LiveOptions { filter: Some("tcp".to_owned()), ..LiveOptions::new("any") };
    assert_eq!(live("-i any -f tcp").input, LiveInput::Interface(default));
    assert_eq!(parsed("-D").unwrap(), Command::Devices);
}

#[test]
fn options_of_a_live_capture_are_tcpdumps() {
    let config = live("-i 2 -s 0 -B 2048 -p -j adapter -c 5 --duration 2m -w out -C 3 -G 60 -W 4 -Z nobody");
    let expected = LiveOptions {
        snap_length: LiveOptions::MAX_SNAP_LENGTH,
        buffer: 2 << 20,
        promiscuous: false,
        time_source: Some(TimeSource::Adapter),
        trim: false,
        ..LiveOptions::new("2")
    };
    assert_eq!(config.input, LiveInput::Interface(expected));
    assert_eq!(config.count.map(std::num::NonZeroU64::get), Some(5));
    assert_eq!(config.duration, Some(std::time::Duration::from_secs(120)));
    assert_eq!(config.user.as_deref(), Some("nobody"));
    let rotation = Rotation { bytes: Some(3_000_000), period: Some(Span::from_secs(60)), files: Some(4) };
    assert_eq!(config.save, Some(SaveConfig { path: "out".into(), rotation }));
}

#[test]
fn a_file_is_followed_like_an_interface() {
    let config = live("--follow a.pcap port 443 --duration 5 -c 9");
    assert_eq!(config.input, LiveInput::File("a.pcap".into()));
    assert_eq!(config.analyse.filter.as_deref(), Some("port 443"));
    for (arguments, option) in [
        ("--follow a -s 100", "--snapshot-length (-s) is for a live capture: it needs -i IFACE"),
        ("--follow a --netns all", "--netns is for a live capture: it needs -i IFACE"),
        ("a --no-bpf", "--no-bpf is for a live capture: it needs -i IFACE"),
        ("help lsteners", "did you mean 'listeners'?"),
        ("a --attempt 10.9.0.1", "a client is written as 10.9.0.1:35374"),
        ("--follow a -w b", "--save (-w) is for a live capture: it needs -i IFACE"),
        ("a --duration 5", "it needs -i IFACE or --follow FILE"),
        ("--follow - tcp", "a pipe is read by 'hsanalyze -'"),
        ("--follow a -i eth0", "cannot be used with"),
    ] {
        assert!(error(arguments).contains(option), "{arguments}: {}", error(arguments));
    }
}

#[cfg(feature = "tui")]
#[test]
fn a_screen_needs_something_that_goes_on_and_standard_output() {
    assert!(live("-i lo --tui").screen && live("--follow a --tui").screen);
    assert!(error("--tui a").contains("--tui is for a live capture: it needs -i IFACE or --follow FILE"));
    assert!(error("-i lo --tui --format ndjson").contains("-o FILE"));
    assert!(live("-i lo --tui --format ndjson -o out").screen);
}

#[test]
fn the_last_of_quiet_and_verbose_wins_and_a_dash_is_standard_output() {
    assert_eq!(analyse("-q a").verbosity, Verbosity::Quiet);
    assert_eq!(analyse("-v -q a").verbosity, Verbosity::Quiet);
    assert_eq!(analyse("-q -v a").verbosity, Verbosity::Verbose);
    assert_eq!(analyse("-o - a").output, None);
}

#[test]
fn ladders_are_counted_or_of_one_client() {
    let ladders = |arguments| analyse(arguments).ladders.map(|asked| (asked.count, asked.client));
    assert_eq!(ladders("a"), None);
    assert_eq!(ladders("--ladder a"), Some((3, None)));
    assert_eq!(ladders("--ladder=7 a"), Some((7, None)));
    let client = "10.9.0.1:35374".parse::<std::net::SocketAddr>().unwrap().into();
    assert_eq!(ladders("--attempt 10.9.0.1:35374 a"), Some((20, Some(client))));
    assert!(ladders("--attempt [fd09::1]:5 a").is_some());
    assert!(error("--ladder=0 a").contains("from 1 to 65535"));
    assert!(error("--attempt 10.9.0.1 a").contains("10.9.0.1"));
    assert!(error("--ladder --format json a").contains("--ladder draws in text: it needs --format text"));
    assert!(live("-i lo --ladder").analyse.ladders.is_some());
}

#[test]
fn a_page_is_a_file_of_its_own() {
    assert_eq!(analyse("--report page.html a").page.as_deref(), Some(Path::new("page.html")));
    assert_eq!(analyse("--report page.html --format json a").format, ReportFormat::Json);
    assert_eq!(live("-i lo --report page.html").analyse.page.as_deref(), Some(Path::new("page.html")));
    assert!(error("--report - a").contains("the name of a file is needed"));
}

#[test]
fn a_file_may_bear_the_name_of_a_command() {
    assert_eq!(analyse("./man").files, [Path::new("./man")]);
}

#[test]
fn a_command_s_help_can_be_asked_for_in_three_ways() {
    for name in ["listeners", "race"] {
        assert_eq!(printed(&format!("help {name}")), printed(&format!("{name} --help")));
    }
    assert_eq!(printed("help"), printed("--help"));
}

#[test]
fn every_command_has_a_name_that_typing_errors_are_compared_with() {
    let mut program = Cli::command();
    program.build();
    let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(names, COMMANDS);
    assert_eq!(analyse("listner").similar_command, Some("listeners"));
    assert_eq!(analyse("rcae").similar_command, Some("race"));
    for file in ["race.pcap", "./race", "capture", "dump"] {
        assert_eq!(analyse(file).similar_command, None, "{file}");
    }
}

#[test]
fn words_after_read_are_a_filter() {
    let config = analyse("-r a.pcap -r b.pcap tcp port 7777 and host 10.0.0.1");
    assert_eq!(config.files, ["a.pcap", "b.pcap"].map(Path::new));
    assert_eq!(config.filter.as_deref(), Some("tcp port 7777 and host 10.0.0.1"));
    assert_eq!(analyse("-r a.pcap -f tcp").filter.as_deref(), Some("tcp"));
}

/// tcpdump's letters, where it has one.
#[test]
fn a_letter_means_one_thing_in_all_commands() {
    let mut program = Cli::command();
    program.build();
    let mut meanings = std::collections::BTreeMap::new();
    let commands = std::iter::once(&program).chain(program.get_subcommands());
    for argument in commands.flat_map(clap::Command::get_arguments) {
        if let Some(letter) = argument.get_short() {
            let meaning = argument.get_long().unwrap_or("(none)");
            let other = meanings.insert(letter, meaning).unwrap_or(meaning);
            assert_eq!(other, meaning, "-{letter}");
        }
    }
}

#[test]
fn completions_offer_the_words_of_verdict_cause_and_fail_on() {
    let bash = printed("completions bash");
    let after = |option: &str| {
        // The second place is that of the values; the first lists all options.
        let place = bash.match_indices(&format!("{option})\n")).next().unwrap().0;
        bash[place..].lines().nth(1).unwrap().to_owned()
    };
    for (option, words) in [
        ("--verdict", ["synack-retransmitted", "problem"]),
        ("--cause", ["accept-queue-overflow", "application-reset"]),
        ("--fail-on", ["accept-queue-overflow", "worse"]),
    ] {
        words.iter().for_each(|word| assert!(after(option).contains(word), "{option}: {}", after(option)));
        for shell in ["zsh", "fish"] {
            let script = printed(&format!("completions {shell}"));
            words.iter().for_each(|word| assert!(script.contains(word), "{shell}: {word}"));
        }
    }
    assert!(!after("--cause").contains("refused"), "{}", after("--cause"));
}

#[test]
fn no_arguments_get_a_short_usage() {
    insta::assert_snapshot!("no_arguments", error(""));
}

#[test]
fn wrong_arguments_get_the_value_and_what_is_allowed() {
    let messages = [
        "--verdict refused,nonsense a.pcap",
        "--fail-on nonsense a.pcap",
        "--cause accept-queue-overflo a.pcap",
        "--cause refused a.pcap",
        "--cause filtered:sure a.pcap",
        "--format yaml a.pcap",
        "--threads 0 a.pcap",
        "--threads -1 a.pcap",
        "--threads many a.pcap",
        "--max-attempts 0 a.pcap",
        "--nonsense a.pcap",
        "--ladder=0 a.pcap",
        "race 10.9.0.2:80 -c 0",
        "--all",
        "- -",
        "-r a.pcap -f tcp port 80",
        "--formt json a.pcap",
        "--fail-on problems a.pcap",
        "--fail-on problem:sure a.pcap",
        "lisetners --watch",
        "-r a.pcap --duration 5",
        "completions tcsh",
        "-i eth0 -r a.pcap",
        "-i eth0 -f tcp port 80",
        "-i eth0 --duration never",
        "-i eth0 -s 300000",
        "-i eth0 -s 53",
        "-i eth0 -w out -W 3",
        "-i eth0 -C 1",
        "-G 60 a.pcap",
        "-i eth0 --time-source gps",
        "-w out a.pcap",
    ]
    .map(|arguments| format!("$ hsanalyze {arguments}\n{}\n", error(arguments)));
    insta::assert_snapshot!("wrong_arguments", messages.join("\n"));
}

#[cfg(all(target_os = "linux", feature = "lab"))] // the snapshots list every command
#[test]
fn help_comes_short_and_long() {
    // Not as printed, which depends on the width of the terminal.
    let mut command = Cli::command().term_width(100);
    insta::assert_snapshot!("help_short", command.render_help().to_string());
    insta::assert_snapshot!("help_long", command.render_long_help().to_string());
    assert!(printed("-h").len() < printed("--help").len());
    let version = concat!("hsanalyze ", env!("CARGO_PKG_VERSION"), "\nlibpcap version ");
    assert!(printed("--version").starts_with(version) && printed("-V").starts_with(version));
}

#[cfg(all(target_os = "linux", feature = "lab"))] // the snapshots list every command
#[test]
fn the_manual_page_has_every_option() {
    let page = printed("man");
    for argument in Cli::command().get_arguments().filter(|argument| !argument.is_hide_set()) {
        if let Some(long) = argument.get_long() {
            let option = format!("\\-\\-{}", long.replace('-', "\\-"));
            assert!(page.contains(&option), "{option}");
        }
    }
    insta::assert_snapshot!("manual", page);
}

#[test]
fn every_command_with_options_of_its_own_has_a_page() {
    let program = Cli::command();
    let has_options = |command: &&clap::Command| command.get_opts().next().is_some();
    for command in program.get_subcommands().filter(has_options) {
        let name = command.get_name();
        let page = printed(&format!("man {name}"));
        assert!(page.contains(&format!(".TH hsanalyze-{name} 1")), "{page}");
        for long in command.get_opts().filter_map(clap::Arg::get_long) {
            let option = format!("\\-\\-{}", long.replace('-', "\\-"));
            assert!(page.contains(&option), "{option} of {name}");
        }
    }
}

#[test]
fn completions_know_the_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&format!("completions {shell}"));
        assert!(script.contains("max-attempts"), "{shell}");
    }
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    assert!(error("-i eth0 -w -").contains("standard output has the report"));
    assert!(error("race fd00::7:80").contains("[fd09::2]:7777"));
    assert!(parsed("race [fd00::7]:80").is_ok());
    #[cfg(all(target_os = "linux", feature = "lab"))]
    {
        assert!(error("lab --watch 0").contains("after 1 s"));
        assert!(parsed("lab --watch 1.5").is_ok());
    }
}
