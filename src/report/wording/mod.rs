//! Sentences about the data of `handshake` and `listener`: the same in text, JSON, NDJSON and CSV.
//!
//! Owns English, and nothing else: each function turns data into text by a match that names every variant, so that the
//! compiler rejects a new cause, evidence or advice without its sentence.

mod advice;
mod causes;
mod clients;
mod comparison;
mod delay;
mod diagnosis;
mod drop_reasons;
mod evidence;
mod figures;
mod knob;
mod limit;
mod listening;
mod messages;
mod same_advice;
mod size;

pub(super) use advice::advice;
pub(crate) use causes::undecided_attempts;
pub(super) use causes::{cause, confidence, episode, full_headline, noun, other_cause, without_cause};
pub(super) use clients::clients;
pub(super) use comparison::{change_cells, compared, shift};
pub(super) use delay::{by_distribution, by_range};
pub(super) use diagnosis::{diagnosis, server_name};
pub(super) use evidence::{evidence, icmp_name, listener_evidence, point, retry_times, ruled_out};
pub(super) use figures::{queue, socket_drops};
pub(super) use knob::{LimitKnob, continue_process, find_why_one_worker_waits, raise_backlog};
pub(super) use limit::{limit, protocol};
pub(super) use listening::{listening, listens};
pub(super) use messages::{attempt, ending, flags, left_out, message};
pub(super) use same_advice::advice_below;
pub(super) use size::{accept_rate, answer as size_answer, arrivals, rate, size};
