//! Counts what became of each letter, by reason.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LetterFate {
    /// The retry queue has it, and it is gone from where it was.
    Redriven,
    /// The retry queue has it, and it could not be removed: it will be delivered twice.
    Twice,
    /// It stays: a filter does not ask for it.
    Skipped,
    /// It stays: nobody can read it.
    Unreadable,
    /// It stays: the retry queue did not take it.
    Failed,
}

impl LetterFate {
    const fn key(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Twice => "twice",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    const fn words(self, dry_run: bool) -> &'static str {
        match self {
            Self::Redriven if dry_run => "would be sent again",
            Self::Redriven => "sent again",
            Self::Twice => "sent again, and still where it was",
            Self::Skipped => "skipped",
            Self::Unreadable => "not readable, left where it is",
            Self::Failed => "not sent, left where it is",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    letters: usize,
    items: usize,
}

/// Reasons that are told apart; the others are counted together.
const MOST_REASONS: usize = 100;

/// The account of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    counts: BTreeMap<(LetterFate, String), Count>,
    /// Letters that are sent again and hold records that are older than the ingest window.
    pub(crate) too_old: usize,
    /// Letters of which the backend has a part, which are sent again all the same.
    pub(crate) partial: usize,
    /// Why it ended before all were seen.
    pub(crate) stopped: Option<String>,
}

impl Summary {
    pub(crate) fn note(&mut self, fate: LetterFate, reason: &str, items: usize) {
        let key = (fate, reason.to_owned());
        let is_known = self.counts.contains_key(&key) || self.counts.len() < MOST_REASONS;
        let key = if is_known { key } else { (fate, "other reasons".to_owned()) };
        let count = self.counts.entry(key).or_default();
        count.letters += 1;
        count.items += items;
    }

    /// Letters of this fate.
    pub(crate) fn letters(&self, fate: LetterFate) -> usize {
        self.of(fate).map(|(_, count)| count.letters).sum()
    }

    fn of(&self, fate: LetterFate) -> impl Iterator<Item = (&str, Count)> {
        let same = move |((found, _), _): &(&(LetterFate, String), &Count)| *found == fate;
        self.counts.iter().filter(same).map(|((_, reason), count)| (reason.as_str(), *count))
    }

    /// Whether everything that was asked for was done.
    pub(crate) fn is_complete(&self) -> bool {
        let failed = [LetterFate::Twice, LetterFate::Unreadable, LetterFate::Failed];
        self.stopped.is_none() && failed.iter().all(|fate| self.letters(*fate) == 0)
    }

    const FATES: [LetterFate; 5] = [
        LetterFate::Redriven,
        LetterFate::Twice,
        LetterFate::Skipped,
        LetterFate::Unreadable,
        LetterFate::Failed,
    ];

    pub(crate) fn write(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.counts.is_empty() {
            writeln!(out, "there is nothing to send again")?;
        }
        for fate in Self::FATES {
            let (letters, items) = self
                .of(fate)
                .fold((0, 0), |sum, (_, count)| (sum.0 + count.letters, sum.1 + count.items));
            if letters == 0 {
                continue;
            }
            let what = format!("{} {}", fate.words(dry_run), plural(letters, "message"));
            writeln!(out, "{what} with {}", plural(items, "item"))?;
            let mut reasons: Vec<_> = self.of(fate).collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(count.letters));
            for (reason, Count { letters, items }) in reasons {
                writeln!(out, "{letters:>9} {items:>9}  {reason}")?;
            }
        }
        Ok(())
    }

    pub(crate) fn to_json(&self, dry_run: bool) -> serde_json::Value {
        let fates = Self::FATES.iter().map(|fate| {
            let reasons = self.of(*fate).map(|(reason, count)| {
                serde_json::json!({
                    "reason": reason, "messages": count.letters, "items": count.items,
                })
            });
            (fate.key().to_owned(), reasons.collect())
        });
        let mut json = serde_json::Value::Object(fates.collect());
        if let Some(object) = json.as_object_mut() {
            object.insert("dry_run".to_owned(), dry_run.into());
            object.insert("older_than_window".to_owned(), self.too_old.into());
            object.insert("stopped".to_owned(), self.stopped.clone().into());
        }
        json
    }
}

pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
