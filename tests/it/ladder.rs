//! Ladders by the command line: from files and pipes, of the worst attempts and of one client.

use std::fs;

use crate::util::{capture, captures, hsanalyze};

/// The part of the report that `--ladder=4` or `--attempt` adds.
fn ladders(text: &str) -> &str {
    let first = text.lines().find(|line| line.contains(" > ") && line.contains(", frame "));
    let begin = first.and_then(|line| text.find(line)).unwrap_or_else(|| panic!("no ladder in\n{text}"));
    &text[begin..]
}

#[test]
fn a_pipe_shows_the_ladders_of_the_file() {
    for path in captures() {
        let arguments = ["--ladder=4", "--verdict", "problem,completed"];
        let file = hsanalyze(arguments.iter().copied().chain(path.to_str())).succeed();
        let pipe =
            hsanalyze(arguments.iter().copied().chain(["-"])).stdin(fs::read(&path).unwrap()).succeed();
        assert_eq!(ladders(file.text()), ladders(pipe.text()), "{}", path.display());
    }
}

#[test]
fn one_clients_attempts_are_shown_whatever_their_verdict() {
    let path = capture("overflow_mixed-server");
    let path = path.to_str().unwrap();
    for (client, verdict) in [("10.9.0.1:35374", "synack-retransmitted"), ("10.9.0.1:35288", "completed")] {
        let ran = hsanalyze(["--attempt", client, path]).succeed();
        let ladders = ladders(ran.text());
        assert!(ladders.starts_with(&format!("{client} > 10.9.0.2:7777")), "{ran}");
        assert!(ladders.contains(&format!("\n  {verdict}")), "{ran}");
        assert_eq!(ladders.matches(" > 10.9.0.2").count(), 1, "{ran}");
    }
    let ran = hsanalyze(["--attempt", "10.9.0.1:1", path]).exit(2);
    assert!(ran.stderr.contains("--attempt 10.9.0.1:1: no attempt of this client"), "{ran}");
}

#[test]
fn the_locale_decides_about_the_characters() {
    let path = capture("overflow_mixed-server");
    let mut command = hsanalyze(["--ladder=1", path.to_str().unwrap()]).command();
    let unicode = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(String::from_utf8(unicode.stdout).unwrap().contains("\u{25b6}"));
    let ascii = hsanalyze(["--ladder=1", path.to_str().unwrap()]).succeed();
    assert!(ladders(ascii.text()).contains("--->|"), "{ascii}");
}

#[test]
fn the_threads_and_the_filter_change_no_ladder() {
    let path = capture("overflow_mixed-server");
    let path = path.to_str().unwrap();
    let run = |extra: &[&str]| {
        let ran = hsanalyze(["--ladder=3"].iter().chain(extra).copied().chain([path])).succeed();
        ladders(ran.text()).to_owned()
    };
    let one = run(&["--threads", "1"]);
    assert_eq!(run(&["--threads", "4"]), one);
    assert_eq!(run(&["-f", "port 7777"]), one);
}
