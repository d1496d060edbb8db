//! The screen as characters, at several sizes, and what keys do to it.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::capture::CaptureDrops;
use crate::engine::packets::PacketStore;
use crate::handshake::{Cause, Confidence, Verdict};
use crate::kernel::NetnsId;
use crate::listener::{Episode, EpisodeReport, EpisodeState, Tally};
use crate::packet::{Endpoint, Span, Timestamp};
use crate::report::status::LiveCounts;
use crate::report::{ReportOptions, samples};

fn options() -> ReportOptions {
    ReportOptions { unicode: true, ..ReportOptions::default() }
}

fn web() -> Endpoint {
    Endpoint::v4([10, 9, 0, 2], 7777)
}

fn episode(state: EpisodeState, server: Endpoint, cause: Cause, from: Timestamp) -> EpisodeReport {
    let mut verdicts = Tally::default();
    (0..47).for_each(|_| verdicts.add(Verdict::Unanswered));
    EpisodeReport {
        state,
        server,
        scanner: None,
        episode: Episode {
            cause: Some(cause),
            confidence: Some(Confidence::Confirmed),
            from,
            until: from.plus(Span::from_millis(12_300)),
            ongoing: state != EpisodeState::Ended,
            verdicts,
        },
        drops: Some(301),
        drops_per_second: Some(28.0),
        kernel: None,
    }
}

/// A run with an overflow that goes on, and one of another server that is over.
fn model() -> ScreenModel {
    let mut model = ScreenModel::new("eth0");
    let attempts = samples::overflow_mixed().1;
    let start = attempts[0].start;
    let listener = |server: Endpoint, owner: &str, waiting, limit, drops| ListenerNow {
        key: (Some(NetnsId::default()), server),
        server,
        owner: Some(owner.to_owned()),
        waiting: Some(waiting),
        limit: Some(limit),
        drops: Some(drops),
        problems: 0,
    };
    for second in 1..=40u32 {
        let drops = u64::from(second) * u64::from(second) / 5;
        let counts = LiveCounts {
            packets: 1_000 * u64::from(second),
            attempts: 60,
            undecided: 12,
            problems: 50,
            worst_queue: Some((17, Some(16))),
            kernel_drops: drops,
            dropped: CaptureDrops::default(),
        };
        let remote = ListenerNow {
            waiting: None,
            limit: None,
            drops: None,
            problems: u64::from(second) / 7,
            owner: None,
            key: (None, Endpoint::v4([192, 0, 2, 1], 443)),
            ..listener(Endpoint::v4([192, 0, 2, 1], 443), "", 0, 0, 0)
        };
        let listeners = vec![
            listener(Endpoint::v4([0, 0, 0, 0], 22), "sshd[612]", 0, 128, 0),
            listener(web(), "nginx[71]", 17, 16, drops),
            listener(Endpoint::v4([10, 9, 0, 2], 5432), "postgres[90]", 100, 244, 0),
            remote,
        ];
        model.update(ScreenNow { elapsed: Duration::from_secs(second.into()), counts, listeners });
    }
    model.episode(&episode(EpisodeState::Begun, web(), Cause::PortClosed, start));
    model.episode(&episode(EpisodeState::Ended, web(), Cause::PortClosed, start));
    let later = start.plus(Span::from_secs(20));
    model.episode(&episode(EpisodeState::Begun, web(), Cause::AcceptQueueOverflow, later));
    model.episode(&episode(EpisodeState::Ongoing, web(), Cause::AcceptQueueOverflow, later));
    for attempt in attempts.iter().filter(|attempt| attempt.verdict.is_problem()) {
        model.attempt(attempt, attempt.verdict == Verdict::SynackRetransmitted);
    }
    model
}

fn screen(width: u16, height: u16, view: &mut ScreenView, options: &ReportOptions) -> String {
    shown(&model(), width, height, view, options)
}

fn shown(
    model: &ScreenModel,
    width: u16,
    height: u16,
    view: &mut ScreenView,
    options: &ReportOptions,
) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, view, options)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let cells = buffer.content.chunks(width.into());
    let rows = cells.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

fn press(view: &mut ScreenView, keys: &[KeyCode]) -> Option<ScreenRequest> {
    let press = |view: &mut ScreenView, &code: &KeyCode| view.key(KeyEvent::from(code), &model());
    keys.iter().map(|key| press(view, key)).last().flatten()
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

#[test]
fn the_screen_at_usual_sizes() {
    for (width, height) in [(80, 24), (200, 50), (60, 15), (40, 12)] {
        let text = screen(width, height, &mut ScreenView::default(), &options());
        insta::assert_snapshot!(format!("screen_{width}x{height}"), text);
    }
    let ascii = ReportOptions::default();
    let text = screen(80, 24, &mut ScreenView::default(), &ascii);
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("17/16  ########"), "{text}");
}

#[test]
fn no_size_is_too_small() {
    let text: Vec<KeyCode> = typed("?");
    for (width, height) in (1..24).flat_map(|width| (1..16).map(move |height| (width, height))) {
        let mut view = ScreenView::default();
        screen(width, height, &mut view, &options());
        press(&mut view, &text);
        screen(width, height, &mut view, &options());
        press(&mut view, &[KeyCode::Esc, KeyCode::End, KeyCode::PageUp]);
        screen(width, height, &mut view, &options());
        view.show_text("MESSAGES", report_lines(b"\n\x1b[1;31mred\x1b[0m\nplain"), Some(1));
        press(&mut view, &[KeyCode::PageDown]);
        screen(width, height, &mut view, &options());
    }
}

#[test]
fn the_filter_selects_by_address_in_all_panes() {
    let mut view = ScreenView::default();
    press(&mut view, &typed("5432"));
    let text = screen(80, 24, &mut view, &options());
    assert!(text.contains("filter: 5432_"), "{text}");
    assert!(text.contains("postgres[") && !text.contains("nginx"), "{text}");
    assert!(text.contains("none that the filter selects"), "{text}");
    press(&mut view, &[KeyCode::Enter]);
    assert_eq!(press(&mut view, &typed("q")), Some(ScreenRequest::End), "q is a key again");
    press(&mut view, &[KeyCode::Esc]);
    assert!(screen(80, 24, &mut view, &options()).contains("nginx"));
}

#[test]
fn an_attempt_is_selected_and_its_messages_are_shown() {
    let mut view = ScreenView::default();
    screen(80, 24, &mut view, &options());
    let feed: Vec<u64> = model().feed.iter().map(|row| row.attempt.ordinal).collect();
    assert_eq!(press(&mut view, &[KeyCode::Enter]), Some(ScreenRequest::Ladder(feed[0])));
    assert_eq!(
        press(&mut view, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]),
        Some(ScreenRequest::Ladder(feed[2]))
    );
    assert_eq!(
        press(&mut view, &[KeyCode::End, KeyCode::Enter]),
        Some(ScreenRequest::Ladder(*feed.last().unwrap()))
    );
    let text = screen(80, 24, &mut view, &options());
    assert!(text.contains(&model().feed.back().unwrap().attempt.client.to_string()), "{text}");
    let model = model();
    let attempt = model.attempt_at(feed[2]).unwrap();
    let lines = ladder_lines(&options(), attempt, &PacketStore::default());
    view.show_text("MESSAGES", lines, Some(feed[2]));
    assert_eq!(view.open_attempt(), Some(feed[2]));
    let text = screen(80, 24, &mut view, &options());
    assert!(text.contains("its packets are not kept"), "{text}");
    assert_eq!(press(&mut view, &typed("q")), None, "it closes the text first");
    assert_eq!(press(&mut view, &typed("q")), Some(ScreenRequest::End));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.key(control_c, &model), Some(ScreenRequest::End));
}

#[test]
fn a_text_is_scrolled_as_far_as_it_goes() {
    let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
    let mut view = ScreenView::default();
    view.show_text("REPORT SO FAR", report_lines(text.as_bytes()), None);
    let at = |view: &mut ScreenView| screen(80, 12, view, &options());
    assert!(at(&mut view).contains("lines 1 to 10 of 100"));
    press(&mut view, &[KeyCode::PageDown]);
    assert!(at(&mut view).contains("lines 10 to 19 of 100"), "one line stays");
    press(&mut view, &[KeyCode::End, KeyCode::Down]);
    assert!(at(&mut view).contains("lines 91 to 100 of 100"));
    press(&mut view, &[KeyCode::Home, KeyCode::Up]);
    assert!(at(&mut view).contains("lines 1 to 10 of 100"));
}

#[test]
fn a_stopped_screen_shows_what_it_showed() {
    let mut view = ScreenView::default();
    press(&mut view, &typed("p"));
    let mut later = model();
    later.feed.clear();
    let text = shown(&later, 80, 24, &mut view, &options());
    assert!(text.contains("PAUSED") && text.contains("PROBLEM ATTEMPTS (50)"), "{text}");
    press(&mut view, &typed("p"));
    let text = shown(&later, 80, 24, &mut view, &options());
    assert!(!text.contains("PAUSED") && text.contains("PROBLEM ATTEMPTS (0)"), "{text}");
}

#[test]
fn the_order_of_listeners_changes_by_a_key() {
    let mut view = ScreenView::default();
    let first = |view: &mut ScreenView| {
        let text = screen(120, 24, view, &options());
        let line = text.lines().nth(3).unwrap().to_owned();
        (text.contains("by drops"), line.split_whitespace().next().unwrap().to_owned())
    };
    assert_eq!(first(&mut view), (true, web().to_string()));
    press(&mut view, &typed("sss"));
    assert_eq!(first(&mut view), (false, "0.0.0.0:22".to_owned()), "by address");
}

#[test]
fn an_episode_whose_cause_becomes_known_stays_one() {
    let mut model = ScreenModel::new("eth0");
    let unknown = EpisodeReport {
        episode: Episode {
            cause: None,
            confidence: None,
            ..episode(EpisodeState::Begun, web(), Cause::PortClosed, Timestamp::default()).episode
        },
        ..episode(EpisodeState::Begun, web(), Cause::PortClosed, Timestamp::default())
    };
    model.episode(&unknown);
    model.episode(&episode(EpisodeState::Ongoing, web(), Cause::PortClosed, Timestamp::default()));
    assert_eq!(model.episodes.len(), 1);
    assert_eq!(model.episodes[0].episode.cause, Some(Cause::PortClosed));
    let now = EpisodeReport { drops: Some(999), ..model.episodes[0].clone() };
    model.episode_now(&now);
    assert_eq!(model.episodes[0].drops, Some(999));
    model.episode(&episode(EpisodeState::Ended, web(), Cause::PortClosed, Timestamp::default()));
    model.episode(&episode(EpisodeState::Begun, web(), Cause::PortClosed, Timestamp::default()));
    assert_eq!(model.episodes.len(), 2, "another one of the same kind");
}

#[test]
fn trouble_without_a_known_cause_stays_apart_from_an_episode_that_goes_on() {
    let mut model = ScreenModel::new("eth0");
    let overflow = |state| episode(state, web(), Cause::AcceptQueueOverflow, Timestamp::default());
    model.episode(&overflow(EpisodeState::Begun));
    let mut unknown = overflow(EpisodeState::Begun);
    (unknown.episode.cause, unknown.episode.confidence) = (None, None);
    model.episode(&unknown);
    model.episode(&overflow(EpisodeState::Ongoing));
    let causes = |model: &ScreenModel| {
        let mut causes: Vec<_> = model.episodes.iter().map(|known| known.episode.cause).collect();
        causes.sort();
        causes
    };
    assert_eq!(causes(&model), [None, Some(Cause::AcceptQueueOverflow)]);
    unknown.state = EpisodeState::Ended;
    model.episode(&unknown);
    assert_eq!(causes(&model), [None, Some(Cause::AcceptQueueOverflow)]);
    assert_eq!(model.episodes[1].episode.cause, None, "what is over comes last");
}

#[test]
fn an_attempt_that_changes_stays_one_row() {
    let attempts = samples::overflow_mixed().1;
    let mut model = ScreenModel::new("eth0");
    let problem = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
    model.attempt(problem, false);
    assert_eq!((model.feed.len(), model.unsettled_to(problem.server)), (1, 1));
    model.attempt(problem, true);
    assert_eq!((model.feed.len(), model.unsettled_to(problem.server)), (1, 0));
}

#[test]
fn attempts_that_are_not_listed_are_counted() {
    let attempts = samples::overflow_mixed().1;
    let problem = attempts.iter().find(|attempt| attempt.verdict.is_problem()).unwrap();
    let mut model = ScreenModel::new("eth0");
    model.unlisted(problem, false);
    model.unlisted(problem, false);
    assert_eq!((model.feed.len(), model.unsettled_to(problem.server)), (0, 1));
    model.attempt(problem, false);
    assert_eq!((model.feed.len(), model.unsettled_to(problem.server)), (1, 1));
    let mut model = ScreenModel::new("eth0");
    model.unlisted(problem, false);
    model.unlisted(problem, true);
    assert_eq!(model.unsettled_to(problem.server), 0);
}
