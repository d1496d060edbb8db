//! Bars and sparklines of single characters.

use std::collections::VecDeque;

/// Eighths of a character, from none to all.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The same for terminals without these characters.
const MARKS: [char; 9] = [' ', '.', '.', ':', ':', '-', '=', '+', '#'];

/// A bar of `width` characters of which `share` is filled; a full one is filled from 1 on.
pub(super) fn bar(share: f64, width: usize, unicode: bool) -> String {
    let share = share.clamp(0.0, 1.0);
    let mut filled = (share * width as f64).round() as usize;
    // A queue with anything in it does not look empty, nor one with a place full.
    if share > 0.0 {
        filled = filled.max(1);
    }
    if share < 1.0 {
        filled = filled.min(width.saturating_sub(1));
    }
    let (full, empty) = if unicode { ('█', '·') } else { ('#', '.') };
    (0..width).map(|at| if at < filled { full } else { empty }).collect()
}

/// The latest `width` values, the last one right, by the height of each against the highest; zero is a space.
pub(super) fn sparkline(values: &VecDeque<u64>, width: usize, unicode: bool) -> String {
    let latest = values.iter().skip(values.len().saturating_sub(width));
    let highest = latest.clone().copied().max().unwrap_or(0);
    let heights = if unicode { &EIGHTHS } else { &MARKS };
    let height = |&value: &u64| {
        let share = if highest > 0 { value as f64 / highest as f64 } else { 0.0 };
        // Any count above zero is visible.
        let step = ((share * (heights.len() - 1) as f64) as usize).max(usize::from(value > 0));
        heights.get(step).copied().unwrap_or(' ')
    };
    let missing = width.saturating_sub(values.len());
    std::iter::repeat_n(' ', missing).chain(latest.map(height)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_only_when_the_queue_is() {
        assert_eq!(bar(0.0, 4, false), "....");
        assert_eq!(bar(0.01, 4, false), "#...");
        assert_eq!(bar(0.99, 4, false), "###.");
        assert_eq!(bar(1.06, 4, false), "####");
        assert_eq!(bar(0.5, 4, true), "██··");
        assert_eq!(bar(1.0, 0, true), "");
    }

    #[test]
    fn a_sparkline_ends_with_the_latest_second() {
        let values = VecDeque::from([0, 1, 50, 100]);
        assert_eq!(sparkline(&values, 6, true), "   ▁▄█");
        assert_eq!(sparkline(&values, 2, true), "▄█");
        assert_eq!(sparkline(&VecDeque::new(), 3, true), "   ");
        assert_eq!(sparkline(&VecDeque::from([u64::MAX]), 1, false), "#");
    }
}
