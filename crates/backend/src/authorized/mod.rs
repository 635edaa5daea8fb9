//! A client with the secret it sends: loaded before the first request, read again when the backend refuses it.

use crate::client::Client;
use crate::destination::DestinationConfig;
use crate::export::{Fate, Outcome, Undelivered};
use crate::http::{ClientError, HttpTransport, Transport};
use crate::judge::Reason;
use aws::{AwsSecrets, CachedSecret, CurrentSecret, SecretError, SecretService};
use settings::Headers;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, timeout_at};
use wire::Request;

/// Sends to one destination, with that destination's credentials and no others.
#[derive(Debug)]
pub struct Authorized<T = HttpTransport, S = AwsSecrets> {
    client: Client<T>,
    secret: Option<OwnSecret<S>>,
}

/// The destination's secret, and which version of it the client sends.
#[derive(Debug)]
struct OwnSecret<S> {
    cached: Arc<CachedSecret<S>>,
    /// The destination's headers; the secret takes the place of their authorization.
    headers: Headers,
    /// Held while headers are set: an older version never replaces a newer one.
    sent_version: Mutex<u64>,
}

impl<S: SecretService> Authorized<HttpTransport, Arc<S>> {
    /// Sends to this destination; its secret, if it has one, is read from this service, which destinations may share.
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
    /// Sends by this client, with this secret in place of the authorization of `headers`. The client must have been made for
    /// the destination that headers and secret belong to; clients of one destination may share the secret.
    pub fn with_client(
        client: Client<T>,
        headers: Headers,
        secret: Option<Arc<CachedSecret<S>>>,
    ) -> Self {
        let secret =
            secret.map(|cached| OwnSecret { cached, headers, sent_version: Mutex::new(0) });
        Self { client, secret }
    }

    /// The client, for its profile and to drop its connections.
    pub fn client(&self) -> &Client<T> {
        &self.client
    }

    /// Delivers the request as [`Client::export`] does. If the backend answers 401 or 403 the secret is read once more, and
    /// what was refused is sent again if it has changed. A request whose secret has never been read is parked unsent.
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
        let refused: Vec<Undelivered> =
            outcome.parts.extract_if(.., |part| part.reason.refuses_credentials()).collect();
        let mut failure = used.failure.map(|failure| failure.to_string());
        if !refused.is_empty() {
            let newer = within(deadline, secret.cached.reread()).await.and_then(|newer| {
                secret.send_by(&self.client, &newer)?;
                Ok(newer)
            });
            let is_new = newer.as_ref().is_ok_and(|newer| newer.version > used.version);
            // After the deadline nothing is sent, and the refusal says more than the deadline.
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
            outcome.warn(format!("the secret before is still used: {failure}"));
        }
        outcome
    }
}

/// Reads the secret once, and puts it among the destination's headers, which then names none: for whoever looks at a backend and is
/// done. The error is for a person.
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
    /// Has the client send this version from now on, unless it sends a newer one.
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

/// The secret before the deadline; the error is for a person.
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
