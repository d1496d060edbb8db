//! An annotated capture: the packets of attempts as pcapng, each with a comment on what it is.
//!
//! Owns the choice of attempts, and what stands in which comment. Does not own where packets come from
//! (`engine/packets`), what a message means (`listener/messages`), nor the sentences (`wording`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use strum::IntoEnumIterator;

use crate::capture::PcapngWriter;
use crate::engine::Summary;
use crate::engine::packets::{KeptPacket, PacketStore};
use crate::handshake::{Attempt, Verdict};
use crate::listener::{AttemptFilter, Listener, messages};
use crate::packet::{Endpoint, FrameRef, LinkType, Packet};
use crate::printable::printable;
use crate::report::{TOOL, wording};
use crate::words::{count, number};

/// Most attempts that are written: with their packets they are held in memory.
const MAX_ATTEMPTS: usize = 50_000;
/// Listeners that the section's comment names at most.
const LISTENERS: usize = 100;

/// The attempts to write, the first of them where there are too many.
#[derive(Debug, Clone)]
pub struct WrittenAttempts {
    wanted: AttemptFilter,
    client: Option<Endpoint>,
    attempts: Vec<Attempt>,
    ordinals: HashSet<u64>,
    left_out: u64,
}

impl WrittenAttempts {
    /// Attempts that `wanted` lists; of a `client` any.
    #[must_use]
    pub fn new(wanted: AttemptFilter, client: Option<Endpoint>) -> Self {
        Self { wanted, client, attempts: Vec::new(), ordinals: HashSet::new(), left_out: 0 }
    }

    /// Offers a settled attempt. Returns true if it is to be written.
    pub fn offer(&mut self, attempt: &Attempt) -> bool {
        let fits = match self.client {
            Some(client) => attempt.client == client,
            None => self.wanted.lists(attempt),
        };
        if fits && self.attempts.len() >= MAX_ATTEMPTS {
            self.left_out += 1;
            return false;
        }
        if fits {
            self.ordinals.insert(attempt.ordinal);
            self.attempts.push(attempt.clone());
        }
        fits
    }

    /// True if the attempt at this position is to be written.
    #[must_use]
    pub fn contains(&self, ordinal: u64) -> bool {
        self.ordinals.contains(&ordinal)
    }

    /// The attempts to write.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter()
    }

    /// Attempts that were too many to be written.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// A packet with its comment.
struct Annotated<'a> {
    packet: &'a KeptPacket,
    comment: String,
}

/// Writes the packets of these attempts, which have their final causes, in the order of capture. Returns how many there
/// are.
///
/// # Errors
///
/// The output's.
pub fn write(
    out: &mut impl Write,
    summary: &Summary,
    attempts: &[Attempt],
    left_out: u64,
    store: &PacketStore,
) -> io::Result<u64> {
    let mut annotated: Vec<Annotated<'_>> =
        attempts.iter().flat_map(|attempt| annotate(attempt, store)).collect();
    if summary.captures.len() > 1 {
        annotated.sort_by_key(|annotated| (annotated.packet.at, annotated.packet.frame));
    } else {
        annotated.sort_by_key(|annotated| annotated.packet.frame);
    }
    let missing = attempts.iter().filter_map(|attempt| store.of(attempt)).map(|kept| kept.left_out).sum();
    let written = attempts.iter().filter(|attempt| store.of(attempt).is_some()).count() as u64;
    let comment = section_comment(summary, written, left_out + (attempts.len() as u64 - written), missing);
    let mut writer = PcapngWriter::new(out, Some(&comment))?;
    let mut interfaces: BTreeMap<(u16, LinkType), u32> = BTreeMap::new();
    for Annotated { packet, comment } in &annotated {
        let key = (packet.frame.capture(), packet.link);
        let interface = match interfaces.get(&key) {
            Some(&known) => known,
            None => {
                let capture = summary.captures.get(usize::from(key.0));
                let name = capture.map(|capture| input_name(&capture.path)).unwrap_or_default();
                let new = writer.interface(&name, packet.link)?;
                *interfaces.entry(key).or_insert(new)
            }
        };
        writer.packet(interface, &packet.as_frame(), Some(comment))?;
    }
    for (&(capture, _), &interface) in &interfaces {
        // A client that was silent until then was silent indeed.
        if let Some(last) = summary.captures.get(usize::from(capture)).and_then(|capture| capture.last) {
            writer.end(interface, last)?;
        }
    }
    Ok(annotated.len() as u64)
}

/// The packets of one attempt with their comments: what each means, and at the first what became of the attempt.
fn annotate<'a>(attempt: &Attempt, store: &'a PacketStore) -> Vec<Annotated<'a>> {
    let packets = store.of(attempt).map(|kept| kept.packets.as_slice()).unwrap_or_default();
    let decoded: Vec<Option<Packet>> = packets.iter().map(KeptPacket::decode).collect();
    let messages = messages(attempt, decoded.iter().flatten().copied());
    let meanings: HashMap<FrameRef, String> =
        messages.iter().map(|message| (message.frame, wording::message(message, attempt))).collect();
    let mut annotated = Vec::with_capacity(packets.len());
    for (index, packet) in packets.iter().enumerate() {
        let meaning = meanings.get(&packet.frame).cloned().unwrap_or_else(|| {
            let meaning = |place: usize| meanings.get(&packets.get(place)?.frame);
            let original = originals(&decoded, index).find_map(meaning);
            original
                .map_or_else(|| "captured again".to_owned(), |original| format!("captured again: {original}"))
        });
        let mut comment = format!("frame {}: {meaning}", packet.frame.number());
        if index == 0 {
            comment.push_str(&format!("\n{}", wording::attempt(attempt)));
        }
        annotated.push(Annotated { packet, comment });
    }
    annotated
}

/// Places of the packets that the one at `index` may be another capture of, the latest first.
fn originals(packets: &[Option<Packet>], index: usize) -> impl Iterator<Item = usize> {
    /// Packets that may lie between: those of a long path in flight.
    const BETWEEN: usize = 64;
    let segment = |place: usize| match packets.get(place) {
        Some(Some(Packet::Segment(segment))) => {
            // The addresses may have been translated in between.
            Some((segment.seq, segment.ack, segment.flags, segment.payload))
        }
        Some(Some(Packet::Unreachable(_)) | None) | None => None,
    };
    let own = segment(index);
    let before = (index.saturating_sub(BETWEEN)..index).rev();
    before.filter(move |&place| own.is_some() && segment(place) == own)
}

/// The comment of the section: what is in the file, and the verdicts of each listener.
fn section_comment(summary: &Summary, attempts: u64, left_out: u64, missing: u64) -> String {
    let captures = summary.captures.iter();
    let names: Vec<String> = captures.take(5).map(|capture| input_name(&capture.path)).collect();
    let more = if summary.captures.len() > names.len() { ", ..." } else { "" };
    let all = count(summary.verdicts.total(), "attempt");
    let mut text = format!("{TOOL}: packets of {} of {all} in {}{more}", number(attempts), names.join(", "));
    if left_out > 0 {
        text.push_str(&format!("; {} left out, which are too many", count(left_out, "attempt")));
    }
    if missing > 0 {
        text.push_str(&format!(
            "; {} of these attempts left out, which are too many",
            count(missing, "packet")
        ));
    }
    for listener in summary.listeners.iter().take(LISTENERS) {
        text.push_str(&format!("\n{}", listener_line(listener)));
    }
    if let Some(rest) = summary.listeners.len().checked_sub(LISTENERS).filter(|&rest| rest > 0) {
        text.push_str(&format!("\n{} more", count(rest as u64, "listener")));
    }
    text
}

/// The name of an input, safe to show.
fn input_name(path: &str) -> String {
    if path == "-" { "standard input".to_owned() } else { printable(path).into_owned() }
}

/// `10.9.0.2:7777: a full accept queue (likely): 10 completed, 3 synack-retransmitted, 47 unanswered`.
fn listener_line(listener: &Listener) -> String {
    let tally = &listener.verdicts;
    let present = Verdict::iter().filter(|&verdict| tally.get(verdict) > 0);
    let verdicts: Vec<String> =
        present.map(|verdict| format!("{} {}", number(tally.get(verdict)), verdict.name())).collect();
    let cause = wording::cause(listener.cause, listener.confidence);
    let cause = cause.map(|cause| format!("{cause}: ")).unwrap_or_default();
    format!("{}: {cause}{}", wording::server_name(listener), verdicts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn attempts_that_are_too_many_are_counted() {
        let (summary, attempts) = samples::overflow_mixed();
        let mut written = WrittenAttempts::new(AttemptFilter::problems(), None);
        let problem = attempts.iter().find(|attempt| attempt.verdict.is_problem()).unwrap();
        for ordinal in 0..MAX_ATTEMPTS as u64 + 3 {
            let offered = written.offer(&Attempt { ordinal, ..problem.clone() });
            assert_eq!(offered, ordinal < MAX_ATTEMPTS as u64);
            assert_eq!(written.contains(ordinal), offered);
        }
        assert_eq!(written.left_out(), 3);
        let comment = section_comment(&summary, 60, written.left_out(), 7);
        assert!(comment.contains("; 3 attempts left out, which are too many"), "{comment}");
        assert!(comment.contains("; 7 packets of these attempts left out"), "{comment}");
    }
}
