//! Samples, their median and their spread.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

/// Work done in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Units of work done.
    pub work: u64,
    /// Time it took.
    pub took: Duration,
}

impl Sample {
    /// Units of work a second.
    #[must_use]
    pub fn rate(self) -> f64 {
        number(self.work) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// A count as a measured number.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^52, and this is a measurement"
)]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// How often something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Samples thrown away.
    pub warm_up: u32,
    /// Samples that count; at least one.
    pub samples: u32,
}

/// What the samples of one row say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The middle sample (the mean of the two middle ones).
    pub median: f64,
    /// The smallest sample.
    pub least: f64,
    /// The largest sample.
    pub most: f64,
    /// Median distance of the samples from their median (MAD): one odd sample does not move it.
    pub spread: f64,
    /// Every sample in the order it was taken.
    pub samples: Vec<f64>,
}

impl Measured {
    /// Sums samples up.
    ///
    /// # Errors
    /// No sample at all, or one that is no number or less than nothing.
    pub fn of(samples: Vec<f64>) -> anyhow::Result<Self> {
        ensure!(!samples.is_empty(), "nothing was measured");
        ensure!(
            samples.iter().all(|sample| sample.is_finite() && *sample >= 0.0),
            "a sample is no number that can be measured: {samples:?}"
        );
        let middle = median(samples.clone());
        Ok(Self {
            median: middle,
            least: samples.iter().copied().fold(f64::INFINITY, f64::min),
            most: samples.iter().copied().fold(0.0, f64::max),
            spread: median(samples.iter().map(|sample| (sample - middle).abs()).collect()),
            samples,
        })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => 0.0,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Takes samples of several rows at once: first those of the warm-up, then those that count. `sample` answers one
/// number a row and is told which of how many samples it takes.
///
/// # Errors
/// What a sample answers; a measurement that went wrong is none.
pub fn measure(
    rows: usize,
    effort: Effort,
    mut sample: impl FnMut(u32, u32) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<Measured>> {
    let all = effort.warm_up + effort.samples;
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); rows];
    for at in 0..all {
        let values = sample(at + 1, all)?;
        ensure!(
            values.len() == rows,
            "{} numbers were measured for {rows} rows",
            values.len()
        );
        if at >= effort.warm_up {
            for (samples, value) in taken.iter_mut().zip(values) {
                samples.push(value);
            }
        }
    }
    taken.into_iter().map(Measured::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_sample_or_the_mean_of_the_two_middle_ones() {
        let odd = Measured::of(vec![30.0, 10.0, 20.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.most), (20.0, 10.0, 30.0));
        assert_eq!(odd.samples, [30.0, 10.0, 20.0]);
        assert_eq!(Measured::of(vec![1.0, 4.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn one_odd_sample_moves_neither_median_nor_spread() {
        let calm = Measured::of(vec![10.0, 11.0, 9.0, 10.0, 10.0]).unwrap();
        let odd = Measured::of(vec![10.0, 11.0, 9.0, 10.0, 900.0]).unwrap();
        assert_eq!((calm.median, calm.spread), (10.0, 0.0));
        assert_eq!((odd.median, odd.spread, odd.most), (10.0, 1.0, 900.0));
    }

    #[test]
    fn nothing_measured_and_what_is_no_number_are_errors() {
        assert!(Measured::of(Vec::new()).is_err());
        assert!(Measured::of(vec![1.0, f64::NAN]).is_err());
        assert!(Measured::of(vec![-1.0]).is_err());
        assert_eq!(Measured::of(vec![0.0]).unwrap().median, 0.0);
    }

    #[test]
    fn warm_up_samples_do_not_count_and_rows_keep_their_own() {
        let effort = Effort {
            warm_up: 2,
            samples: 3,
        };
        let measured = measure(2, effort, |at, all| {
            assert_eq!(all, 5);
            Ok(if at <= 2 {
                vec![1.0, 2.0]
            } else {
                vec![100.0, 200.0]
            })
        })
        .unwrap();
        assert_eq!(measured[0].samples, [100.0; 3]);
        assert_eq!(measured[1].samples, [200.0; 3]);
        assert!(measure(2, effort, |_, _| Ok(vec![1.0])).is_err());
    }
}
