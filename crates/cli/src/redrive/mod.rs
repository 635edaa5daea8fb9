//! `lambda-otlp redrive`: returns dead letters and Lambda's on-failure records to the retry queue.
//!
//! A letter is removed after the retry queue has accepted all of its messages. When the command ends, also by Ctrl-C,
//! the remaining letters become visible again.

mod dead_letter;
mod store;

use crate::aws::{Aws, AwsArguments, Queue, explain, forwarder_of};
use crate::progress::{ProgressLine, Tally};
use crate::terminal;
use ::aws::{ApiError, Refusal};
use anyhow::{Context as _, bail, ensure};
use console::quantity::plural;
use console::time_arguments;
use dead_letter::LetterFilters;
use forwarder::Message;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{DeadLetterQueue, DeadLetterStore, OnFailureBucket, StoredDeadLetter};

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).multiple(true).args(["from", "bucket", "stack"])))]
#[command(after_help = "\
Examples:
  lambda-otlp redrive --stack lambda-otlp
  lambda-otlp redrive --from https://sqs.eu-west-1.amazonaws.com/123456789012/dead --to https://sqs.eu-west-1.amazonaws.com/123456789012/retry
  lambda-otlp redrive --bucket on-failure --to https://sqs.eu-west-1.amazonaws.com/123456789012/retry --limit 10 --yes")]
pub(crate) struct RedriveArguments {
    /// Send from the dead-letter queue of this stack, or from --bucket, to its retry queue.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    stack: Option<String>,
    /// The dead-letter queue.
    #[arg(long, value_name = "QUEUE_URL")]
    from: Option<String>,
    /// The on-failure bucket, instead of the dead-letter queue.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    bucket: Option<String>,
    /// The retry queue.
    #[arg(long, value_name = "QUEUE_URL", required_unless_present = "stack")]
    to: Option<String>,
    /// Send the messages, and remove them from their source. Without --yes, the command only prints its plan.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    filters: LetterFilters,
    /// Read at most this many messages or objects.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print the counts as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

pub(crate) fn run(arguments: &RedriveArguments) -> anyhow::Result<ExitCode> {
    terminal::block_on(async {
        let aws = Aws::load(&arguments.aws.or_region_of(arguments.to.as_deref())).await?;
        let RedriveQueues { dead_letters, retry } = queues(arguments, &aws).await?;
        let progress = ProgressLine::start("messages");
        let redrive = Redrive::new(arguments, aws.queue(&retry)?, progress.counts());
        let stop = Arc::clone(&redrive.stop);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        let summary = if let Some(bucket) = &arguments.bucket {
            redrive.run(&mut OnFailureBucket::new(aws.bucket(bucket)?)).await?
        } else {
            let mut queue = DeadLetterQueue::new(aws.queue(&dead_letters)?);
            if progress.is_drawn()
                && let Some(total) = queue.count().await
            {
                progress.counts().set_total(total.min(redrive.limit));
            }
            redrive.run(&mut queue).await?
        };
        drop(progress);
        report(arguments, &summary)?;
        if summary.letters(LetterFate::Unreadable) > 0 {
            let aws_flags = arguments.aws.or_region_of(arguments.to.as_deref()).flags();
            let bucket = arguments.bucket.as_deref();
            eprintln!("{}", unreadable_remedy(bucket, &dead_letters, &aws_flags));
        }
        Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The URLs of the queues.
#[derive(Debug)]
struct RedriveQueues {
    /// Empty if letters come from a bucket.
    dead_letters: String,
    retry: String,
}

/// Returns the queues of the arguments, or of the stack's forwarder. Fails if they are swapped.
async fn queues(arguments: &RedriveArguments, aws: &Aws) -> anyhow::Result<RedriveQueues> {
    let queues = match &arguments.stack {
        Some(stack) => {
            let function = forwarder_of(aws, stack).await?;
            let name = &function.function_name;
            let queue = |variable: &str| {
                let url = function.environment.variables.get(variable).cloned();
                url.with_context(|| format!("{name} has no variable {variable}"))
            };
            let dead_letters = queue("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL")?;
            let retry = queue("LAMBDA_OTLP_RETRY_QUEUE_URL")?;
            RedriveQueues { dead_letters, retry }
        }
        None => RedriveQueues {
            dead_letters: arguments.from.clone().unwrap_or_default(),
            retry: arguments.to.clone().unwrap_or_default(),
        },
    };
    let retry = &queues.retry;
    ensure!(
        queues.dead_letters.trim_end_matches('/') != retry.trim_end_matches('/'),
        "--from and --to are the same queue: name the dead-letter queue and the retry queue"
    );
    // No function reads the dead-letter queue of another queue. The credentials may have only the permissions of the redrive itself.
    let sources = aws.queue(retry)?.sources().await;
    match sources.as_ref().map(|urls| urls.first()) {
        Ok(None) => {}
        Ok(Some(source)) => bail!(
            "{retry} is the dead-letter queue of {source}, not a retry queue: use --to {source}"
        ),
        Err(error) => eprintln!(
            "warning: cannot check the role of {retry}, which needs sqs:ListDeadLetterSourceQueues: {}",
            explain(error)
        ),
    }
    Ok(queues)
}

/// Returns the remedy for letters that this version cannot read.
fn unreadable_remedy(bucket: Option<&str>, dead_letters: &str, aws_flags: &str) -> String {
    let look = match bucket {
        Some(bucket) => format!(
            "`aws s3 ls --recursive s3://{bucket}{aws_flags}` lists them, and `aws s3 cp s3://{bucket}/KEY -{aws_flags}` prints one"
        ),
        None => format!(
            "`aws sqs receive-message --queue-url {dead_letters} --max-number-of-messages 10 --visibility-timeout 0{aws_flags}` prints some"
        ),
    };
    format!(
        "unreadable messages are from a newer forwarder or from another program: update lambda-otlp and try again, or delete them; {look}"
    )
}

fn report(arguments: &RedriveArguments, summary: &RedriveSummary) -> io::Result<()> {
    let dry_run = !arguments.yes;
    let mut out = io::stdout().lock();
    terminal::ignore_broken_pipe(if arguments.json {
        writeln!(out, "{}", console::screen::json(&summary.to_json(dry_run)))
    } else {
        summary.write(dry_run, &mut out)
    })?;
    if let Some(reason) = &summary.stopped {
        eprintln!("stopped: {reason}");
    }
    if dry_run && !summary.counts.is_empty() {
        eprintln!("nothing was changed; use --yes to send");
    }
    Ok(())
}

/// The reason why the retry queue did not confirm a message.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Refused(anyhow::Error),
    /// SQS did not say whether it has the message.
    #[error("{0}; the retry queue may have it")]
    Unknown(anyhow::Error),
}

/// A run over letters.
struct Redrive<'a> {
    filters: &'a LetterFilters,
    retry_queue: Queue,
    limit: usize,
    dry_run: bool,
    now_unix_nano: u64,
    stop: Arc<AtomicBool>,
    progress: Tally,
}

/// After this many rounds in which the retry queue accepted nothing, the rest stays in place.
const MAX_FAILED_ROUNDS: usize = 3;
/// Received messages are hidden for minutes. One that is sent after that could be received and sent twice.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

impl<'a> Redrive<'a> {
    fn new(arguments: &'a RedriveArguments, retry_queue: Queue, progress: &Tally) -> Self {
        Self {
            filters: &arguments.filters,
            retry_queue,
            limit: arguments.limit.unwrap_or(usize::MAX),
            dry_run: !arguments.yes,
            now_unix_nano: time_arguments::now_unix_nano(),
            stop: Arc::default(),
            progress: progress.clone(),
        }
    }

    /// Redrives the letters of a store, then releases the others.
    async fn run<S: DeadLetterStore>(&self, store: &mut S) -> anyhow::Result<RedriveSummary> {
        let mut summary = RedriveSummary::default();
        let redriven = self.redrive_all(store, &mut summary).await;
        let released = store.release().await;
        // The summary is printed even after an error.
        match redriven.and(released) {
            Err(error) if summary == RedriveSummary::default() => Err(error),
            Err(error) => {
                summary.stopped = Some(format!("{error:#}"));
                Ok(summary)
            }
            Ok(()) => Ok(summary),
        }
    }

    async fn redrive_all<S: DeadLetterStore>(
        &self,
        store: &mut S,
        summary: &mut RedriveSummary,
    ) -> anyhow::Result<()> {
        let mut seen = 0;
        let mut failed_rounds = 0;
        while seen < self.limit {
            if self.stop.load(Ordering::Relaxed) {
                summary.stopped = Some("interrupted".to_owned());
                break;
            }
            let mut stored = store.next().await?;
            if stored.is_empty() {
                break;
            }
            stored.truncate(self.limit - seen);
            seen += stored.len();
            let from = &*store;
            let redrives = stored.into_iter().map(|letter| self.redrive(from, letter));
            let results: Vec<DeadLetterResult> = join_all(redrives).await;
            let failure = results.iter().find(|result| result.fate == LetterFate::Failed);
            if results.iter().any(DeadLetterResult::is_sent) {
                failed_rounds = 0;
            } else if let Some(failure) = failure {
                failed_rounds += 1;
                // Each further round might store messages twice.
                let may_be_twice = results.iter().any(|result| result.may_be_sent);
                if failed_rounds == MAX_FAILED_ROUNDS || may_be_twice {
                    let why = format!("the retry queue accepts no messages: {}", failure.reason);
                    summary.stopped = Some(why);
                }
            }
            for result in results {
                summary.add(result);
            }
            self.progress.set_done(seen);
            if summary.stopped.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a letter, removes it after the retry queue has accepted it, and returns its fate.
    async fn redrive<S: DeadLetterStore>(
        &self,
        store: &S,
        stored: StoredDeadLetter,
    ) -> DeadLetterResult {
        let letter = match stored.letter {
            Ok(letter) => letter,
            Err(error) => return DeadLetterResult::unreadable(&error),
        };
        let reason = letter.reason.clone();
        let items = letter.items;
        if let Some(why) = self.filters.reason_to_skip(&letter) {
            return DeadLetterResult::new(LetterFate::Skipped, why, items);
        }
        let messages = match letter.into_messages(self.now_unix_nano) {
            Ok(messages) => messages,
            Err(error) => return DeadLetterResult::unreadable(&error),
        };
        if self.dry_run {
            return DeadLetterResult::new(LetterFate::Redriven, reason, items);
        }
        if let Err(error) = self.send(&messages).await {
            let may_be_sent = matches!(error, SendError::Unknown(_));
            let result = DeadLetterResult::new(LetterFate::Failed, error.to_string(), items);
            return DeadLetterResult { may_be_sent, ..result };
        }
        match store.remove(&stored.name).await {
            Ok(()) => DeadLetterResult::new(LetterFate::Redriven, reason, items),
            Err(error) => DeadLetterResult::new(LetterFate::Twice, format!("{error:#}"), items),
        }
    }

    async fn send(&self, messages: &[Message]) -> Result<(), SendError> {
        for message in messages {
            let sent = self.retry_queue.put_once(&message.body, SEND_TIMEOUT).await;
            sent.map_err(|error| match &error {
                ApiError::Refused(Refusal { status: 400..=499, .. })
                | ApiError::NotOfAws(400..=499)
                | ApiError::NoCredentials(_) => SendError::Refused(explain(&error)),
                _ => SendError::Unknown(explain(&error)),
            })?;
        }
        Ok(())
    }
}

/// The result for a letter.
pub(crate) struct DeadLetterResult {
    pub(crate) fate: LetterFate,
    pub(crate) reason: String,
    pub(crate) items: usize,
    /// `true` if the letter failed, and the retry queue may have its messages nevertheless.
    may_be_sent: bool,
}

impl DeadLetterResult {
    fn new(fate: LetterFate, reason: impl Into<String>, items: usize) -> Self {
        Self { fate, reason: reason.into(), items, may_be_sent: false }
    }

    fn unreadable(error: &anyhow::Error) -> Self {
        Self::new(LetterFate::Unreadable, format!("{error:#}"), 1)
    }

    fn is_sent(&self) -> bool {
        matches!(self.fate, LetterFate::Redriven | LetterFate::Twice)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LetterFate {
    /// Sent and removed; in a dry run, to be sent.
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
    const ALL: [Self; 5] =
        [Self::Redriven, Self::Twice, Self::Skipped, Self::Unreadable, Self::Failed];

    /// The key in JSON.
    fn key(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Twice => "twice",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Redriven => "sent again",
            Self::Twice => "sent again, but not removed",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable, kept in place",
            Self::Failed => "not sent, kept in place",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FateReason {
    fate: LetterFate,
    reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    letters: usize,
    items: usize,
}

const MAX_REASONS: usize = 100;

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RedriveSummary {
    counts: BTreeMap<FateReason, Count>,
    /// The reason why the run ended early.
    pub(crate) stopped: Option<String>,
}

impl RedriveSummary {
    pub(crate) fn add(&mut self, result: DeadLetterResult) {
        let DeadLetterResult { fate, reason, items, .. } = result;
        let mut key = FateReason { fate, reason };
        if !self.counts.contains_key(&key) && self.counts.len() >= MAX_REASONS {
            "other reasons".clone_into(&mut key.reason);
        }
        let count = self.counts.entry(key).or_default();
        count.letters += 1;
        count.items += items;
    }

    pub(crate) fn letters(&self, fate: LetterFate) -> usize {
        self.reasons(fate).map(|(_, count)| count.letters).sum()
    }

    /// Returns the reasons for a fate, with their counts.
    fn reasons(&self, fate: LetterFate) -> impl Iterator<Item = (&str, Count)> {
        let of_fate = self.counts.iter().filter(move |(key, _)| key.fate == fate);
        of_fate.map(|(key, count)| (key.reason.as_str(), *count))
    }

    /// Returns `true` if all selected letters were sent and removed.
    pub(crate) fn is_complete(&self) -> bool {
        let failed = [LetterFate::Twice, LetterFate::Unreadable, LetterFate::Failed];
        self.stopped.is_none() && failed.iter().all(|fate| self.letters(*fate) == 0)
    }

    pub(crate) fn write(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.counts.is_empty() {
            writeln!(out, "no messages to send")?;
        }
        for fate in LetterFate::ALL {
            let letter_count = self.letters(fate);
            if letter_count == 0 {
                continue;
            }
            let item_count: usize = self.reasons(fate).map(|(_, count)| count.items).sum();
            let letters = plural(letter_count, "message");
            let items = plural(item_count, "item");
            let would = dry_run && fate == LetterFate::Redriven;
            let words = if would { "would be sent again" } else { fate.words() };
            writeln!(out, "{letters} with {items} {words}")?;
            let mut reasons: Vec<_> = self.reasons(fate).collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(count.letters));
            for (reason, Count { letters, items }) in reasons {
                writeln!(out, "{letters:>9} {items:>9}  {reason}")?;
            }
        }
        Ok(())
    }

    pub(crate) fn to_json(&self, dry_run: bool) -> serde_json::Value {
        let fates = LetterFate::ALL.iter().map(|fate| {
            let reasons = self.reasons(*fate).map(|(reason, count)| {
                serde_json::json!({
                    "reason": reason, "messages": count.letters, "items": count.items,
                })
            });
            (fate.key().to_owned(), reasons.collect())
        });
        let mut json = serde_json::Value::Object(fates.collect());
        if let Some(object) = json.as_object_mut() {
            object.insert("dry_run".to_owned(), dry_run.into());
            object.insert("stopped".to_owned(), self.stopped.clone().into());
        }
        json
    }
}

#[cfg(test)]
mod tests;
