//! Short names of capture points, where there is no room for the whole ones.

use crate::packet::CapturePoint;
use crate::report::text::columns;
use crate::report::wording;

/// The names of points without what all of them begin and end with: `client` and `server` for `lost-client.pcap` and
/// `lost-server.pcap`. The whole names where nothing is left of one otherwise.
pub(super) fn short_names(points: &[CapturePoint]) -> Vec<String> {
    let names: Vec<String> = points.iter().copied().map(wording::point).collect();
    let mut distinct: Vec<&str> = names.iter().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let (Some(first), true) = (distinct.first(), distinct.len() > 1) else { return names };
    // Cut at the borders of words only: `eth0` and `eth1` stay what they are.
    let is_border = |c: char| matches!(c, '-' | '_' | '.' | ':' | '/' | ' ');
    let shared = |cut: &str, test: &dyn Fn(&str, &str) -> bool| distinct.iter().all(|name| test(name, cut));
    let heads = first.char_indices().filter(|&(_, c)| is_border(c)).map(|(at, c)| at + c.len_utf8());
    let mut heads = heads
        .filter_map(|end| first.get(..end))
        .filter(|cut| shared(cut, &|name, cut| name.starts_with(cut)));
    let head = heads.next_back().unwrap_or_default();
    let mut tails = first.char_indices().filter(|&(_, c)| is_border(c)).filter_map(|(at, _)| first.get(at..));
    let tail = tails.find(|cut| shared(cut, &|name, cut| name.ends_with(cut))).unwrap_or_default();
    let short = |name: &String| {
        let rest = name.get(head.len()..name.len().checked_sub(tail.len())?)?;
        (!rest.is_empty()).then(|| rest.to_owned())
    };
    names.iter().map(short).collect::<Option<Vec<String>>>().unwrap_or(names)
}

/// A name in so many columns: where it is longer, its beginning and its end.
pub(super) fn fit(name: &str, room: usize, unicode: bool) -> String {
    if columns(name) <= room {
        return name.to_owned();
    }
    let cut = if unicode { "…" } else { "~" };
    let chars: Vec<char> = name.chars().collect();
    let kept = room.saturating_sub(1);
    let (head, tail) = (kept - kept / 2, kept / 2);
    // A character of two columns takes the room of two: fewer are kept.
    let take = |range: &mut dyn Iterator<Item = &char>, room: usize| {
        let mut text = String::new();
        for c in range {
            if columns(&text) + columns(&c.to_string()) > room {
                break;
            }
            text.push(*c);
        }
        text
    };
    let end: String = take(&mut chars.iter().rev(), tail).chars().rev().collect();
    format!("{}{cut}{end}", take(&mut chars.iter(), head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(names: &[&str]) -> Vec<String> {
        short_names(&names.iter().map(|name| CapturePoint::named(name)).collect::<Vec<_>>())
    }

    #[test]
    fn what_all_names_share_is_left_out() {
        assert_eq!(short(&["lost-client.pcap", "lost-server.pcap"]), ["client", "server"]);
        assert_eq!(short(&["node.pcap:eth0", "node.pcap:veth3"]), ["eth0", "veth3"]);
        assert_eq!(short(&["eth0", "eth1"]), ["eth0", "eth1"]);
        assert_eq!(short(&["a.pcap", "b.pcap", "a.pcap"]), ["a", "b", "a"]);
        assert_eq!(short(&["x", "x-1"]), ["x", "x-1"]);
        assert_eq!(short(&["-", "--"]), ["-", "--"], "nothing would be left of one");
        assert_eq!(short(&["only.pcap"]), ["only.pcap"]);
    }

    #[test]
    fn a_name_keeps_both_its_ends() {
        assert_eq!(fit("client", 6, true), "client");
        assert_eq!(fit("very-long-name.pcap", 9, true), "very…pcap");
        assert_eq!(fit("very-long-name.pcap", 9, false), "very~pcap");
        assert!(columns(&fit("客户端服务器", 7, true)) <= 7, "a character of two columns may not fit");
        assert_eq!(columns(&fit("client", 1, true)), 1);
    }
}
