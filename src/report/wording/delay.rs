//! Phrases for the delays of late clients.

use crate::listener::Percentiles;
use crate::packet::Span;

/// `by 1.0 s`, or `by 1.0 s to 7.1 s`.
pub(in crate::report) fn by_range(least: Span, most: Span) -> String {
    let [least, most] = [least, most].map(brief);
    if least == most { format!("by {most}") } else { format!("by {least} to {most}") }
}

/// `by 1.0 s`, or `by up to 7.1 s (median 1.0 s)`.
pub(in crate::report) fn by_distribution(percentiles: &Percentiles) -> String {
    let [median, most] = [percentiles.p50, percentiles.max].map(brief);
    if median == most { format!("by {most}") } else { format!("by up to {most} (median {median})") }
}

/// Seconds with one digit; less than one as measured.
fn brief(span: Span) -> String {
    if span < Span::from_millis(950) {
        span.to_string()
    } else {
        format!("{:.1} s", span.as_nanos() as f64 / 1e9)
    }
}
