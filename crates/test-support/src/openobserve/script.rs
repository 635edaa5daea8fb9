//! Scripted answers of the fake: single answers, sequences, and seeded random faults.

use std::collections::VecDeque;
use std::time::Duration;

use crate::openobserve::Signal;
use fastrand::Rng;

/// How one request is answered.
///
/// Unless a variant says otherwise, the body is read and recorded, and nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScriptedResponse {
    /// As OpenObserve would answer: every check, then storing.
    Ok,
    /// This status with OpenObserve's error text, `{"code":503,"message":"Service Unavailable"}`.
    Status(u16),
    /// This status, and `Retry-After` in whole seconds (rounded up).
    RetryAfter(u16, Duration),
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// 200 with the body `0a 00`, an empty `partial_success`: the write failed. For `_json`: 200 with both counts 0.
    WriteFailed,
    /// The connection is closed before the body is read.
    CloseBeforeBody,
    /// The connection is closed after the body was read; nothing was stored. The client cannot tell it from
    /// [`ScriptedResponse::CloseAfterStore`].
    CloseAfterBody,
    /// The connection is closed after the body was stored.
    CloseAfterStore,
    /// Stored, but the connection is closed in the middle of the answer's body.
    HalfResponse,
    /// At most this many of the request's items are refused in `partial_success`; the others are stored.
    PartialSuccess(u64),
    /// Stored, with an answer body of this many bytes.
    Huge(usize),
    /// The inner answer, with a gzip-compressed body even if the client did not ask for it.
    Gzipped(Box<ScriptedResponse>),
    /// The inner answer, once [`FakeOpenObserve::release`](super::FakeOpenObserve::release) is called; nothing is stored before.
    Held(Box<ScriptedResponse>),
    /// The inner answer after this time on tokio's clock.
    Delayed(Duration, Box<ScriptedResponse>),
}

impl ScriptedResponse {
    /// [`ScriptedResponse::Ok`] once [`FakeOpenObserve::release`](super::FakeOpenObserve::release) is called.
    pub fn held() -> Self {
        Self::Held(Box::new(Self::Ok))
    }
}

/// The answers that were scripted and not given yet.
#[derive(Debug, Default)]
pub(crate) struct Script {
    steps: VecDeque<(Option<Signal>, ScriptedResponse)>,
    faults: Option<Faults>,
}

impl Script {
    pub(crate) fn extend(
        &mut self,
        signal: Option<Signal>,
        answers: impl IntoIterator<Item = ScriptedResponse>,
    ) {
        self.steps.extend(answers.into_iter().map(|answer| (signal, answer)));
    }

    pub(crate) fn set_faults(&mut self, faults: Option<Faults>) {
        self.faults = faults;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first step that is for this signal or for any; after the script the seeded faults, after them [`ScriptedResponse::Ok`].
    pub(crate) fn next(&mut self, signal: Option<Signal>) -> ScriptedResponse {
        let position =
            self.steps.iter().position(|(wanted, _)| wanted.is_none() || *wanted == signal);
        if let Some((_, answer)) = position.and_then(|position| self.steps.remove(position)) {
            return answer;
        }
        self.faults.as_mut().and_then(Iterator::next).unwrap_or(ScriptedResponse::Ok)
    }
}

/// An endless schedule of answers in which each is a fault with a given probability; equal seeds give equal schedules.
///
/// `fake.script(Faults::seeded(7, 0.3).take(20))` scripts twenty answers; [`FakeOpenObserve::inject`](super::FakeOpenObserve::inject) goes on
/// for ever.
#[derive(Clone, Debug)]
pub struct Faults {
    random: Rng,
    probability: f64,
    kinds: Vec<ScriptedResponse>,
}

impl Faults {
    /// Faults of the kinds in [`Faults::transient`], with this probability for each answer, from 0 to 1.
    pub fn seeded(seed: u64, probability: f64) -> Self {
        Self { random: Rng::with_seed(seed), probability, kinds: Self::transient() }
    }

    /// Chooses among these answers only. An empty list gives no faults.
    #[must_use]
    pub fn among(mut self, kinds: impl IntoIterator<Item = ScriptedResponse>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Every fault after which a client that retries long enough loses nothing.
    pub fn transient() -> Vec<ScriptedResponse> {
        vec![
            ScriptedResponse::Status(500),
            ScriptedResponse::Status(502),
            ScriptedResponse::Status(503),
            ScriptedResponse::Status(504),
            ScriptedResponse::Status(408),
            ScriptedResponse::RetryAfter(429, Duration::from_secs(1)),
            ScriptedResponse::CloseBeforeBody,
            ScriptedResponse::CloseAfterBody,
            ScriptedResponse::CloseAfterStore,
            ScriptedResponse::HalfResponse,
        ]
    }
}

impl Iterator for Faults {
    type Item = ScriptedResponse;

    fn next(&mut self) -> Option<ScriptedResponse> {
        // Both are drawn every time, so that a schedule with another probability keeps its kinds.
        let kind = self.random.choice(&self.kinds);
        let is_fault = self.random.f64() < self.probability;
        Some(kind.filter(|_| is_fault).cloned().unwrap_or(ScriptedResponse::Ok))
    }
}
