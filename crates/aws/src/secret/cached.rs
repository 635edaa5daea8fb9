//! A cached secret: read on first use, after its lifetime, and when a backend refuses it.

use super::SecretError;
use super::authorization::authorization;
use super::service::SecretService;
use crate::clock::FreezeAwareInstant;
use settings::{Secret, SecretReference};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Minimum time between two reads, however many callers ask: a backend that refuses every request must not cause a read for each.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// Time limit of a read while an old value exists, because an invocation waits for it.
const LONGEST_REFRESH: Duration = Duration::from_secs(1);

/// Delay before the next read after a failure, while an expired value is used.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// A secret for an authorization header. Its lifetime includes freezes ([`FreezeAwareInstant`]).
pub struct CachedSecret {
    service: Arc<dyn SecretService>,
    reference: SecretReference,
    lifetime: Duration,
    /// Held during a read, so that concurrent callers share the answer.
    state: Mutex<CachedState>,
}

#[derive(Debug, Default)]
struct CachedState {
    value: Option<Secret>,
    version: u64,
    asked_at: Option<FreezeAwareInstant>,
    failure: Option<SecretError>,
    good_for: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSecret {
    pub authorization: Secret,
    pub version: u64,
    /// The reason why no newer value could be read; this one is the previous.
    pub failure: Option<SecretError>,
}

impl fmt::Debug for CachedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedSecret({})", self.reference)
    }
}

impl CachedSecret {
    pub fn new(
        service: Arc<dyn SecretService>,
        reference: SecretReference,
        lifetime: Duration,
    ) -> Self {
        Self { service, reference, lifetime, state: Mutex::default() }
    }

    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }

    /// Returns the value, after reading it if there is none or its lifetime is over. While the service fails or hangs, the
    /// previous value is returned; an error means that no value was ever read.
    pub async fn current(&self) -> Result<CurrentSecret, SecretError> {
        let mut state = self.state.lock().await;
        let is_good = |asked_at: &FreezeAwareInstant| !asked_at.is_over(state.good_for, self.now());
        let is_due = !(state.value.is_some() && state.asked_at.as_ref().is_some_and(is_good));
        if is_due {
            self.ask(&mut state).await;
        }
        state.current()
    }

    /// Reads the value again after a refusal, unless it was just read.
    pub async fn reread(&self) -> Result<CurrentSecret, SecretError> {
        let mut state = self.state.lock().await;
        self.ask(&mut state).await;
        state.current()
    }

    fn now(&self) -> FreezeAwareInstant {
        FreezeAwareInstant::now(self.service.wall_clock())
    }

    async fn ask(&self, state: &mut CachedState) {
        let just_asked =
            |asked_at: &FreezeAwareInstant| !asked_at.is_over(AT_MOST_EVERY, self.now());
        if state.asked_at.as_ref().is_some_and(just_asked) {
            return;
        }
        let reading = self.service.read(&self.reference);
        let read = if state.value.is_some() {
            timeout(LONGEST_REFRESH, reading).await.unwrap_or_else(|_| Err(self.too_slow()))
        } else {
            reading.await
        };
        let read = read.and_then(|secret| {
            authorization(&secret, self.reference.key.as_deref()).map_err(|problem| {
                SecretError::Unusable { secret: self.reference.to_string(), problem }
            })
        });
        state.asked_at = Some(self.now());
        match read {
            Ok(value) => {
                state.failure = None;
                state.good_for = self.lifetime;
                if state.value.as_ref() != Some(&value) {
                    state.version += 1;
                    state.value = Some(value);
                }
            }
            Err(error) => {
                state.good_for = RETRY_AFTER_FAILURE.min(self.lifetime);
                state.failure = Some(error);
            }
        }
    }

    fn too_slow(&self) -> SecretError {
        let text = format!("no answer within {} s", LONGEST_REFRESH.as_secs());
        SecretError::Unavailable { secret: self.reference.to_string(), text }
    }
}

impl CachedState {
    fn current(&self) -> Result<CurrentSecret, SecretError> {
        match (&self.value, &self.failure) {
            (Some(authorization), failure) => Ok(CurrentSecret {
                authorization: authorization.clone(),
                version: self.version,
                failure: failure.clone(),
            }),
            (None, Some(failure)) => Err(failure.clone()),
            // `ask` sets one of the two.
            (None, None) => Err(SecretError::Unavailable {
                secret: String::new(),
                text: "never asked".to_owned(),
            }),
        }
    }
}
