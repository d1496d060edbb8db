//! Grouping of capture files: those taken at one point, one after the other, and those at different points of one path.
//!
//! Owns the points of files and their names. Does not own how files are recognised as points of one path (`points`).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::packet::{CapturePoint, Timestamp};

/// A point that the user named: files with the same name were captured at one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPoint {
    /// The name.
    pub name: String,
    /// The path of the file, as it is given to be read.
    pub file: OsString,
}

/// A capture file as the first look saw it.
pub(super) struct SampledFile<'a> {
    pub(super) path: &'a OsStr,
    /// First and last time of the packets that were looked at.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Index of a file that holds the same SYNs, captured at another point.
    pub(super) partner: Option<u16>,
    /// The file itself shows the same packets at several places.
    pub(super) has_several: bool,
}

/// The point of each file; none if nothing shows several points.
pub(super) fn points(files: &[SampledFile<'_>], named: &[NamedPoint]) -> Vec<CapturePoint> {
    let is_named = |file: &SampledFile<'_>| named.iter().any(|named| named.file == file.path);
    let several = files.iter().any(|file| file.partner.is_some() || is_named(file));
    if !several && !files.iter().any(|file| file.has_several) {
        return vec![CapturePoint::NONE; files.len()];
    }
    let short: Vec<&str> = files.iter().map(|file| short_name(file.path)).collect();
    let distinct = short.iter().collect::<HashSet<_>>().len() == short.len();
    let mut points: Vec<CapturePoint> = Vec::with_capacity(files.len());
    for (at, file) in files.iter().enumerate() {
        let given = named.iter().find(|named| named.file == file.path);
        let before =
            files.iter().zip(&points).find(|(earlier, _)| !is_named(earlier) && continues(file, earlier));
        let own = || match short.get(at) {
            Some(&name) if distinct => CapturePoint::named(name),
            _ => CapturePoint::named(&file.path.to_string_lossy()),
        };
        let point = match (given, before) {
            (Some(given), _) => CapturePoint::named(&given.name),
            (None, Some((_, &point))) => point,
            (None, None) => own(),
        };
        points.push(point);
    }
    points
}

/// True if a file seems to go on where `earlier` ended, or the other way round: their names differ by numbers alone, and
/// they do not overlap.
fn continues(file: &SampledFile<'_>, earlier: &SampledFile<'_>) -> bool {
    let words = |path: &OsStr| -> String {
        short_name(path).chars().filter(|character| !character.is_ascii_digit()).collect()
    };
    let apart = match (file.span, earlier.span) {
        (Some((first, last)), Some((from, until))) => first >= until || from >= last,
        (_, _) => true,
    };
    apart && words(file.path) == words(earlier.path)
}

fn short_name(path: &OsStr) -> &str {
    Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, span: (i64, i64), partner: Option<u16>) -> SampledFile<'_> {
        let (first, last) = span;
        let span = Some((Timestamp::from_nanos(first), Timestamp::from_nanos(last)));
        SampledFile { path: OsStr::new(path), span, partner, has_several: false }
    }

    fn names(files: &[SampledFile<'_>], named: &[NamedPoint]) -> Vec<String> {
        points(files, named).iter().map(|point| format!("{point:?}")).collect()
    }

    #[test]
    fn rotated_files_are_one_point() {
        let series = [file("a/x.pcap0", (0, 5), None), file("a/x.pcap1", (6, 9), None)];
        assert_eq!(names(&series, &[]), ["-", "-"], "nothing shows another point");
        let pair = [
            file("a/x.pcap0", (0, 5), Some(2)),
            file("a/x.pcap1", (6, 9), None),
            file("b/y.pcap", (1, 4), Some(0)),
        ];
        assert_eq!(names(&pair, &[]), ["x.pcap0", "x.pcap0", "y.pcap"]);
    }

    #[test]
    fn files_that_overlap_are_points_of_their_own() {
        let nodes = [file("node1.pcap", (0, 5), Some(1)), file("node2.pcap", (1, 6), Some(0))];
        assert_eq!(names(&nodes, &[]), ["node1.pcap", "node2.pcap"]);
        let same = [file("a/eth0.pcap", (0, 5), Some(1)), file("b/eth0.pcap", (1, 6), Some(0))];
        assert_eq!(names(&same, &[]), ["a/eth0.pcap", "b/eth0.pcap"]);
    }

    #[test]
    fn the_user_names_points() {
        let named = |name: &str, file: &str| NamedPoint { name: name.to_owned(), file: file.into() };
        let files =
            [file("1.pcap", (0, 5), None), file("2.pcap", (0, 5), None), file("3.pcap", (6, 7), None)];
        let given = [named("client", "1.pcap"), named("server", "2.pcap"), named("client", "3.pcap")];
        assert_eq!(names(&files, &given), ["client", "server", "client"]);
    }
}
