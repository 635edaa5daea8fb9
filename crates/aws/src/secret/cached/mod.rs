//! One secret: read when it is first needed, again when its lifetime is over, and again when a backend refuses it.

use super::authorization::authorization;
use super::error::SecretError;
use super::service::SecretService;
use crate::clock::FreezeAwareInstant;
use settings::{Secret, SecretReference};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The service is asked at most once in this time, however many callers want it: a backend that refuses every request must not make
/// every request a call of the service.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// How long the service may take where there is a value to go on with: an invocation waits for it.
const LONGEST_REFRESH: Duration = Duration::from_secs(1);

/// How long a value is used past its lifetime before a service that fails is asked again.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// A secret that stands for an authorization header. Time passes by [`FreezeAwareInstant`], so that a freeze counts.
#[derive(Debug)]
pub struct CachedSecret<S> {
    service: S,
    reference: SecretReference,
    lifetime: Duration,
    /// Held while the service is asked, so that all who ask meanwhile share the answer.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    value: Option<Secret>,
    version: u64,
    /// When the last answer came, and why it gave no value.
    asked_at: Option<FreezeAwareInstant>,
    failure: Option<SecretError>,
    /// How long after that answer the value has to be read again.
    good_for: Duration,
}

/// A value as it is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSecret {
    /// The value of the authorization header.
    pub authorization: Secret,
    /// Grows when the value changes, and only then.
    pub version: u64,
    /// Why the service could not be asked for a newer one; the value is the one before.
    pub failure: Option<SecretError>,
}

impl<S: SecretService> CachedSecret<S> {
    /// The secret of this reference, read for the first time when it is asked for.
    pub fn new(service: S, reference: SecretReference, lifetime: Duration) -> Self {
        Self { service, reference, lifetime, state: Mutex::default() }
    }

    /// Which secret it is.
    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }

    /// The value, read first if there is none or its lifetime is over. While the service fails, or hangs, the value before is
    /// given; an error means that there has never been one.
    pub async fn current(&self) -> Result<CurrentSecret, SecretError> {
        let mut state = self.state.lock().await;
        let is_good = |asked_at: &FreezeAwareInstant| !asked_at.is_over(state.good_for, self.now());
        let is_due = !(state.value.is_some() && state.asked_at.as_ref().is_some_and(is_good));
        if is_due {
            self.ask(&mut state).await;
        }
        state.current()
    }

    /// The value, read again because the one before was refused, unless the service was asked just now.
    pub async fn reread(&self) -> Result<CurrentSecret, SecretError> {
        let mut state = self.state.lock().await;
        self.ask(&mut state).await;
        state.current()
    }

    fn now(&self) -> FreezeAwareInstant {
        FreezeAwareInstant::now(self.service.wall_clock())
    }

    async fn ask(&self, state: &mut State) {
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
        SecretError::NoResponse { secret: self.reference.to_string(), text }
    }
}

impl State {
    fn current(&self) -> Result<CurrentSecret, SecretError> {
        match (&self.value, &self.failure) {
            (Some(authorization), failure) => Ok(CurrentSecret {
                authorization: authorization.clone(),
                version: self.version,
                failure: failure.clone(),
            }),
            (None, Some(failure)) => Err(failure.clone()),
            // `ask` leaves one or the other.
            (None, None) => Err(SecretError::NoResponse {
                secret: String::new(),
                text: "never asked".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
