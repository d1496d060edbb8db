//! Numbers on the command line.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// The parser of a whole number in this range, whose error gives the range; up to `u64::MAX` stands for no bound.
pub(super) fn whole<T: FromStr>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number: &u64| range.contains(number));
        number.and_then(|_| text.parse().ok()).ok_or_else(|| match (range.start(), range.end()) {
            (least, &u64::MAX) => format!("a whole number of {least} or more is needed"),
            (least, most) => format!("a whole number from {least} to {most} is needed"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn a_number_out_of_range_is_answered_with_the_range() {
        let few = whole::<u16>(1..=1_000);
        assert_eq!((few("1"), few("1000")), (Ok(1), Ok(1_000)));
        for wrong in ["0", "1001", "-1", "", "x", "1.5", "99999999999999999999"] {
            assert_eq!(few(wrong).unwrap_err(), "a whole number from 1 to 1000 is needed", "{wrong}");
        }
        let many = whole::<NonZeroUsize>(1..=u64::MAX);
        assert_eq!(many("7"), Ok(NonZeroUsize::new(7).unwrap()));
        assert_eq!(many("0").unwrap_err(), "a whole number of 1 or more is needed");
    }
}
