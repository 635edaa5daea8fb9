//! A cached secret: read on first use, after its lifetime, and when a backend refuses it.

use super::SecretError;
use super::header::{SecretHeader, read_header};
use super::service::SecretService;
use crate::clock::FreezeAwareInstant;
use settings::SecretReference;
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

/// A secret that a header carries. Its lifetime includes freezes ([`FreezeAwareInstant`]).
pub struct CachedSecret {
    service: Arc<dyn SecretService>,
    reference: SecretReference,
    lifetime: Duration,
    /// Held during a read, so that concurrent callers share the answer.
    last: Mutex<Option<LastReading>>,
}

#[derive(Debug)]
struct LastReading {
    at: FreezeAwareInstant,
    good_for: Duration,
    /// An error means that no value was ever read.
    current: Result<CurrentSecret, SecretError>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSecret {
    pub header: SecretHeader,
    /// Counts changes of the value, from 1.
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
        Self { service, reference, lifetime, last: Mutex::default() }
    }

    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }

    /// Returns the value, after reading it if there is none or its lifetime is over. While the service fails or hangs, the
    /// previous value is returned; an error means that no value was ever read.
    pub async fn current(&self) -> Result<CurrentSecret, SecretError> {
        self.read_unless(|last, now| last.current.is_ok() && !last.at.is_over(last.good_for, now))
            .await
    }

    /// Reads the value again after a refusal, unless it was read a few seconds ago.
    pub async fn reread(&self) -> Result<CurrentSecret, SecretError> {
        self.read_unless(|_, _| false).await
    }

    /// Reads the value, unless the last reading is good or recent.
    async fn read_unless(
        &self,
        is_good: impl Fn(&LastReading, FreezeAwareInstant) -> bool,
    ) -> Result<CurrentSecret, SecretError> {
        let now = || FreezeAwareInstant::now(self.service.wall_clock());
        let mut last = self.last.lock().await;
        if let Some(reading) = last.as_ref()
            && (is_good(reading, now()) || !reading.at.is_over(AT_MOST_EVERY, now()))
        {
            return reading.current.clone();
        }
        let previous = last.as_ref().and_then(|reading| reading.current.clone().ok());
        let reading = self.service.read(&self.reference);
        let read = if previous.is_some() {
            timeout(LONGEST_REFRESH, reading).await.unwrap_or_else(|_| Err(self.too_slow()))
        } else {
            reading.await
        };
        let read = read.and_then(|secret| {
            read_header(&secret, self.reference.key.as_deref())
                .map_err(|problem| SecretError::unusable(&self.reference, &problem.to_string()))
        });
        let good_for = match read {
            Ok(_) => self.lifetime,
            Err(_) => RETRY_AFTER_FAILURE.min(self.lifetime),
        };
        let current = current_after(read, previous);
        last.insert(LastReading { at: now(), good_for, current }).current.clone()
    }

    fn too_slow(&self) -> SecretError {
        let text = format!("no answer within {} s", LONGEST_REFRESH.as_secs());
        SecretError::unavailable(&self.reference, &text)
    }
}

/// The value after a read. If that failed, the previous value stays.
fn current_after(
    read: Result<SecretHeader, SecretError>,
    previous: Option<CurrentSecret>,
) -> Result<CurrentSecret, SecretError> {
    match (read, previous) {
        (Ok(header), None) => Ok(CurrentSecret { header, version: 1, failure: None }),
        (Ok(header), Some(previous)) => {
            let is_changed = previous.header != header;
            let version = previous.version + u64::from(is_changed);
            Ok(CurrentSecret { header, version, failure: None })
        }
        (Err(error), Some(previous)) => Ok(CurrentSecret { failure: Some(error), ..previous }),
        (Err(error), None) => Err(error),
    }
}
