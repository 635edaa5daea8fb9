//! What the program that is started after a panic has to know, noted as it becomes known.

use super::{ARGUMENT, MOST_PANICS};
use crate::buffer::SharedBuffer;
use crate::json;
use crate::lambda::answers::{Invoke, Registration};
use crate::lambda::client::{Address, Asked, Call};
use crate::output::LineOutput;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long lines that are being written are waited for.
const LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// What Lambda does not let itself be asked twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Question {
    Register,
    Next,
}

/// What is told as text. Where nothing is told, nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Notes {
    /// How often the program has panicked in this environment.
    pub(crate) panics: u64,
    /// Of the registered extension; empty where it is not registered.
    pub(crate) identifier: String,
    pub(crate) registration: Registration,
    /// The newest invocation.
    pub(crate) invoke: Option<Invoke>,
    /// The ports where OTLP is received.
    pub(crate) ports: Vec<u16>,
    /// Where Lambda sends telemetry; empty where it does not.
    pub(crate) telemetry_uri: String,
    /// What was asked of Lambda, and is answered on the connection that is standard input.
    pub(crate) asked: Option<Question>,
    /// The descriptor of the open file with acknowledged, unsettled telemetry.
    pub(crate) unsettled: Option<RawFd>,
    /// A line may have been cut off in the middle.
    pub(crate) has_cut_line: bool,
    /// The environment ends.
    pub(crate) is_ending: bool,
}

impl Notes {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn is_registered(&self) -> bool {
        !self.identifier.is_empty()
    }

    /// Whether nothing is tried any more but to ask for events.
    pub(crate) fn has_given_up(&self) -> bool {
        self.panics > MOST_PANICS
    }

    fn text(&self) -> String {
        let word = |is_so| if is_so { "true" } else { "false" };
        let Self { panics, identifier, registration, invoke, .. } = self;
        let Registration { function_name, function_version, account_id } = registration;
        let account_id = account_id.as_deref().map_or("null".to_owned(), json::string);
        let registration = json::object(&[
            ("functionName", &json::string(function_name)),
            ("functionVersion", &json::string(function_version)),
            ("accountId", &account_id),
        ]);
        let invoke = invoke.as_ref().map_or("null".to_owned(), |invoke| {
            json::object(&[
                ("requestId", &json::string(&invoke.request_id)),
                ("deadlineMs", &invoke.deadline_ms.to_string()),
                ("invokedFunctionArn", &json::string(&invoke.invoked_function_arn)),
            ])
        });
        let asked = match self.asked {
            None => "null",
            Some(Question::Register) => "\"register\"",
            Some(Question::Next) => "\"next\"",
        };
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        json::object(&[
            ("panics", &panics.to_string()),
            ("identifier", &json::string(identifier)),
            ("registration", &registration),
            ("invoke", &invoke),
            ("ports", &["[", &ports.join(","), "]"].concat()),
            ("telemetryUri", &json::string(&self.telemetry_uri)),
            ("asked", asked),
            ("unsettled", &self.unsettled.map_or("null".to_owned(), |number| number.to_string())),
            ("hasCutLine", word(self.has_cut_line)),
            ("isEnding", word(self.is_ending)),
        ])
    }
}

/// What is handed over, shared by those who know it.
#[derive(Debug, Default)]
pub struct Handover(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    notes: Notes,
    /// What was asked, and the connection on which its answer comes.
    asked: Option<(Question, OwnedFd)>,
    output: Option<LineOutput>,
    buffer: Option<SharedBuffer>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.notes.fmt(f)
    }
}

impl Handover {
    /// What was handed over to this process, by the argument behind [`ARGUMENT`] and by standard input.
    pub fn read(text: &str) -> Self {
        let mut notes = Notes::read(text);
        let asked = notes
            .asked
            .take()
            .and_then(|question| Some((question, io::stdin().as_fd().try_clone_to_owned().ok()?)));
        Self(Mutex::new(Inner { notes, asked, ..Inner::default() }))
    }

    /// Whether the program has panicked so often that it only asks for events, by what Lambda says alone.
    pub fn has_given_up(&self) -> bool {
        self.inner().notes.has_given_up()
    }

    pub(crate) fn notes(&self) -> Notes {
        self.inner().notes.clone()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.inner().notes);
    }

    /// What writes lines and what waits to be sent.
    pub(crate) fn holds(&self, output: &LineOutput, buffer: Option<&SharedBuffer>) {
        let mut inner = self.inner();
        inner.output = Some(output.clone());
        inner.buffer = buffer.cloned();
    }

    /// Asks, unless the process whose place this one takes has asked already; then its answer is waited for.
    pub(crate) async fn ask(
        &self,
        question: Question,
        address: &Address,
        call: &Call<'_>,
    ) -> io::Result<Asked> {
        let outstanding = match &self.inner().asked {
            Some((asked, connection)) if *asked == question => connection.try_clone().ok(),
            _ => None,
        };
        match outstanding {
            Some(connection) => Asked::on(connection),
            None => {
                Asked::ask(address, call, |send| {
                    let mut inner = self.inner();
                    inner.asked = Some((question, send()?));
                    Ok(())
                })
                .await
            }
        }
    }

    /// While this is held nothing is handed over, and once that has begun it is not had any more: what a thread reads meanwhile no
    /// other program would.
    pub(crate) fn lock(&self) -> impl Sized + '_ {
        self.inner()
    }

    /// Whether `next` is called, and not answered.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.inner().asked, Some((Question::Next, _)))
    }

    /// What was asked is answered, or will not be.
    pub(crate) fn answered(&self) {
        self.inner().asked = None;
    }

    /// Starts the program anew in the place of this process; returns only where that fails.
    pub(super) fn hand_over(&self, path: &str, panics: u64) -> io::Error {
        let mut inner = self.inner();
        let Inner { notes, asked, output, buffer } = &mut *inner;
        notes.panics = panics;
        // Open until the program is started.
        let unsettled = buffer.as_ref().and_then(keep);
        notes.unsettled = unsettled.as_ref().map(AsRawFd::as_raw_fd);
        notes.has_cut_line = output.as_ref().is_some_and(|output| !wait_written(output));
        let (question, connection) = asked.take().unzip();
        notes.asked = question;
        // By this name the program is found even where its file is gone.
        Command::new("/proc/self/exe")
            .arg0(path)
            .args([ARGUMENT, &notes.text()])
            .stdin(connection.map_or_else(Stdio::null, Stdio::from))
            .exec()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves acknowledged, unsettled telemetry. Returns its file.
#[cfg(feature = "direct")]
fn keep(buffer: &SharedBuffer) -> Option<File> {
    super::write(buffer).unwrap_or_else(|error| {
        tracing::error!(%error, "what waited to be sent cannot be kept, it is lost");
        None
    })
}

#[cfg(not(feature = "direct"))]
fn keep(buffer: &SharedBuffer) -> Option<File> {
    match *buffer {}
}

/// Waits until the lines are written that were in the queue, so that none is cut in the middle and what was spilled is there; whether
/// that is so.
fn wait_written(output: &LineOutput) -> bool {
    let requests = output.wait_idle(LINES_TIMEOUT);
    if requests > 0 {
        tracing::error!(requests, "not all that was to be written is");
    }
    requests == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let notes = Notes {
            panics: 2,
            identifier: "an \"id\"".to_owned(),
            registration: Registration {
                function_name: "orders".to_owned(),
                function_version: "$LATEST".to_owned(),
                account_id: Some("123456789012".to_owned()),
            },
            invoke: Some(Invoke {
                request_id: "3da1f2dc-3222-475e-9205-e2e6c6318895".to_owned(),
                deadline_ms: 1_733_312_345_678,
                invoked_function_arn: "arn:aws:lambda:us-east-1:123456789012:function:orders"
                    .to_owned(),
            }),
            ports: vec![4318, 4317],
            telemetry_uri: "http://127.0.0.1:4243/telemetry/0123".to_owned(),
            asked: Some(Question::Next),
            unsettled: Some(9),
            has_cut_line: true,
            is_ending: true,
        };
        assert_eq!(Notes::read(&notes.text()), notes);
        let nothing = Notes::default();
        assert_eq!(Notes::read(&nothing.text()), nothing);
        for text in ["", "{", "7", "{\"panics\":\"many\"}"] {
            assert_eq!(Notes::read(text), nothing, "{text}");
        }
    }
}
