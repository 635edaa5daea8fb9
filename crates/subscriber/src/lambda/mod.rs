//! The deployed subscriber: each invocation is a run over all log groups, or handles a new one.

mod event;

use crate::config::Config;
use crate::decision::WantedFilter;
use crate::replay::{is_new, replay};
use crate::report::{LogGroupEntry, SweepReport};
use crate::selection::Selection;
use crate::sweep::{Sweep, Task};
use aws::{AwsClient, Caller, CloudWatchLogs, SqsQueue};
pub use event::AnswerUrls;
use event::{RequestKind, ResourceRequest, SubscriberEvent};
use futures_util::FutureExt as _;
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use settings::{InvalidSettings, Pattern};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout_at};

/// Time reserved for the answer to CloudFormation; at most a quarter of the invocation.
const RESERVE: Duration = Duration::from_secs(20);
/// Time reserved after that answer.
const LAST_RESERVE: Duration = Duration::from_millis(500);
/// The part of a run that is reserved for the first lines of new log groups: one of this number.
const REPLAY_PART: u32 = 8;

/// The reason of a failed invocation, which Lambda repeats twice, or of CloudFormation's failed request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriberError {
    #[error("invalid settings, no log group was checked: {0}")]
    Settings(InvalidSettings),
    #[error("{0}")]
    Event(#[from] event::UnanswerableRequest),
    /// The first error about log groups.
    #[error("{0}")]
    LogGroups(String),
    #[error("the subscriber panicked, please report this; its log says where")]
    Panicked,
    #[error("the time limit was reached; the next run continues")]
    Late,
    #[error("CloudFormation did not accept the answer: {0}")]
    NotAnswered(String),
}

impl From<SubscriberError> for Diagnostic {
    fn from(error: SubscriberError) -> Self {
        Self { error_type: "Subscriber.Failed".to_owned(), error_message: error.to_string() }
    }
}

/// The subscriber of one execution environment.
#[derive(Debug)]
pub struct Subscriber {
    services: Result<Services, InvalidSettings>,
    /// Answers CloudFormation, even with invalid settings.
    answers: AwsClient,
    answer_urls: AnswerUrls,
    clock: fn() -> SystemTime,
}

/// The settings, and the clients of AWS made from them.
#[derive(Debug)]
struct Services {
    config: Config,
    logs: CloudWatchLogs,
    retry_queue: Option<SqsQueue>,
}

impl Subscriber {
    /// Creates a subscriber from these settings, or from their mistakes: it answers CloudFormation in either case.
    pub fn new(
        config: Result<Config, InvalidSettings>,
        answer_urls: AnswerUrls,
        clock: fn() -> SystemTime,
    ) -> Self {
        let proxy = config.as_ref().ok().and_then(|config| config.logs.proxy.clone());
        let services = config.map(|config| Services {
            logs: CloudWatchLogs::new(config.logs.clone(), Caller::Function, clock),
            retry_queue: config.retry_queue.clone().map(|queue| SqsQueue::new(queue, clock)),
            config,
        });
        Self { services, answers: AwsClient::new(clock, proxy), answer_urls, clock }
    }

    /// Handles one invocation, which Lambda ends at `timeout`.
    pub async fn handle(
        &self,
        event: &Value,
        timeout: SystemTime,
    ) -> Result<Value, SubscriberError> {
        let time = timeout.duration_since((self.clock)()).unwrap_or_default();
        let end = Instant::now() + time.saturating_sub(LAST_RESERVE);
        let deadline = Instant::now() + time.saturating_sub(RESERVE.min(time / 4));
        // The runtime logs the error.
        let read = SubscriberEvent::read(event, self.answer_urls)?;
        let report = match read {
            SubscriberEvent::Resource(request) => {
                return self.answer_cloud_formation(&request, deadline, end).await;
            }
            SubscriberEvent::NewLogGroup(name) => {
                self.services()?.handle_new_log_group(&name, deadline).await?
            }
            SubscriberEvent::Run => self.services()?.sweep_all("schedule", deadline).await,
            SubscriberEvent::Other(what) => {
                // An invocation with invalid settings always fails.
                self.services()?;
                tracing::warn!(what, "event ignored");
                return Ok(Value::Null);
            }
        };
        let failure = report.first_error().or(report.not_replayed.first().map(String::as_str));
        match failure {
            // Lambda counts an error, and repeats the invocation.
            Some(failure) => Err(SubscriberError::LogGroups(failure.to_owned())),
            None => Ok(report.sums()),
        }
    }

    fn services(&self) -> Result<&Services, SubscriberError> {
        self.services.as_ref().map_err(|mistakes| SubscriberError::Settings(mistakes.clone()))
    }

    /// Performs CloudFormation's request, and answers in every case: CloudFormation would wait for an hour.
    async fn answer_cloud_formation(
        &self,
        request: &ResourceRequest,
        deadline: Instant,
        end: Instant,
    ) -> Result<Value, SubscriberError> {
        let done = AssertUnwindSafe(self.perform(request, deadline)).catch_unwind();
        // A run ends at its deadline; an overdue one is abandoned while there is time to answer.
        let given_up = deadline + end.saturating_duration_since(deadline) / 2;
        let outcome = match timeout_at(given_up, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(SubscriberError::Panicked),
            Err(_) => Err(SubscriberError::Late),
        };
        if let Err(problem) = &outcome {
            let request = request.kind.as_str();
            tracing::error!(request, %problem, "CloudFormation's request was not carried out");
        }
        let response = response(request, outcome);
        send(&self.answers, request, &response, end).await?;
        Ok(response)
    }

    async fn perform(
        &self,
        request: &ResourceRequest,
        deadline: Instant,
    ) -> Result<SweepReport, SubscriberError> {
        let services = self.services()?;
        let report = match request.kind {
            RequestKind::Delete => services.remove(request, deadline).await,
            kind => services.subscribe(kind, request, deadline).await,
        };
        match report.first_error().filter(|_| report.has_failed()) {
            Some(failure) => Err(SubscriberError::LogGroups(failure.to_owned())),
            None => Ok(report),
        }
    }
}

impl Services {
    fn sweep<'a>(&'a self, wanted: &'a WantedFilter, also_included: &'a [Pattern]) -> Sweep<'a> {
        let selection = &self.config.selection;
        let task = Task::Follow;
        Sweep { logs: &self.logs, selection, wanted, task, also_included, dry_run: false }
    }

    /// Handles all included log groups. `trigger` names the reason of the run in the log.
    async fn sweep_all(&self, trigger: &str, deadline: Instant) -> SweepReport {
        let time = deadline.saturating_duration_since(Instant::now());
        let reserve = if self.retry_queue.is_some() { time / REPLAY_PART } else { Duration::ZERO };
        let sweep = self.sweep(&self.config.wanted, &[]);
        let mut report = sweep.run(deadline - reserve).await;
        self.replay_new(&mut report, deadline).await;
        report.log(trigger);
        report
    }

    /// Handles all log groups included now or before the update. Nothing is replayed: the user knows which log groups existed
    /// before the stack.
    async fn subscribe(
        &self,
        kind: RequestKind,
        request: &ResourceRequest,
        deadline: Instant,
    ) -> SweepReport {
        let wanted = WantedFilter {
            former: request.former.clone(),
            keeps_spilled: !request.collected_spilled,
            ..self.config.wanted.clone()
        };
        let report = self.sweep(&wanted, &request.included).run(deadline).await;
        report.log(kind.as_str());
        report
    }

    /// Removes our filters from all log groups included now or before, whatever the tags and exclusions.
    async fn remove(&self, request: &ResourceRequest, deadline: Instant) -> SweepReport {
        let include = [self.config.selection.include(), &request.included].concat();
        let selection = Selection::new(include, Vec::new(), Vec::new(), []);
        let sweep = Sweep {
            selection: &selection,
            task: Task::Remove,
            ..self.sweep(&self.config.wanted, &[])
        };
        let report = sweep.run(deadline).await;
        report.log(request.kind.as_str());
        if report.not_reached_count() > 0 || report.failed_count() > 0 {
            tracing::error!(
                not_reached = report.not_reached_count(),
                failed = report.failed_count(),
                "subscription filters stay: `lambda-otlp unsubscribe --yes` removes them"
            );
        }
        report
    }

    /// Handles one log group that was just created.
    async fn handle_new_log_group(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<SweepReport, SubscriberError> {
        let sweep = self.sweep(&self.config.wanted, &[]);
        let mut report = SweepReport::default();
        if self.config.selection.check_name(name).is_err() {
            return Ok(report);
        }
        let described = self.logs.log_group(name, deadline).await;
        let found = described.map_err(|error| SubscriberError::LogGroups(error.to_string()))?;
        // A log group that was deleted at once needs no subscription.
        let Some(group) = found else { return Ok(report) };
        report.entries.push(sweep.handle(group, deadline).await);
        self.replay_new(&mut report, deadline).await;
        report.log("new log group");
        Ok(report)
    }

    /// Replays the lines of the just subscribed log groups that are new.
    async fn replay_new(&self, report: &mut SweepReport, deadline: Instant) {
        let Some(queue) = &self.retry_queue else { return };
        let filter = self.config.wanted.ours.as_filter().name;
        for LogGroupEntry { group, subscribed, .. } in &report.entries {
            let Some(subscribed) = subscribed.filter(|at| is_new(group, *at)) else { continue };
            let replayed = replay(&self.logs, queue, group, &filter, subscribed, deadline).await;
            report.replayed_lines += replayed.lines;
            report.not_replayed.extend(replayed.problem);
        }
    }
}

// Answers CloudFormation, which waits an hour for a missing answer.
//
// Source: CloudFormation User Guide, "Custom resource response objects".

/// A response has at most 4,096 bytes, in which JSON may double a text.
const MAX_TEXT_BYTES: usize = 1_400;
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// The answer to a request: success with totals, or the reason of a failure.
fn response(request: &ResourceRequest, outcome: Result<SweepReport, SubscriberError>) -> Value {
    let is_delete = request.kind == RequestKind::Delete;
    let is_success = match &outcome {
        // Their filters would outlive the stack, and a later stack takes them for filters of others.
        Ok(report) => !is_delete || report.not_reached_count() == 0,
        // A failed removal must not block the deletion of a stack.
        Err(_) => is_delete,
    };
    let reason = match &outcome {
        Ok(_) if is_success => "see the subscriber's log".to_owned(),
        Ok(report) => incomplete_removal(request, report.not_reached_count()),
        Err(problem) => cut(&problem.to_string()),
    };
    let sums = outcome.map_or_else(
        |_| json!({}),
        |report| {
            let mut sums = report.sums();
            if let Some(notable) = sums.get_mut("notable") {
                // The log has the whole text.
                *notable = cut(&report.notable_text()).into();
            }
            sums
        },
    );
    json!({
        "Status": if is_success { "SUCCESS" } else { "FAILED" },
        "Reason": reason,
        "PhysicalResourceId": request.physical_resource_id,
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_resource_id,
        "Data": sums,
    })
}

/// The reason of an incomplete removal. CloudFormation retains resources only of a stack whose deletion failed.
fn incomplete_removal(request: &ResourceRequest, count: usize) -> String {
    let stack = &request.stack_id;
    let resource = &request.logical_resource_id;
    format!(
        "{count} log groups were not reached in time and may keep a subscription filter: delete the stack again; if that fails \
         too, run `lambda-otlp unsubscribe --stack {stack} --yes`, then delete the stack with `--retain-resources {resource}`"
    )
}

fn cut(text: &str) -> String {
    let head = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default();
    if head.len() < text.len() { format!("{head}…") } else { head.to_owned() }
}

/// Puts the answer to CloudFormation's URL until it is accepted.
async fn send(
    client: &AwsClient,
    request: &ResourceRequest,
    response: &Value,
    deadline: Instant,
) -> Result<(), SubscriberError> {
    let body = response.to_string().into_bytes();
    loop {
        let until = deadline.min(Instant::now() + ATTEMPT);
        let put = client.put_presigned(&request.response_url, body.clone(), until).await;
        let problem = match put {
            Ok(response) if (200..300).contains(&response.status) => return Ok(()),
            Ok(response) => format!("status {}", response.status),
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(SubscriberError::NotAnswered(problem));
        }
        tracing::warn!(problem, "CloudFormation did not accept the answer, will retry");
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
