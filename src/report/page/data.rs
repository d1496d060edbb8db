//! The data that the page's script shows: attempts, ladders, episodes. Compact, since there may be 100,000 attempts.

use std::collections::HashMap;
use std::io::{self, Write};

use indexmap::IndexSet;
use serde::Serialize;
use strum::IntoEnumIterator;

use crate::engine::Summary;
use crate::handshake::{Attempt, Verdict};
use crate::listener::Sender;
use crate::packet::{Endpoint, Span, Timestamp};
use crate::report::ladder::{Ladder, LadderRow, label};
use crate::report::point_names::short_names;
use crate::report::text::{Clock, cause, connect, first};
use crate::report::wording;

/// Texts that occur often, once each, and known by their numbers.
#[derive(Default)]
struct Strings(IndexSet<String>);

impl Strings {
    fn number(&mut self, text: impl Into<String>) -> usize {
        self.0.insert_full(text.into()).0
    }
}

/// A row of the table of attempts. The page's script reads the columns by position.
#[derive(Serialize)]
struct PageAttempt<'a>(
    i64,         // start in microseconds since the first packet
    &'a str,     // client
    usize,       // server, by its place in `servers`
    usize,       // verdict, by its place in `verdicts`
    usize,       // cause, a string
    u32,         // retries of the SYN
    u32,         // retransmissions of the SYN-ACK
    Option<i64>, // connect time in microseconds
    Option<i64>, // what of it retries cost
    usize,       // result of connect(), a string
    u64,         // first frame
    Vec<usize>,  // evidence, strings
    Vec<usize>,  // what was ruled out, strings
    i64,         // ladder, by its place in `ladders`; -1 for none
);

/// A ladder: the names of its lines, strings, and rows.
#[derive(Serialize)]
struct PageLadder(Vec<usize>, Vec<RowOfLadder>);

/// A row of a ladder: microseconds since the attempt's start, sender (0 client, 1 server, 2 neither), label, meaning,
/// tone (0 plain, 1 trouble, 2 good), frame, and the lines that missed the message, by their places.
#[derive(Serialize)]
struct RowOfLadder(Option<i64>, u8, usize, usize, u8, u64, Vec<usize>);

#[derive(Serialize)]
struct EpisodeOnPage {
    server: usize,
    from: i64,
    until: i64,
    cause: usize,
}

/// Writes the data as JSON that cannot end a script element.
pub(super) fn write(
    out: &mut impl Write,
    clock: &Clock,
    summary: &Summary,
    attempts: &[Attempt],
    ladders: &[Ladder],
) -> io::Result<()> {
    let out = &mut WithoutTags(out);
    let begin = first(summary).or(attempts.first().map(|attempt| attempt.start)).unwrap_or_default();
    let mut strings = Strings::default();
    // The script takes string 0 for "none".
    strings.number("");
    let mut servers: IndexSet<Endpoint> = IndexSet::new();
    write!(out, "{{\"base\":{},\"verdicts\":", clock.local_micros(begin))?;
    serde_json::to_writer(&mut *out, &Verdict::iter().map(Verdict::name).collect::<Vec<_>>())?;
    let places: HashMap<u64, usize> =
        ladders.iter().enumerate().map(|(place, ladder)| (ladder.attempt.ordinal, place)).collect();
    write_list(out, "attempts", attempts, |out, attempt| {
        let client = attempt.client.to_string();
        let server = servers.insert_full(attempt.server).0;
        let ladder = places.get(&attempt.ordinal).map_or(-1, |&place| place as i64);
        serde_json::to_writer(out, &row(attempt, &client, begin, server, ladder, &mut strings))
    })?;
    write_list(out, "ladders", ladders, |out, ladder| {
        let lines = lines_of(ladder, &mut strings);
        serde_json::to_writer(out, &PageLadder(lines, rows_of(ladder, &mut strings)))
    })?;
    let episodes = episodes(summary, begin, &mut servers, &mut strings);
    write_list(out, "episodes", &episodes, |out, episode| serde_json::to_writer(out, episode))?;
    let servers: Vec<String> = servers.iter().map(Endpoint::to_string).collect();
    write_list(out, "servers", &servers, |out, server| serde_json::to_writer(out, server))?;
    write!(out, ",\n\"strings\":")?;
    serde_json::to_writer(&mut *out, &strings.0.iter().collect::<Vec<_>>())?;
    write!(out, "}}")
}

fn write_list<W: Write, T>(
    out: &mut W,
    name: &str,
    list: &[T],
    mut element: impl FnMut(&mut W, &T) -> serde_json::Result<()>,
) -> io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    for (index, each) in list.iter().enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        element(out, each)?;
    }
    write!(out, "]")
}

fn row<'a>(
    attempt: &Attempt,
    client: &'a str,
    begin: Timestamp,
    server: usize,
    ladder: i64,
    strings: &mut Strings,
) -> PageAttempt<'a> {
    let inference = &attempt.inference;
    PageAttempt(
        micros(attempt.start.since(begin)),
        client,
        server,
        attempt.verdict as usize,
        strings.number(cause(attempt).unwrap_or_default()),
        attempt.retries.syn,
        attempt.retries.syn_ack,
        attempt.timing.connect.map(micros),
        attempt.timing.delay.filter(|delay| delay.as_nanos() > 0).map(micros),
        strings.number(connect(attempt.connect)),
        attempt.frame.number(),
        inference.evidence.iter().map(|&evidence| strings.number(wording::evidence(evidence))).collect(),
        inference.ruled_out.iter().map(|&other| strings.number(wording::ruled_out(other, 1))).collect(),
        ladder,
    )
}

/// The lines of a ladder: its points, or client and server.
fn lines_of(ladder: &Ladder, strings: &mut Strings) -> Vec<usize> {
    let names = match ladder.points.as_slice() {
        [] => vec!["client".to_owned(), "server".to_owned()],
        points => short_names(points),
    };
    names.into_iter().map(|name| strings.number(name)).collect()
}

fn rows_of(ladder: &Ladder, strings: &mut Strings) -> Vec<RowOfLadder> {
    let aside =
        |text: String, strings: &mut Strings| RowOfLadder(None, 2, 0, strings.number(text), 0, 0, Vec::new());
    let mut rows = Vec::with_capacity(ladder.rows.len() + 1);
    for row in &ladder.rows {
        rows.extend(match row {
            LadderRow::Folded(places) => Some(aside(ladder.folded(places), strings)),
            LadderRow::LeftOut(packets) => Some(aside(wording::left_out(*packets), strings)),
            LadderRow::Message(place) => ladder.message(*place).map(|message| {
                let sender = match message.sender {
                    Sender::Client => 0,
                    Sender::Server => 1,
                };
                let meaning = wording::message(message, &ladder.attempt);
                let tone = match message.meaning {
                    crate::listener::MessageMeaning::Established => 2,
                    meaning => u8::from(meaning.is_trouble()),
                };
                let points = ladder.points.iter().enumerate();
                let missed = points.filter(|(_, point)| message.unseen.contains(point));
                RowOfLadder(
                    Some(micros(message.at.since(ladder.attempt.start))),
                    sender,
                    strings.number(label(message, usize::MAX)),
                    strings.number(meaning),
                    tone,
                    message.frame.number(),
                    missed.map(|(place, _)| place).collect(),
                )
            }),
        });
    }
    rows.extend(ladder.ending.map(|ending| aside(wording::ending(ending), strings)));
    rows
}

fn episodes(
    summary: &Summary,
    begin: Timestamp,
    servers: &mut IndexSet<Endpoint>,
    strings: &mut Strings,
) -> Vec<EpisodeOnPage> {
    let mut rows = Vec::new();
    for listener in &summary.listeners {
        let Some(server) = listener.server else { continue };
        for episode in &listener.episodes {
            let cause = wording::episode(episode.cause, episode.confidence);
            rows.push(EpisodeOnPage {
                server: servers.insert_full(server).0,
                from: micros(episode.from.since(begin)),
                until: micros(episode.until.since(begin)),
                cause: strings.number(cause),
            });
        }
    }
    rows
}

fn micros(span: Span) -> i64 {
    span.as_nanos() / 1_000
}

/// A writer of JSON in which `<` is escaped: it occurs in strings only, and nothing in them can begin a tag.
struct WithoutTags<'a, W>(&'a mut W);

impl<W: Write> Write for WithoutTags<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut parts = bytes.split(|&byte| byte == b'<');
        self.0.write_all(parts.next().unwrap_or_default())?;
        for part in parts {
            self.0.write_all(b"\\u003c")?;
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
