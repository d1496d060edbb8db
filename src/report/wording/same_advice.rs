//! Advice for one listener of several: what one above it has already been given is not said again.

use std::borrow::Cow;

use super::{advice, server_name};
use crate::listener::{Advice, AdviceKind, Listener};

/// Longest advice, in characters, that is rather said again than looked for above: it fits a line.
const SHORT: usize = 60;

/// The advice for `listener`, each piece with its label, where the listeners `above` have had theirs: `check`, `as for
/// 10.9.0.2:7777`.
pub(in crate::report) fn advice_below(
    listener: &Listener,
    above: &[&Listener],
) -> Vec<(&'static str, Cow<'static, str>)> {
    // The commands of another network namespace are others.
    let above: Vec<&Listener> =
        above.iter().copied().filter(|other| other.kernel == listener.kernel).collect();
    let text = |piece: Advice| advice(piece, listener.server, listener.kernel.as_ref());
    let refer = |other: &Listener| Cow::Owned(format!("as for {}", server_name(other)));
    let is_short = |pieces: &[Advice]| matches!(pieces, [one] if text(*one).len() <= SHORT);
    if let Some(other) = above.iter().find(|other| other.advice == listener.advice)
        && listener.advice.len() > 1
    {
        return vec![("advice", refer(other))];
    }
    let of_kind = |listener: &Listener, kind: AdviceKind| -> Vec<Advice> {
        listener.advice.iter().copied().filter(|piece| piece.kind() == kind).collect()
    };
    let mut given = Vec::new();
    let mut referred: Vec<AdviceKind> = Vec::new();
    for &piece in &listener.advice {
        let kind = piece.kind();
        let pieces = of_kind(listener, kind);
        let same = above.iter().find(|other| of_kind(other, kind) == pieces);
        match same.filter(|_| !is_short(&pieces)) {
            Some(_) if referred.contains(&kind) => {}
            Some(other) => {
                referred.push(kind);
                given.push((kind.name(), refer(other)));
            }
            None => given.push((kind.name(), text(piece))),
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn what_is_the_same_is_said_once_and_what_differs_is_said() {
        let above = samples::overflow_mixed().0.listeners.remove(0);
        let mut below = above.clone();
        let given = |below: &Listener| {
            let given = advice_below(below, &[&above]);
            given.into_iter().map(|(label, text)| format!("{label} {text}")).collect::<Vec<_>>()
        };
        assert_eq!(given(&below), ["advice as for 10.9.0.2:7777"]);
        below.advice.retain(|piece| piece.kind() == AdviceKind::Check);
        below.advice.push(Advice::OnlyAcceptFaster);
        let fix = "fix accept() faster, or send some clients elsewhere: no backlog keeps up";
        assert_eq!(given(&below), ["check as for 10.9.0.2:7777", fix]);
        below.advice = vec![Advice::FindWhyNothingIsAccepted];
        assert_eq!(given(&below), ["fix find out why the application accepts nothing"]);
        assert_eq!(advice_below(&above, &[]).len(), above.advice.len());
    }

    #[test]
    fn one_long_piece_is_not_said_again() {
        let mut above = samples::overflow_mixed().0.listeners.remove(0);
        above.advice = vec![Advice::CaptureBothEnds];
        let given = advice_below(&above, &[&above]);
        assert_eq!(given, [("check", Cow::Borrowed("as for 10.9.0.2:7777"))]);
    }
}
