//! The report as one HTML page, for people who look rather than read, and send what they found to somebody else.
//!
//! Owns the page: its parts (`html.rs`), charts (`charts.rs`), the data that its script shows (`data.rs`), and the policy
//! that keeps everything else out (`policy.rs`). The page is one file, which works from disk and needs no network. All
//! text from a capture goes through maud's escaping or into JSON without `<`. Does not own any judgement or sentence:
//! those are the other reports' (`wording`, `text`).

mod charts;
mod data;
mod figures;
mod html;
mod policy;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use self::figures::Figures;
use super::ladder::Ladder;
use super::text::{FirstAttempts, HeaderCounts, TextStyle, conclusion};
use super::{MAX_LISTED, ReportOptions};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::{AttemptFilter, Listeners};

/// Attempts of each verdict whose ladders a page has.
pub const LADDERS: usize = 100;

/// Collects what the page will need of the attempts.
#[derive(Debug)]
pub struct PageReport {
    options: ReportOptions,
    counts: HeaderCounts,
    figures: Figures,
    listed: FirstAttempts,
}

impl PageReport {
    /// An empty page. Of `options` it uses the time zone, and which attempts are listed.
    #[must_use]
    pub fn new(options: ReportOptions) -> Self {
        Self {
            options: ReportOptions { colour: false, ..options },
            counts: HeaderCounts::default(),
            figures: Figures::default(),
            listed: FirstAttempts::new(MAX_LISTED),
        }
    }

    /// Counts an attempt, listed or not.
    pub fn count(&mut self, attempt: &Attempt) {
        self.counts.add(attempt);
        self.figures.add(attempt);
    }

    /// Lists an attempt, if it is among those wanted by the cause that it has now.
    pub fn list(&mut self, attempt: &Attempt) {
        if self.options.listed.lists(attempt) {
            self.listed.add(attempt);
        }
    }

    /// Writes the page, with the ladders of some attempts.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn write(
        self,
        out: &mut impl Write,
        summary: &Summary,
        listeners: &Listeners,
        ladders: &[Ladder],
    ) -> io::Result<()> {
        let Self { options, counts, figures, listed } = self;
        let (mut attempts, left_out) = listed.into_order();
        attempts.iter_mut().for_each(|attempt| attempt.inference = listeners.infer(attempt).into());
        attempts.retain(|attempt| options.listed.lists_cause_of(attempt));
        let first = super::text::first(summary);
        TextStyle::with(&options, first, |style| {
            let (emphasis, sentence) = conclusion(style, summary, &counts);
            let page = html::Page {
                style,
                summary,
                conclusion: (emphasis, &sentence),
                vantage: counts.vantage(),
                figures: &figures,
                listed: attempts.len(),
                left_out,
                is_restricted: options.listed != AttemptFilter::default(),
            };
            out.write_all(page.before_data().into_string().as_bytes())?;
            data::write(out, style.clock, summary, &attempts, ladders)?;
            out.write_all(html::after_data().into_string().as_bytes())?;
            out.flush()
        })
    }
}
