//! Beliefs of the clients of an overflowed queue.

use crate::listener::Clients;
use crate::words::number;

/// `3 believe they are connected and are not, 47 are still waiting`; empty where no client is counted.
pub(in crate::report) fn clients(clients: &Clients) -> String {
    let Clients { believe_connected, unsure, reset, late, waiting, timed_out, reset_after } = *clients;
    let counted = [
        (believe_connected, "believes it is connected and is not", "believe they are connected and are not"),
        (unsure, "believes it is connected and may not be", "believe they are connected and may not be"),
        (
            reset,
            "was reset just after, or while, connect() returned",
            "were reset just after, or while, connect() returned",
        ),
        (late, "got into the queue late", "got into the queue late"),
        (waiting, "is still waiting", "are still waiting"),
        (timed_out, "timed out", "timed out"),
    ];
    let counted = counted.into_iter().filter(|&(count, ..)| count > 0);
    let mut parts: Vec<String> = counted
        .map(|(count, one, many)| format!("{} {}", number(count), if count == 1 { one } else { many }))
        .collect();
    if let Some((least, most)) = reset_after.filter(|_| reset > 0) {
        let span = if least == most { least.to_string() } else { format!("{least} to {most}") };
        parts.push(format!("RST {span} after the SYN-ACK"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Span;

    #[test]
    fn only_what_occurred_is_written_and_verbs_agree() {
        assert_eq!(clients(&Clients::default()), "");
        let some = Clients { believe_connected: 1, waiting: 1_047, ..Clients::default() };
        assert_eq!(clients(&some), "1 believes it is connected and is not, 1,047 are still waiting");
        let at = |micros| Span::from_micros(micros);
        let raced = Clients { reset: 2, reset_after: Some((at(150), at(300))), ..Clients::default() };
        assert_eq!(
            clients(&raced),
            "2 were reset just after, or while, connect() returned, RST 150 µs to 300 µs after the SYN-ACK"
        );
    }
}
