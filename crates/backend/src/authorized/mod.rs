//! A client whose secret is loaded before the first request, and again when the backend refuses it.

use crate::client::Client;
use crate::destination::DestinationConfig;
use crate::export::{Fate, Outcome, UndeliveredPart};
use crate::http::{ClientError, HttpTransport, Transport};
use crate::judge::Reason;
use aws::{AwsSecrets, CachedSecret, CurrentSecret, SecretError, SecretService};
use settings::Headers;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, timeout_at};
use wire::Request;

/// Sends to one destination with that destination's credentials only.
#[derive(Debug)]
pub struct Authorized<T = HttpTransport, S = AwsSecrets> {
    client: Client<T>,
    secret: Option<OwnSecret<S>>,
}

#[derive(Debug)]
struct OwnSecret<S> {
    cached: Arc<CachedSecret<S>>,
    /// The destination's headers; the secret replaces their authorization.
    headers: Headers,
    /// Held while headers change, so that an older version never replaces a newer one.
    sent_version: Mutex<u64>,
}

impl<S: SecretService> Authorized<HttpTransport, Arc<S>> {
    /// Creates a client for this destination. Its secret, if any, is read from this service, which several destinations may
    /// share.
    pub fn new(
        destination: &DestinationConfig,
        service: &Arc<S>,
        lifetime: std::time::Duration,
    ) -> Result<Self, ClientError> {
        let secret = destination
            .secret
            .as_ref()
            .map(|reference| CachedSecret::new(Arc::clone(service), reference.clone(), lifetime))
            .map(Arc::new);
        Ok(Self::with_client(Client::new(destination)?, destination.headers.clone(), secret))
    }
}

impl<T: Transport, S: SecretService> Authorized<T, S> {
    /// Wraps a client and puts this secret in place of the authorization in `headers`. Client, headers and secret must belong to
    /// the same destination; several clients of one destination may share a secret.
    pub fn with_client(
        client: Client<T>,
        headers: Headers,
        secret: Option<Arc<CachedSecret<S>>>,
    ) -> Self {
        let secret =
            secret.map(|cached| OwnSecret { cached, headers, sent_version: Mutex::new(0) });
        Self { client, secret }
    }

    pub fn client(&self) -> &Client<T> {
        &self.client
    }

    /// Delivers the request like [`Client::export`]. After 401 or 403 it reads the secret again, and resends the refused parts if
    /// the secret has changed. If the secret was never read, the request is queued for retry unsent.
    pub async fn export(
        &self,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> Outcome {
        let Some(secret) = &self.secret else {
            return self.client.export(stream, request, deadline).await;
        };
        let used = match within(deadline, secret.cached.current()).await {
            Ok(current) => current,
            Err(text) => return unsent(request, text),
        };
        if let Err(text) = secret.send_by(&self.client, &used) {
            return unsent(request, text);
        }
        let mut outcome = self.client.export(stream, request, deadline).await;
        let refused: Vec<UndeliveredPart> =
            outcome.parts.extract_if(.., |part| part.reason.refuses_credentials()).collect();
        let mut failure = used.failure.map(|failure| failure.to_string());
        if !refused.is_empty() {
            let newer = within(deadline, secret.cached.reread()).await.and_then(|newer| {
                secret.send_by(&self.client, &newer)?;
                Ok(newer)
            });
            let is_new = newer.as_ref().is_ok_and(|newer| newer.version > used.version);
            // After the deadline nothing is sent, and the refusal is the more useful reason.
            if is_new && Instant::now() < deadline {
                for part in refused {
                    outcome += self.client.export(stream, part.request, deadline).await;
                }
            } else {
                outcome.parts.extend(refused);
            }
            failure = match newer {
                Ok(newer) => newer.failure.map(|failure| failure.to_string()),
                Err(text) => Some(text),
            };
        }
        if let Some(failure) = failure {
            outcome.warn(format!("the previous secret stays in use: {failure}"));
        }
        outcome
    }
}

/// Reads the secret once into the destination's headers, for one-off checks of a backend. The error is for a person.
pub async fn read_secret<S: SecretService>(
    destination: &mut DestinationConfig,
    cached: &CachedSecret<S>,
) -> Result<(), String> {
    destination.secret = None;
    let current = cached.current().await.map_err(|error| error.to_string())?;
    authorize(&mut destination.headers, &current)
}

fn authorize(headers: &mut Headers, current: &CurrentSecret) -> Result<(), String> {
    headers.set("authorization", current.authorization.expose())
}

impl<S> OwnSecret<S> {
    /// Makes the client use this version unless it uses a newer one.
    fn send_by<T: Transport>(
        &self,
        client: &Client<T>,
        current: &CurrentSecret,
    ) -> Result<(), String> {
        let mut sent = self.sent_version.lock().unwrap_or_else(PoisonError::into_inner);
        if current.version > *sent {
            let mut headers = self.headers.clone();
            authorize(&mut headers, current)?;
            client.set_headers(&headers).map_err(|error| error.to_string())?;
            *sent = current.version;
        }
        Ok(())
    }
}

/// Reads the secret before the deadline. The error is for a person.
async fn within(
    deadline: Instant,
    reading: impl Future<Output = Result<CurrentSecret, SecretError>>,
) -> Result<CurrentSecret, String> {
    match timeout_at(deadline, reading).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the secret was not read before the deadline".to_owned()),
    }
}

fn unsent(request: Request, text: String) -> Outcome {
    Outcome::unsent(request, Reason::Credentials { text }, Fate::ParkWithAlarm)
}

#[cfg(test)]
mod tests;
