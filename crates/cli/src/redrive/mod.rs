//! `lambda-otlp redrive`: returns dead letters and Lambda's on-failure records to the retry queue.
//!
//! A letter is removed after the retry queue has accepted all of its messages. When the command ends, also by Ctrl-C,
//! the remaining letters become visible again.

mod letter;
mod roles;
mod store;

use crate::aws::{self, AwsArguments, QueueUrl};
use crate::terminal::{self, Progress};
use ::aws::SqsQueue;
use anyhow::Context as _;
use aws_config::SdkConfig;
use console::quantity::plural;
use console::time_arguments;
use forwarder::{IngestWindow, Message, OLD_RECORDS, Queue as _, QueueError};
use letter::Filters;
use roles::Roles;
use settings::{Env, Reader, Table};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Bucket, DeadLetterQueue, Found, Store};
use tokio::time::Instant;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).multiple(true).args(["from", "bucket", "stack"])))]
#[command(after_help = "\
Examples:
  lambda-otlp redrive --stack lambda-otlp
  lambda-otlp redrive --from https://sqs.eu-west-1.amazonaws.com/123456789012/dead --to https://sqs.eu-west-1.amazonaws.com/123456789012/retry
  lambda-otlp redrive --bucket on-failure --to https://sqs.eu-west-1.amazonaws.com/123456789012/retry --limit 10 --yes")]
pub(crate) struct Arguments {
    /// Send from the dead-letter queue of this stack, or from --bucket, to its retry queue.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    stack: Option<String>,
    /// The dead-letter queue.
    #[arg(long, value_name = "QUEUE_URL", value_parser = QueueUrl::parse)]
    from: Option<QueueUrl>,
    /// The on-failure bucket, instead of the dead-letter queue.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    bucket: Option<String>,
    /// The retry queue.
    #[arg(long, value_name = "QUEUE_URL", value_parser = QueueUrl::parse, required_unless_present = "stack")]
    to: Option<QueueUrl>,
    /// Send the messages, and remove them from their source. Without --yes, the command only prints its plan.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    filters: Filters,
    /// Read at most this many messages or objects.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print the counts as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let aws = aws::load(&arguments.aws).await;
        let Roles { from, to } = Roles::of(arguments, &aws).await?;
        let progress = Progress::new(arguments.json);
        let redrive = Redrive::new(arguments, &to, &aws, progress)?;
        let stop = Arc::clone(&redrive.stop);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        let summary = match (from, &arguments.bucket) {
            (_, Some(bucket)) => {
                redrive.all(&mut Bucket::new(aws::s3(&aws), bucket.clone())).await?
            }
            (Some(from), None) => {
                let client = aws::sqs(&aws, &from);
                redrive.all(&mut DeadLetterQueue::new(client, from.url)).await?
            }
            (None, None) => Summary::default(),
        };
        report(arguments, &summary, redrive.window)?;
        Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn report(arguments: &Arguments, summary: &Summary, window: IngestWindow) -> io::Result<()> {
    let dry_run = !arguments.yes;
    let mut out = io::stdout().lock();
    terminal::ignored(if arguments.json {
        writeln!(out, "{}", summary.to_json(dry_run))
    } else {
        summary.write(dry_run, &mut out)
    })?;
    if summary.too_old > 0 {
        eprintln!(
            "warning: {} with logs or traces older than {} (LAMBDA_OTLP_INGEST_WINDOW): OpenObserve discards them, so the \
             redrive function puts them back among the dead letters unless its LAMBDA_OTLP_OLD_RECORDS is restamp",
            plural(summary.too_old, "message"),
            time_arguments::duration_text(window.past),
        );
    }
    if summary.partial > 0 {
        eprintln!(
            "warning: {} partly accepted by the backend before: that part is stored twice",
            plural(summary.partial, "message")
        );
    }
    if let Some(reason) = &summary.stopped {
        eprintln!("stopped: {reason}");
    }
    if dry_run {
        eprintln!("nothing was changed; use --yes to send");
    }
    Ok(())
}

/// The time limit of a request to the retry queue, including retries.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Credentials are refreshed after this time, because sessions expire.
const CREDENTIALS_AGE: Duration = Duration::from_mins(5);

struct Redrive<'a> {
    filters: &'a Filters,
    to: &'a QueueUrl,
    aws: &'a SdkConfig,
    window: IngestWindow,
    limit: usize,
    dry_run: bool,
    now_unix_nano: u64,
    stop: Arc<AtomicBool>,
    progress: Progress,
}

impl<'a> Redrive<'a> {
    fn new(
        arguments: &'a Arguments,
        to: &'a QueueUrl,
        aws: &'a SdkConfig,
        progress: Progress,
    ) -> anyhow::Result<Self> {
        let mut reader = Reader::new(&Env, Table::new(&[OLD_RECORDS]));
        let past = reader.duration("LAMBDA_OTLP_INGEST_WINDOW");
        settings::InvalidSettings::check(reader.finish())?;
        Ok(Self {
            filters: &arguments.filters,
            to,
            aws,
            window: IngestWindow { past },
            limit: arguments.limit.unwrap_or(usize::MAX),
            dry_run: !arguments.yes,
            now_unix_nano: time_arguments::now_unix_nano(),
            stop: Arc::default(),
            progress,
        })
    }

    async fn all<S: Store>(&self, store: &mut S) -> anyhow::Result<Summary> {
        let mut summary = Summary::default();
        let gone_through = self.go_through(store, &mut summary).await;
        self.progress.end();
        let released = store.release().await;
        // The summary is printed even after an error.
        match gone_through.and(released) {
            Err(error) if summary == Summary::default() => Err(error),
            Err(error) => {
                summary.stopped = Some(format!("{error:#}"));
                Ok(summary)
            }
            Ok(()) => Ok(summary),
        }
    }

    async fn go_through<S: Store>(
        &self,
        store: &mut S,
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let mut outgoing = Outgoing::default();
        let mut seen = 0;
        while seen < self.limit {
            if self.stop.load(Ordering::Relaxed) {
                summary.stopped = Some("interrupted".to_owned());
                break;
            }
            let mut found = store.next().await?;
            if found.is_empty() {
                break;
            }
            found.truncate(self.limit - seen);
            seen += found.len();
            self.progress.show(format_args!("{} read", plural(seen, "message")));
            let sending: Vec<Sending> =
                found.into_iter().filter_map(|found| self.decide(found, summary)).collect();
            if sending.is_empty() || self.dry_run {
                for letter in &sending {
                    summary.note(LetterFate::Redriven, &letter.reason, letter.items);
                }
                continue;
            }
            let results = outgoing.send(self, &sending).await?;
            let took_any = results.iter().any(Result::is_ok);
            let last = results.iter().find_map(|result| result.as_ref().err().cloned());
            settle(store, sending, results, summary).await;
            if let (false, Some(error)) = (took_any, last) {
                summary.stopped = Some(format!("the retry queue accepts no messages: {error}"));
                break;
            }
        }
        Ok(())
    }

    /// Returns the letter if it is to be sent, and otherwise counts its fate.
    fn decide(&self, found: Found, summary: &mut Summary) -> Option<Sending> {
        let unreadable = |error: letter::Unreadable| (LetterFate::Unreadable, error.to_string(), 1);
        let decided = found.letter.map_err(unreadable).and_then(|letter| {
            let (reason, items) = (letter.reason.clone(), letter.items());
            if let Some(skip) = self.filters.skip(&letter) {
                return Err((LetterFate::Skipped, skip.words().to_owned(), items));
            }
            let oldest = letter.oldest_in_window();
            let is_old = oldest.is_some_and(|time| self.window.misses(time, self.now_unix_nano));
            let is_partial = letter.is_partial();
            let messages = letter.into_messages(self.now_unix_nano).map_err(unreadable)?;
            summary.too_old += usize::from(is_old);
            summary.partial += usize::from(is_partial);
            Ok(Sending { name: found.name, reason, items, messages })
        });
        match decided {
            Ok(sending) => Some(sending),
            Err((fate, reason, items)) => {
                summary.note(fate, &reason, items);
                None
            }
        }
    }
}

struct Sending {
    name: String,
    reason: String,
    items: usize,
    messages: Vec<Message>,
}

/// The retry queue, and since when its credentials are used.
#[derive(Default)]
struct Outgoing {
    queue: Option<(SqsQueue, Instant)>,
}

impl Outgoing {
    /// Sends all messages. A letter succeeds if all of its messages were accepted.
    async fn send(
        &mut self,
        redrive: &Redrive<'_>,
        letters: &[Sending],
    ) -> anyhow::Result<Vec<Result<(), QueueError>>> {
        let messages: Vec<Message> =
            letters.iter().flat_map(|letter| letter.messages.iter().cloned()).collect();
        let now = Instant::now();
        let is_fresh = |made: &Instant| now.duration_since(*made) < CREDENTIALS_AGE;
        if !self.queue.as_ref().is_some_and(|(_, made)| is_fresh(made)) {
            self.queue = Some((aws::sending_queue(redrive.aws, redrive.to).await?, now));
        }
        let (queue, _) = self.queue.as_ref().context("cannot connect to the retry queue")?;
        let results = queue.send(messages, Duration::ZERO, now + SEND_TIMEOUT).await;
        let mut results = results.into_iter();
        let result_of = |letter: &Sending| {
            let of_messages: Vec<_> = results.by_ref().take(letter.messages.len()).collect();
            // A message without an answer was not accepted.
            let is_told = of_messages.len() == letter.messages.len();
            let taken: Result<(), QueueError> = of_messages.into_iter().collect();
            taken.and(if is_told { Ok(()) } else { Err(untold(queue.name())) })
        };
        Ok(letters.iter().map(result_of).collect())
    }
}

fn untold(queue: &str) -> QueueError {
    let text = "its answer does not list the message".to_owned();
    QueueError::NoResponse { queue: queue.to_owned(), text, ambiguous: true }
}

/// Removes accepted letters, and counts the fate of each.
async fn settle<S: Store>(
    store: &mut S,
    letters: Vec<Sending>,
    results: Vec<Result<(), QueueError>>,
    summary: &mut Summary,
) {
    let mut taken = Vec::new();
    for (letter, result) in letters.into_iter().zip(results) {
        match result {
            Ok(()) => taken.push(letter),
            Err(error) => {
                let hint = if error.is_ambiguous() { "; the retry queue may have it" } else { "" };
                summary.note(LetterFate::Failed, &format!("{error}{hint}"), letter.items);
            }
        }
    }
    let names: Vec<String> = taken.iter().map(|letter| letter.name.clone()).collect();
    let removed = store.remove(&names).await;
    for (letter, removed) in taken.into_iter().zip(removed) {
        match removed {
            Ok(()) => summary.note(LetterFate::Redriven, &letter.reason, letter.items),
            Err(error) => summary.note(LetterFate::Twice, &format!("{error:#}"), letter.items),
        }
    }
}

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
mod tests;
