//! The rows of a ladder: its messages, with long repetitions folded.

use std::mem::discriminant;
use std::ops::Range;

use crate::engine::packets::{KeptPacket, PacketStore};
use crate::handshake::Attempt;
use crate::listener::{Message, MessageMeaning, SilentEnd, ending, messages, points_on_way};
use crate::packet::{CapturePoint, Span};
use crate::report::wording;
use crate::words::number;

/// The ladder of one attempt.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// The attempt, with its final cause.
    pub attempt: Attempt,
    /// Messages of the attempt.
    pub(in crate::report) messages: Vec<Message>,
    /// Rows of the ladder.
    pub(in crate::report) rows: Vec<LadderRow>,
    /// The end that its messages do not show.
    pub(in crate::report) ending: Option<SilentEnd>,
    /// The points that its messages passed, from client to server; none where points are not told apart.
    pub(in crate::report) points: Vec<CapturePoint>,
}

/// A row of a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) enum LadderRow {
    /// A message, by its place.
    Message(usize),
    /// Messages that repeat those above.
    Folded(Range<usize>),
    /// Packets that were not kept.
    LeftOut(u64),
}

/// Rounds of a repetition that are shown in full; of more, those between the first two and the last are folded.
const SHOWN_ROUNDS: usize = 7;

impl Ladder {
    /// The ladder of an attempt from its packets; without rows where none were kept.
    #[must_use]
    pub fn new(attempt: Attempt, store: &PacketStore) -> Self {
        let kept = store.of(&attempt);
        let packets = kept.map(|kept| kept.packets.as_slice()).unwrap_or_default();
        let left_out = kept.filter(|kept| kept.left_out > 0).map(|kept| (kept.gap_at, kept.left_out));
        let messages = messages(&attempt, packets.iter().filter_map(KeptPacket::decode));
        let gap = left_out.map(|(gap_at, number)| {
            let next = packets.get(gap_at).map(|packet| packet.frame);
            let place = messages.iter().position(|message| Some(message.frame) == next);
            (place.unwrap_or(messages.len()), number)
        });
        let mut rows = fold(&messages);
        if let Some((place, number)) = gap {
            let before = |row: &LadderRow| match row {
                LadderRow::Message(index) => *index < place,
                LadderRow::Folded(range) => range.start < place,
                LadderRow::LeftOut(_) => true,
            };
            rows.insert(rows.partition_point(before), LadderRow::LeftOut(number));
        }
        let ending = ending(&attempt).filter(|_| !messages.is_empty());
        let points = points_on_way(&attempt);
        Self { attempt, messages, rows, ending, points }
    }

    /// The message at this place.
    pub(in crate::report) fn message(&self, place: usize) -> Option<&Message> {
        self.messages.get(place)
    }
}

impl Ladder {
    /// Folded messages in words: their number and their times.
    pub(in crate::report) fn folded(&self, places: &Range<usize>) -> String {
        let folded = self.messages.get(places.clone()).unwrap_or_default();
        let times: Vec<String> =
            folded.iter().map(|message| time(message.at.since(self.attempt.start))).collect();
        let at = match times.as_slice() {
            [first, .., last] if times.len() > 8 => format!("from {first} to {last}"),
            times => format!("at {}", times.join(", ")),
        };
        format!("... {} more of the same, {at}", number(folded.len() as u64))
    }
}

/// The rows of these messages: long repetitions of one message, or of two in turn, are folded.
fn fold(messages: &[Message]) -> Vec<LadderRow> {
    let alike = |a: usize, b: usize| match (messages.get(a), messages.get(b)) {
        (Some(a), Some(b)) => {
            let same_meaning = discriminant(&a.meaning) == discriminant(&b.meaning);
            same_meaning && a.sender == b.sender && a.unseen == b.unseen
        }
        _ => false,
    };
    let mut rows = Vec::new();
    let mut at = 0;
    while at < messages.len() {
        let repeats = |period: usize| {
            let same =
                (at + period..messages.len()).take_while(|&later| alike(later, later - period)).count();
            (period, (same + period) / period)
        };
        let (period, rounds) =
            [repeats(1), repeats(2)].into_iter().max_by_key(|&(_, rounds)| rounds).unwrap_or((1, 1));
        if rounds <= SHOWN_ROUNDS {
            rows.push(LadderRow::Message(at));
            at += 1;
            continue;
        }
        let end = at + period * rounds;
        rows.extend((at..at + 2 * period).map(LadderRow::Message));
        rows.push(LadderRow::Folded(at + 2 * period..end - period));
        rows.extend((end - period..end).map(LadderRow::Message));
        at = end;
    }
    rows
}

/// Flags and relative numbers, as many as fit: `SYN-ACK seq=0 ack=1`.
pub(in crate::report) fn label(message: &Message, room: usize) -> String {
    let flags = wording::flags(message);
    if matches!(message.meaning, MessageMeaning::Icmp(_)) {
        return flags;
    }
    let mut label = flags;
    let ack = message.ack.map(|ack| format!("ack={ack}"));
    let length = (message.payload > 0).then(|| format!("len={}", message.payload));
    for part in [Some(format!("seq={}", message.seq)), ack, length].into_iter().flatten() {
        if textwrap::core::display_width(&label) + 1 + textwrap::core::display_width(&part) <= room {
            label.push_str(&format!(" {part}"));
        }
    }
    label
}

/// A time in few columns: `1.03 s`.
pub(in crate::report) fn time(span: Span) -> String {
    if span.as_nanos() == 0 { "0 s".to_owned() } else { span.to_string() }
}
