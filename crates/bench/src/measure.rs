//! Samples, their median and their spread.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

/// One sample: so much work in so much time.
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
    #[allow(
        clippy::cast_precision_loss,
        reason = "work is far below 2^52, and this is a measurement"
    )]
    pub fn rate(self) -> f64 {
        self.work as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// How often a row is measured.
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
    /// Units of work a second, the middle sample (the mean of the two middle ones).
    pub median: f64,
    /// The slowest sample.
    pub least: f64,
    /// The fastest sample.
    pub most: f64,
    /// (most − least) / median: how far the samples lie apart.
    pub spread: f64,
    /// Every sample in the order it was taken.
    pub samples: Vec<f64>,
}

impl Measured {
    /// Sums rates up.
    ///
    /// # Errors
    /// No rate at all, or one that is no number.
    pub fn of(samples: Vec<f64>) -> anyhow::Result<Self> {
        ensure!(!samples.is_empty(), "nothing was measured");
        ensure!(
            samples.iter().all(|rate| rate.is_finite() && *rate > 0.0),
            "a sample did no work or took no time"
        );
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        Ok(Self {
            median,
            least,
            most,
            spread: (most - least) / median,
            samples,
        })
    }
}

/// Takes samples: first those of the warm-up, then those that count.
///
/// # Errors
/// What a sample answers; a measurement that went wrong is none.
pub fn measure(
    effort: Effort,
    mut sample: impl FnMut() -> anyhow::Result<Sample>,
) -> anyhow::Result<Measured> {
    for _ in 0..effort.warm_up {
        sample()?;
    }
    let mut rates = Vec::new();
    for _ in 0..effort.samples {
        rates.push(sample()?.rate());
    }
    Measured::of(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_sample_or_the_mean_of_the_two_middle_ones() {
        let odd = Measured::of(vec![30.0, 10.0, 20.0]).unwrap();
        assert_eq!(
            (odd.median, odd.least, odd.most, odd.spread),
            (20.0, 10.0, 30.0, 1.0)
        );
        assert_eq!(odd.samples, [30.0, 10.0, 20.0]);
        assert_eq!(Measured::of(vec![1.0, 4.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn nothing_measured_and_nothing_done_are_errors() {
        assert!(Measured::of(Vec::new()).is_err());
        assert!(Measured::of(vec![1.0, 0.0]).is_err());
    }

    #[test]
    fn warm_up_samples_do_not_count() {
        let mut taken = 0;
        let effort = Effort {
            warm_up: 2,
            samples: 3,
        };
        let measured = measure(effort, || {
            taken += 1;
            Ok(Sample {
                work: if taken <= 2 { 1 } else { 100 },
                took: Duration::from_secs(1),
            })
        });
        assert_eq!(measured.unwrap().samples, [100.0; 3]);
        assert_eq!(taken, 5);
    }
}
