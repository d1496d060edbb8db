//! Fisher's exact test: how likely two shares differ so much by chance.
//!
//! The test holds for any numbers, small ones too, where the normal approximation of two proportions does not.

/// A part of a number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Attempts with the property.
    pub part: u64,
    /// All attempts. At least `part`.
    pub whole: u64,
}

impl Portion {
    /// A portion; what exceeds the whole is left out.
    #[must_use]
    pub fn new(part: u64, whole: u64) -> Self {
        Self { part: part.min(whole), whole }
    }

    /// The share, from 0 to 1; 0 of no attempts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52, and a share needs no more")]
    pub fn share(self) -> f64 {
        if self.whole == 0 { 0.0 } else { self.part as f64 / self.whole as f64 }
    }

    /// Probability of none among `attempts`, were each of them like this portion.
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    pub(super) fn chance_of_none(self, attempts: u64) -> f64 {
        (1.0 - self.share()).powf(attempts as f64)
    }
}

/// Upper bound of the probability that so many attempts of `high`, or more, have a property by chance, if those of `low` and
/// `high` have it with one probability: the upper tail of the hypergeometric distribution (one-sided test).
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn chance_of_rise(low: Portion, high: Portion) -> f64 {
    /// Terms that are added up; the rest is bounded by a geometric series.
    const TERMS: u32 = 100_000;
    /// A rest below this part of the sum changes nothing.
    const NEGLIGIBLE: f64 = 1e-6;
    let (all, with) = (low.whole + high.whole, low.part + high.part);
    if high.share() <= low.share() {
        return 1.0;
    }
    let mut part = high.part as f64;
    let logarithm = ln_choose(with, high.part) + ln_choose(all - with, high.whole - high.part)
        - ln_choose(all, high.whole);
    let (mut term, mut sum) = (logarithm.exp(), 0.0);
    for _ in 0..TERMS {
        sum += term;
        // The next term by this one. The factor falls from term to term.
        let factor = (with as f64 - part) * (high.whole as f64 - part)
            / ((part + 1.0) * ((all - with) as f64 - high.whole as f64 + part + 1.0));
        let rest = if factor < 1.0 { term * factor / (1.0 - factor) } else { f64::INFINITY };
        if rest <= sum * NEGLIGIBLE {
            return (sum + rest).min(1.0);
        }
        term *= factor;
        part += 1.0;
    }
    1.0
}

/// Natural logarithm of the number of ways to choose `k` of `n`.
fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n.saturating_sub(k))
}

/// Natural logarithm of `n!`: exact for small numbers, Stirling's series (DLMF 5.11.1) for others, whose error is below
/// 1e-12 from 32 on.
#[expect(clippy::cast_precision_loss, reason = "as above")]
fn ln_factorial(n: u64) -> f64 {
    const SMALL: u64 = 32;
    if n < SMALL {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + series
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chance(low: (u64, u64), high: (u64, u64)) -> f64 {
        chance_of_rise(Portion::new(low.0, low.1), Portion::new(high.0, high.1))
    }

    #[track_caller]
    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 1e-5, "{value} is not {expected}");
    }

    /// Values that follow from numbers of combinations: the last is those of 6 of 60 by those of 6 of 120.
    #[test]
    fn small_numbers_are_as_counted() {
        near(chance((0, 5), (5, 5)), 1.0 / 252.0);
        near(chance((0, 10), (1, 1)), 1.0 / 11.0);
        near(chance((0, 60), (1, 60)), 0.5);
        near(chance((1, 4), (3, 4)), 17.0 / 70.0);
        near(chance((0, 60), (6, 60)), 50_063_860.0 / 3_652_745_460.0);
    }

    #[test]
    fn a_share_that_did_not_rise_is_chance() {
        assert_eq!(chance((3, 10), (3, 10)), 1.0);
        assert_eq!(chance((6, 10), (3, 10)), 1.0);
        assert_eq!(chance((0, 0), (0, 0)), 1.0);
        assert_eq!(chance((0, 10), (0, 0)), 1.0);
    }

    #[test]
    fn large_numbers_take_no_time() {
        let million = 1_000_000;
        assert!(chance((1_000, million), (1_300, million)) < 1e-9);
        assert!(chance((1_000, million), (1_010, million)) > 0.1);
        let most = 1 << 40;
        assert!((0.0..=1.0).contains(&chance((1, most), (most / 2, most))));
        assert!((0.0..=1.0).contains(&chance((most / 2 - 10, most), (most / 2, most))));
    }

    proptest! {
        /// Against a direct sum with exact whole numbers.
        #[test]
        fn it_is_the_sum_of_the_tail(a in 0_u64..=20, b in 0_u64..=20, m in 1_u64..=20, n in 1_u64..=20) {
            let (low, high) = (Portion::new(a, m), Portion::new(b, n));
            prop_assume!(high.share() > low.share());
            fn choose(n: u64, k: u64) -> u128 {
                if k > n { 0 } else { (0..k).fold(1, |ways, i| ways * u128::from(n - i) / u128::from(i + 1)) }
            }
            let (all, with) = (m + n, low.part + high.part);
            let tail: u128 = (high.part..=with.min(n)).map(|k| choose(with, k) * choose(all - with, n - k)).sum();
            let expected = tail as f64 / choose(all, n) as f64;
            prop_assert!((chance_of_rise(low, high) - expected).abs() <= expected * 1e-5);
        }
    }
}
