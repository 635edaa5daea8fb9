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
        SecretError::NoResponse { secret: self.reference.to_string(), text }
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
            (None, None) => Err(SecretError::NoResponse {
                secret: String::new(),
                text: "never asked".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::service::SecretReading;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::{SystemTime, UNIX_EPOCH};
    use tokio::time::{Instant, advance, sleep};

    const REFERENCE: &str = "ssm:/o2";

    /// Answers after 100 ms from a script, and counts.
    #[derive(Debug, Default)]
    struct Scripted {
        answers: Mutex<VecDeque<Result<&'static str, ()>>>,
        asked: Mutex<usize>,
        frozen: Mutex<Duration>,
    }

    impl SecretService for Scripted {
        fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
            Box::pin(async move {
                sleep(Duration::from_millis(100)).await;
                *self.asked.lock().unwrap() += 1;
                let answer = self.answers.lock().unwrap().pop_front().expect("asked too often");
                answer.map(Secret::new).map_err(|()| down(reference))
            })
        }

        fn wall_clock(&self) -> SystemTime {
            UNIX_EPOCH + *self.frozen.lock().unwrap()
        }
    }

    fn down(reference: &SecretReference) -> SecretError {
        SecretError::NoResponse { secret: reference.to_string(), text: "down".to_owned() }
    }

    fn cached(answers: &[Result<&'static str, ()>]) -> (CachedSecret, Arc<Scripted>) {
        let answers = Mutex::new(answers.iter().copied().collect());
        let service = Arc::new(Scripted { answers, ..Scripted::default() });
        let reference = SecretReference::parse(REFERENCE).unwrap();
        let secret = CachedSecret::new(service.clone(), reference, Duration::from_mins(5));
        (secret, service)
    }

    impl Scripted {
        fn asked(&self) -> usize {
            *self.asked.lock().unwrap()
        }
    }

    /// `Bearer a, version 1`, or the error.
    fn shown(current: Result<CurrentSecret, SecretError>) -> String {
        match current {
            Ok(CurrentSecret { authorization, version, failure }) => {
                let kept = if failure.is_some() { ", kept" } else { "" };
                format!("{}, version {version}{kept}", authorization.expose())
            }
            Err(error) => error.to_string(),
        }
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_read_once_per_lifetime() {
        let (cached, service) = cached(&[Ok("Bearer a"), Ok("Bearer a"), Ok("Bearer b")]);
        for _ in 0..3 {
            assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        }
        assert_eq!(service.asked(), 1);
        advance(secs(299)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        assert_eq!(service.asked(), 1);
        advance(secs(2)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        assert_eq!(service.asked(), 2);
        advance(secs(300)).await;
        assert_eq!(shown(cached.current().await), "Bearer b, version 2");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_read() {
        let (cached, service) = cached(&[Ok("Bearer a"), Ok("Bearer b")]);
        let (first, second, third) =
            tokio::join!(cached.current(), cached.current(), cached.reread());
        for current in [first, second, third] {
            assert_eq!(shown(current), "Bearer a, version 1");
        }
        assert_eq!(service.asked(), 1);
        advance(secs(10)).await;
        let (first, second) = tokio::join!(cached.reread(), cached.reread());
        assert_eq!([shown(first), shown(second)], ["Bearer b, version 2"; 2]);
        assert_eq!(service.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_secrets_are_reread_at_most_every_five_seconds() {
        let (cached, _) = cached(&[Ok("Bearer a"), Ok("Bearer b"), Ok("Bearer c")]);
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        advance(secs(4)).await;
        assert_eq!(shown(cached.reread().await), "Bearer a, version 1");
        advance(secs(1)).await;
        assert_eq!(shown(cached.reread().await), "Bearer b, version 2");
        assert_eq!(shown(cached.reread().await), "Bearer b, version 2");
        advance(secs(5)).await;
        assert_eq!(shown(cached.reread().await), "Bearer c, version 3");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_value_is_kept_while_the_service_fails() {
        let (cached, service) = cached(&[Ok("Bearer a"), Err(()), Err(()), Ok("Bearer b")]);
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        advance(secs(301)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1, kept");
        advance(secs(29)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1, kept");
        assert_eq!(service.asked(), 2);
        advance(secs(2)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1, kept");
        assert_eq!(service.asked(), 3);
        advance(secs(30)).await;
        assert_eq!(shown(cached.current().await), "Bearer b, version 2");
    }

    /// Answers once, and never again.
    #[derive(Debug, Default)]
    struct AnswersOnce(Mutex<usize>);

    impl SecretService for AnswersOnce {
        fn read<'a>(&'a self, _: &'a SecretReference) -> SecretReading<'a> {
            Box::pin(async move {
                *self.0.lock().unwrap() += 1;
                if *self.0.lock().unwrap() > 1 {
                    std::future::pending::<()>().await;
                }
                Ok(Secret::new("Bearer a"))
            })
        }

        fn wall_clock(&self) -> SystemTime {
            UNIX_EPOCH
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_refresh_costs_one_second_per_half_minute() {
        let reference = SecretReference::parse(REFERENCE).unwrap();
        let service = Arc::new(AnswersOnce::default());
        let cached = CachedSecret::new(service.clone(), reference, Duration::from_mins(5));
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        let mut waited = Duration::ZERO;
        for _ in 0..60 {
            advance(secs(10)).await;
            let begin = Instant::now();
            let current = timeout(secs(3600), cached.current()).await.expect("an answer");
            let current = shown(current);
            assert!(current.starts_with("Bearer a, version 1"), "{current}");
            waited += begin.elapsed();
        }
        // Ten minutes: five of the lifetime, then reads half a minute apart, each of a second; tokio's clock has milliseconds.
        let looks = u32::try_from(*service.0.lock().unwrap()).unwrap() - 1;
        assert!((2..=11).contains(&looks), "{looks}");
        assert!(waited <= looks * Duration::from_millis(1010), "{waited:?} for {looks}");
        let begin = Instant::now();
        assert_eq!(shown(cached.reread().await), "Bearer a, version 1, kept");
        assert!(begin.elapsed() <= secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_value_the_service_is_asked_every_five_seconds() {
        // The stored value is not an authorization.
        let (cached, service) = cached(&[Err(()), Ok("hunter2"), Ok("Bearer a")]);
        let down = "cannot read ssm:/o2: down";
        assert_eq!(shown(cached.current().await), down);
        advance(secs(4)).await;
        assert_eq!(shown(cached.current().await), down);
        advance(secs(1)).await;
        let text = shown(cached.current().await);
        assert!(text.starts_with("cannot use ssm:/o2: expected `Basic …`"), "{text}");
        assert!(!text.contains("hunter2"));
        advance(secs(5)).await;
        assert_eq!(shown(cached.current().await), "Bearer a, version 1");
        assert_eq!(service.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_times_out_does_not_cancel_the_others() {
        let (cached, _) = cached(&[Ok("Bearer a")]);
        let hurried = tokio::time::timeout(Duration::from_millis(50), cached.current());
        let (hurried, other) = tokio::join!(hurried, cached.current());
        assert!(hurried.is_err());
        assert_eq!(shown(other), "Bearer a, version 1");
        assert!(!format!("{cached:?}").contains("Bearer"), "{cached:?}");
    }
}
