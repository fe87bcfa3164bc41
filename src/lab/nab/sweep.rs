//! The Numenta Anomaly Benchmark's score of one series (pure), as its `nab/sweeper.py` has it
//! (A. Lavin, S. Ahmad: "Evaluating Real-time Anomaly Detection Algorithms", 2015; <https://github.com/numenta/NAB>).

/// Weight of a false detection in the standard profile (`config/profiles.json`); of a found and of a missed window it is 1.
const FALSE_WEIGHT: f64 = 0.11;
/// The part of a series that is only learned from, and the most rows of it.
const PROBATION: f64 = 0.15;
/// Of so many rows at most.
const PROBATION_ROWS: f64 = 5_000.0;

/// What a series came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The sum of weighted scores: 1 for each window found at its very beginning, −1 for each that was missed.
    pub points: f64,
    /// Windows.
    pub windows: u32,
    /// Of them, found.
    pub found: u32,
    /// Detections outside of windows.
    pub wrong: u32,
}

/// From just under 1 at −1 to 0 at 0, and down to −1 beyond.
fn scaled_sigmoid(position: f64) -> f64 {
    if 3.0 < position { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// Scores detections, by the numbers of their rows, in a series with these windows (first and last row, in order).
pub fn score(n_rows: usize, windows: &[(usize, usize)], detections: &[usize]) -> Score {
    let probation = (PROBATION * n_rows as f64).floor().min(PROBATION * PROBATION_ROWS);
    let is_scored = |row: usize| probation <= row as f64;
    let best_possible = scaled_sigmoid(-1.0);
    let mut sum = Score::default();
    let mut best: Vec<Option<f64>> = vec![None; windows.len()];
    let mut rows: Vec<usize> = detections.iter().copied().filter(|row| is_scored(*row) && *row < n_rows).collect();
    rows.sort_unstable();
    rows.dedup();
    for row in rows {
        if let Some(n) = windows.iter().position(|(first, last)| (*first..=*last).contains(&row)) {
            let (first, last) = windows[n];
            let width = (last - first + 1) as f64;
            let points = scaled_sigmoid(-((last - row + 1) as f64) / width) / best_possible;
            best[n] = Some(best[n].map_or(points, |best| best.max(points)));
            continue;
        }
        sum.wrong += 1;
        let before = windows.iter().rev().find(|(_, last)| *last < row);
        let points =
            before.map_or(-1.0, |(first, last)| scaled_sigmoid((row - last) as f64 / ((last - first) as f64).max(1.0)));
        sum.points += FALSE_WEIGHT * points;
    }
    for (n, (_, last)) in windows.iter().enumerate() {
        // A window that lies in the probation as a whole counts for nobody.
        if !is_scored(*last) {
            continue;
        }
        sum.windows += 1;
        sum.found += u32::from(best[n].is_some());
        sum.points += best[n].unwrap_or(-1.0);
    }
    sum
}

impl Score {
    /// Takes another's numbers.
    pub fn add(&mut self, other: Score) {
        self.points += other.points;
        self.windows += other.windows;
        self.found += other.found;
        self.wrong += other.wrong;
    }

    /// 0 = a detector that never speaks, 100 = one that is right at the first row of each window and never else.
    pub fn normalised(&self) -> f64 {
        let windows = f64::from(self.windows);
        if self.windows == 0 { 0.0 } else { 100.0 * (self.points + windows) / (2.0 * windows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_is_the_published_one() {
        // The values that `scaledSigmoid`'s own comment names.
        for (position, value) in [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (1.0, -0.98661), (3.01, -1.0)] {
            assert!((scaled_sigmoid(position) - value).abs() < 1e-5, "{position}: {}", scaled_sigmoid(position));
        }
    }

    #[test]
    fn detections_are_worth_what_the_benchmark_says() {
        // 100 rows, of which 15 are probation; one window of ten rows.
        let windows = [(50, 59)];
        for (detections, points, normalised) in [
            (&[][..], -1.0, 0.0),
            (&[50], 1.0, 100.0),
            // Before any window a false one costs the whole weight.
            (&[20], -1.11, -5.5),
            // In the probation nothing counts.
            (&[3, 14], -1.0, 0.0),
            // The best of a window counts, once.
            (&[50, 55, 59, 50], 1.0, 100.0),
            // Half way in: -(59 - 55 + 1) / 10.
            (&[55], 0.848_284 / 0.986_614, 92.99),
            // Right behind the window it costs next to nothing, far behind it all.
            (&[50, 60], 1.0 - 0.11 * 0.270_97, 98.51),
            (&[50, 99], 1.0 - 0.11, 94.5),
        ] {
            let score = score(100, &windows, detections);
            assert!((score.points - points).abs() < 1e-4, "{detections:?}: {}", score.points);
            assert!((score.normalised() - normalised).abs() < 0.01, "{detections:?}: {}", score.normalised());
        }
    }

    #[test]
    fn a_window_within_the_probation_counts_for_nobody() {
        assert_eq!(score(100, &[(2, 10)], &[2]), Score::default());
        // One that ends after it counts, from its scored rows on.
        assert_eq!(score(100, &[(10, 20)], &[10]).found, 0);
        assert_eq!(score(100, &[(10, 20)], &[16]).found, 1);
    }
}
