//! Sentences of a comparison with a baseline.

use std::borrow::Cow;

use crate::listener::comparison::{
    BaselineComparison, Change, ComparedShare, ListenerChange, Portion, Shift,
};
use crate::printable::printable;
use crate::words::{count, number, verb};

/// The result in one sentence: `Worse than before.json at 1 of 3 servers, better at 1; 2 servers are new.`
pub(in crate::report) fn compared(comparison: &BaselineComparison<'_>) -> String {
    let name = baseline_name(comparison);
    let (worse, better) = (comparison.count(Change::Worse), comparison.count(Change::Better));
    let unchanged = comparison.count(Change::Unchanged);
    let both = worse + better + unchanged;
    let result = match comparison.result() {
        None => format!("Cannot be compared with {name}: no server has attempts in both that can be judged"),
        Some(Change::Worse) => {
            let improved = if better > 0 { format!(", better at {}", number(better)) } else { String::new() };
            format!("Worse than {name} at {}{improved}", place(comparison, Change::Worse, both))
        }
        Some(Change::Better) => format!("Better than {name} at {}", place(comparison, Change::Better, both)),
        Some(_) if both == 1 => format!("No change from {name} beyond chance"),
        Some(_) => format!("No change from {name} beyond chance at {}", count(both, "server")),
    };
    let only = [(Change::New, "new"), (Change::Gone, "gone")].map(|(change, word)| {
        let listeners = comparison.count(change);
        (listeners > 0)
            .then(|| format!("{} {} {word}", count(listeners, "server"), verb(listeners, "is", "are")))
    });
    let only: Vec<String> = only.into_iter().flatten().collect();
    if only.is_empty() { format!("{result}.") } else { format!("{result}; {}.", only.join(", ")) }
}

/// The name of the baseline's file.
pub(in crate::report) fn baseline_name<'a>(comparison: &'a BaselineComparison<'_>) -> Cow<'a, str> {
    printable(&comparison.baseline.name)
}

/// The only server with this change, or how many of `both`.
fn place(comparison: &BaselineComparison<'_>, change: Change, both: u64) -> String {
    let mut servers = comparison.with(change).map(|listener| listener.server);
    match (servers.next(), servers.next()) {
        (Some(server), None) => server.to_string(),
        _ => format!("{} of {}", number(comparison.count(change)), count(both, "server")),
    }
}

/// A difference: `failed: 50 of 60 attempts (83.3 %), before 0 of 60 (0 %)`.
pub(in crate::report) fn shift(shift: &Shift) -> String {
    let Shift { share, before, after } = shift;
    let name = match share {
        ComparedShare::Failed => "failed".to_owned(),
        ComparedShare::Late => "late".to_owned(),
        ComparedShare::Cause(cause) => cause.name().replace('-', " "),
    };
    match share {
        ComparedShare::Cause(_) if before.part == 0 => {
            format!("{name} is new: {} ({})", of_attempts(*after), percent(*after))
        }
        ComparedShare::Cause(_) if after.part == 0 => {
            format!("{name} is gone: before {} ({})", of_attempts(*before), percent(*before))
        }
        _ => format!(
            "{name}: {} ({}), before {} of {} ({})",
            of_attempts(*after),
            percent(*after),
            number(before.part),
            number(before.whole),
            percent(*before)
        ),
    }
}

fn of_attempts(portion: Portion) -> String {
    format!("{} of {}", number(portion.part), count(portion.whole, "attempt"))
}

/// `83.3 %`: 0 and 100 only where it is exactly that.
fn percent(portion: Portion) -> String {
    let percent = 100.0 * portion.share();
    match (portion.part, portion.part == portion.whole) {
        (0, _) => "0 %".to_owned(),
        (_, true) => "100 %".to_owned(),
        _ if percent < 0.1 => "below 0.1 %".to_owned(),
        _ if percent >= 99.95 => "above 99.9 %".to_owned(),
        _ => format!("{percent:.1} %"),
    }
}

/// The cells of a listener's row, after its name and change: attempts, failed, late, and the 99th percentile of its
/// connect time, each before and now.
pub(in crate::report) fn change_cells(listener: &ListenerChange, arrow: &str) -> [String; 4] {
    let sides = [&listener.before, &listener.after];
    let cell = |of: &dyn Fn(&crate::listener::comparison::ComparedFigures) -> String| {
        sides.map(|side| side.as_ref().map_or_else(|| "-".to_owned(), of)).join(arrow)
    };
    [
        cell(&|figures| number(figures.attempts)),
        cell(&|figures| percent(figures.failed())),
        cell(&|figures| percent(figures.late())),
        cell(&|figures| figures.connect_time.map_or_else(|| "-".to_owned(), |time| time.p99.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_none_or_all() {
        let shown = |part, whole| percent(Portion::new(part, whole));
        assert_eq!(shown(0, 60), "0 %");
        assert_eq!(shown(0, 0), "0 %");
        assert_eq!(shown(60, 60), "100 %");
        assert_eq!(shown(50, 60), "83.3 %");
        assert_eq!(shown(1, 10_000), "below 0.1 %");
        assert_eq!(shown(9_999, 10_000), "above 99.9 %");
        assert_eq!(shown(1, 1_000), "0.1 %");
    }
}
