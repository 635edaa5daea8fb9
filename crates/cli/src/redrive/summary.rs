//! Counts the fates of letters by reason.

use console::quantity::plural;
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LetterFate {
    /// Sent and removed.
    Redriven,
    /// Sent, but not removed: it will be delivered twice.
    Twice,
    /// Kept: it does not match the filter.
    Skipped,
    /// Kept: it cannot be read.
    Unreadable,
    /// Kept: the retry queue did not accept it.
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
            Self::Twice => "sent again, but not removed",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable, kept in place",
            Self::Failed => "not sent, kept in place",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    letters: usize,
    items: usize,
}

const MOST_REASONS: usize = 100;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    counts: BTreeMap<(LetterFate, String), Count>,
    /// Sent letters with records older than the ingest window.
    pub(crate) too_old: usize,
    /// Sent letters of which the backend already has a part.
    pub(crate) partial: usize,
    /// The reason why the run ended early.
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

    pub(crate) fn letters(&self, fate: LetterFate) -> usize {
        self.of(fate).map(|(_, count)| count.letters).sum()
    }

    fn of(&self, fate: LetterFate) -> impl Iterator<Item = (&str, Count)> {
        let same = move |((found, _), _): &(&(LetterFate, String), &Count)| *found == fate;
        self.counts.iter().filter(same).map(|((_, reason), count)| (reason.as_str(), *count))
    }

    /// Returns `true` if all selected letters were sent and removed.
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
            writeln!(out, "no messages to send")?;
        }
        for fate in Self::FATES {
            let (letters, items) = self
                .of(fate)
                .fold((0, 0), |sum, (_, count)| (sum.0 + count.letters, sum.1 + count.items));
            if letters == 0 {
                continue;
            }
            let (letters, items) = (plural(letters, "message"), plural(items, "item"));
            writeln!(out, "{letters} with {items} {}", fate.words(dry_run))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(summary: &Summary, dry_run: bool, expected: &Expect) {
        let mut out = Vec::new();
        summary.write(dry_run, &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn the_summary_lists_each_fate_with_its_reasons() {
        let mut summary = Summary::default();
        check(&summary, true, &expect!["no messages to send\n"]);
        summary.note(LetterFate::Redriven, "answered 404", 40);
        summary.note(LetterFate::Redriven, "answered 404", 41);
        summary.note(LetterFate::Skipped, "answered 400", 1);
        check(
            &summary,
            true,
            &expect![[r"
                2 messages with 81 items would be sent again
                        2        81  answered 404
                1 message with 1 item skipped
                        1         1  answered 400
            "]],
        );
    }
}
