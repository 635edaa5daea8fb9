//! Builds the programs that are compared, runs them in turns, and sums their figures up.

use local_lambda::binaries;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program of this name that cargo builds with these arguments.
pub fn build(arguments: &[&str], name: &str) -> anyhow::Result<PathBuf> {
    let built = binaries::build_with(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)?;
    Ok(binaries::find(&built, name)?)
}

/// All places, in alternating order: the machine is in another state for the second of two runs.
pub fn order<const N: usize>(round: u64) -> [usize; N] {
    let mut places = std::array::from_fn(|place| place);
    if !round.is_multiple_of(2) {
        places.reverse();
    }
    places
}

/// Runs each side so often, in alternating order.
pub async fn in_turns<S, T, const N: usize>(
    rounds: u64,
    sides: &[S; N],
    mut run: impl AsyncFnMut(&S) -> anyhow::Result<T>,
) -> anyhow::Result<[Vec<T>; N]> {
    let mut results = [const { Vec::new() }; N];
    for round in 0..rounds {
        for place in order::<N>(round) {
            if let (Some(side), Some(results)) = (sides.get(place), results.get_mut(place)) {
                results.push(run(side).await?);
            }
        }
    }
    Ok(results)
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub fn min(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(f64::INFINITY, f64::min)
}

pub fn max(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(0.0, f64::max)
}

/// The middle one; of an even number the lower of both.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// `minimum / median`.
pub fn cell(numbers: &[f64], digits: usize) -> String {
    format!("{:.digits$} / {:.digits$}", min(numbers.iter().copied()), median(numbers))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// The load of the machine over the last minute, as the kernel says it.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
