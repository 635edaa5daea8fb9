//! Plans a replay: time slices and checkpoint.

use anyhow::{Context as _, bail};
use console::time_arguments::TimeArgument;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

const SHORTEST_SLICE_MS: i64 = 60_000;
const LONGEST_SLICE_MS: i64 = 3_600_000;
const SLICES: i64 = 100;

/// Divides a time range into slices. The checkpoint is saved after each of them.
pub(crate) fn slices(from_ms: i64, to_ms: i64) -> impl Iterator<Item = Range<i64>> {
    let length = ((to_ms - from_ms) / SLICES).clamp(SHORTEST_SLICE_MS, LONGEST_SLICE_MS);
    let mut next = from_ms;
    std::iter::from_fn(move || {
        let start = next;
        next = start.saturating_add(length).min(to_ms);
        (start < to_ms).then_some(start..next)
    })
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) version: u32,
    pub(crate) log_group: String,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// Everything before this time was delivered.
    pub(crate) done_before_ms: i64,
}

impl Checkpoint {
    pub(crate) fn new(log_group: &str, from_ms: i64, to_ms: i64) -> anyhow::Result<Self> {
        if from_ms >= to_ms {
            bail!("--from is not before --to: name an earlier --from, as in --from 2h --to 1h");
        }
        let log_group = log_group.to_owned();
        Ok(Self { version: 1, log_group, from_ms, to_ms, done_before_ms: from_ms })
    }

    /// Continues from a file. Its range applies, because `2h` has moved since. Absolute times in `stated` must match that range.
    pub(crate) fn resume(self, path: &Path, stated: [TimeArgument; 2]) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(self),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let found: Self = serde_json::from_str(&text).with_context(|| {
            format!("{} is not a checkpoint of a replay: name another file", path.display())
        })?;
        if found.done_before_ms == found.from_ms {
            // Nothing was done.
            return Ok(self);
        }
        let is_same = found.version == self.version
            && found.log_group == self.log_group
            && stated.into_iter().zip([found.from_ms, found.to_ms]).all(
                |(time, millis)| !matches!(time, TimeArgument::At(stated) if stated != millis),
            );
        if !is_same {
            bail!(
                "{} belongs to another replay ({} from {} to {}): remove it, or name another file",
                path.display(),
                found.log_group,
                time_text(found.from_ms),
                time_text(found.to_ms),
            );
        }
        Ok(found)
    }

    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        let save = || -> anyhow::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(serde_json::to_string(self)?.as_bytes())?;
            file.persist(path)?;
            Ok(())
        };
        save().with_context(|| format!("cannot write the checkpoint {}", path.display()))
    }
}

pub(crate) fn time_text(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or_default();
    wire::timestamp::rfc3339_millis(millis.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_without_gaps() {
        let check = |from: i64, to: i64, count: usize| {
            let slices: Vec<_> = slices(from, to).collect();
            assert_eq!(slices.len(), count, "{from}..{to}");
            assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(slices.first().map(|slice| slice.start), (from < to).then_some(from));
            assert_eq!(slices.last().map(|slice| slice.end), (from < to).then_some(to));
        };
        check(0, 0, 0);
        check(5, 6, 1);
        check(0, 60_000, 1);
        check(0, 60_001, 2);
        check(0, 7_200_000, 100);
        check(0, 14 * 24 * 3_600_000, 336);
    }

    #[test]
    fn a_replay_resumes_from_its_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint.json");
        let fresh = || Checkpoint::new("/g", 100, 200).unwrap();
        let ages = [TimeArgument::NOW; 2];
        assert_eq!(fresh().resume(&path, ages).unwrap(), fresh());
        let before = Checkpoint { done_before_ms: 150, ..fresh() };
        before.save(&path).unwrap();
        let later = Checkpoint::new("/g", 130, 230).unwrap();
        assert_eq!(later.clone().resume(&path, ages).unwrap(), before);
        let [from, to] = [100, 200].map(TimeArgument::At);
        assert_eq!(later.clone().resume(&path, [from, to]).unwrap(), before);
        assert!(later.resume(&path, [from, TimeArgument::At(201)]).is_err());
        let other = Checkpoint { log_group: "/other".to_owned(), ..fresh() };
        let error = other.resume(&path, ages).unwrap_err().to_string();
        assert!(error.contains("another replay (/g from 1970-01-01T00:00:00.100Z to "), "{error}");
        std::fs::write(&path, "{}").unwrap();
        assert!(fresh().resume(&path, ages).is_err());
        assert!(Checkpoint::new("/g", 200, 200).is_err());
    }
}
