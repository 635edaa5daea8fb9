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
mod tests {
    use super::*;
    use crate::export::RetryPolicy;
    use crate::http::{HttpRequest, HttpResponse, TransportError};
    use bytes::Bytes;
    use http::HeaderMap;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use settings::{Secret, SecretReference};
    use std::collections::{BTreeMap, VecDeque};
    use std::time::Duration;
    use tokio::time::{advance, sleep};
    use url::Url;

    /// Accepts one password, which may change, and refuses some requests regardless of their content.
    #[derive(Debug, Default)]
    struct Backend {
        password: Mutex<String>,
        /// Statuses for the first requests with the right password; 200 after that.
        statuses: Mutex<VecDeque<u16>>,
        /// Authorization header, bytes, status.
        seen: Mutex<Vec<(String, usize, u16)>>,
        stored: Mutex<BTreeMap<u64, usize>>,
    }

    impl Backend {
        fn seen(&self) -> Vec<String> {
            let seen = self.seen.lock().unwrap();
            seen.iter().map(|(header, _, status)| format!("{header} {status}")).collect()
        }
    }

    impl Transport for Backend {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
            sleep(Duration::from_millis(10)).await;
            let header = request.headers.get("authorization");
            let header =
                header.map_or("none".to_owned(), |value| value.to_str().unwrap().to_owned());
            let right = *self.password.lock().unwrap() == header;
            let scripted =
                if right { self.statuses.lock().unwrap().pop_front() } else { Some(401) };
            let status = scripted.unwrap_or(200);
            if status == 200 {
                let body = wire::gzip::inflate(&request.body, 1 << 20).unwrap();
                let mut stored = self.stored.lock().unwrap();
                for number in numbers(&body) {
                    *stored.entry(number).or_default() += 1;
                }
            }
            self.seen.lock().unwrap().push((header, request.body.len(), status));
            Ok(HttpResponse { status, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
        }
    }

    /// Returns the configured secrets in turn.
    #[derive(Debug, Default)]
    struct Service {
        value: Mutex<Option<String>>,
        asked: Mutex<usize>,
    }

    impl SecretService for Service {
        async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
            sleep(Duration::from_millis(10)).await;
            *self.asked.lock().unwrap() += 1;
            self.value.lock().unwrap().clone().map(Secret::new).ok_or_else(|| {
                SecretError::NoResponse { secret: reference.to_string(), text: "down".to_owned() }
            })
        }

        fn wall_clock(&self) -> std::time::SystemTime {
            std::time::UNIX_EPOCH
        }
    }

    struct Scene {
        authorized: Authorized<Arc<Backend>, Arc<Service>>,
        backend: Arc<Backend>,
        service: Arc<Service>,
    }

    impl Scene {
        /// The backend accepts `password`, the service returns `secret`.
        fn new(password: &str, secret: Option<&str>) -> Self {
            let backend = Arc::new(Backend::default());
            let service = Arc::new(Service::default());
            let mut destination =
                DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
            destination.headers.push("authorization", "Basic of-the-variable").unwrap();
            // Every item alone.
            destination.max_request_bytes = 1;
            let policy = RetryPolicy::new(0, MS, MS, Duration::from_secs(10)).unwrap();
            let client = Client::with_transport(&destination, Arc::clone(&backend)).unwrap();
            let cached = CachedSecret::new(
                Arc::clone(&service),
                SecretReference::parse("ssm:/o2").unwrap(),
                Duration::from_mins(5),
            );
            let headers = destination.headers.clone();
            let client = client.with_retry_policy(policy);
            let authorized = Authorized::with_client(client, headers, Some(Arc::new(cached)));
            let scene = Self { authorized, backend, service };
            scene.rotate(password, secret);
            scene
        }

        fn rotate(&self, password: &str, secret: Option<&str>) {
            *self.backend.password.lock().unwrap() = password.to_owned();
            *self.service.value.lock().unwrap() = secret.map(str::to_owned);
        }

        async fn export(&self, items: u64) -> Outcome {
            let deadline = Instant::now() + Duration::from_secs(30);
            self.authorized.export(None, numbered(items), deadline).await
        }

        fn asked(&self) -> usize {
            *self.service.asked.lock().unwrap()
        }
    }

    const MS: Duration = Duration::from_millis(1);
    const OLD: &str = "Bearer old";
    const NEW: &str = "Bearer new";

    /// Log records with the times 1, 2, ….
    fn numbered(records: u64) -> Request {
        let log_record = |time_unix_nano| LogRecord { time_unix_nano, ..Default::default() };
        Request::of_log_records(None, (1..=records).map(log_record).collect())
    }

    fn numbers(body: &[u8]) -> Vec<u64> {
        let decoded: ExportLogsServiceRequest = prost::Message::decode(body).unwrap();
        let scopes = decoded.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        scopes.flat_map(|scope| &scope.log_records).map(|record| record.time_unix_nano).collect()
    }

    fn reasons(outcome: &Outcome) -> Vec<String> {
        outcome
            .parts
            .iter()
            .map(|part| format!("{} {:?}: {}", part.items, part.fate, part.reason))
            .collect()
    }

    const REFUSED: &str =
        "1 ParkWithAlarm: answered 401 Unauthorized: check the authorization header";

    #[tokio::test(start_paused = true)]
    async fn the_secret_is_read_once_and_replaces_the_header() {
        let scene = Scene::new(OLD, Some(OLD));
        assert_eq!(scene.export(1).await.accepted, 1);
        assert_eq!(scene.export(1).await.accepted, 1);
        assert_eq!(scene.backend.seen(), ["Bearer old 200"; 2]);
        assert_eq!(scene.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_secret_all_items_are_parked_with_alarm() {
        let scene = Scene::new(OLD, None);
        let outcome = scene.export(3).await;
        assert_eq!(
            reasons(&outcome),
            ["3 ParkWithAlarm: not sent: no credentials: cannot read ssm:/o2: down"]
        );
        assert_eq!((scene.backend.seen().len(), scene.asked()), (0, 1));
        // Reads again after a while, not at every request.
        assert_eq!(scene.export(1).await.accepted, 0);
        assert_eq!(scene.asked(), 1);
        advance(Duration::from_secs(5)).await;
        scene.rotate(OLD, Some(OLD));
        assert_eq!(scene.export(1).await.accepted, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_items_are_resent_with_the_rotated_secret() {
        let scene = Scene::new(OLD, Some(OLD));
        assert_eq!(scene.export(1).await.accepted, 1);
        advance(Duration::from_secs(10)).await;
        scene.rotate(NEW, Some(NEW));
        let outcome = scene.export(3).await;
        assert_eq!((outcome.accepted, outcome.requests_sent, reasons(&outcome)), (3, 4, vec![]));
        let seen = scene.backend.seen();
        assert_eq!(
            seen[1..],
            ["Bearer old 401", "Bearer new 200", "Bearer new 200", "Bearer new 200"]
        );
        assert_eq!(scene.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_secret_causes_no_resend() {
        let scene = Scene::new(NEW, Some(OLD));
        let outcome = scene.export(1).await;
        assert_eq!(reasons(&outcome), [REFUSED]);
        advance(Duration::from_secs(10)).await;
        let outcome = scene.export(1).await;
        assert_eq!((reasons(&outcome), outcome.warning.as_str()), (vec![REFUSED.to_owned()], ""));
        assert_eq!(scene.backend.seen(), ["Bearer old 401"; 2]);
        assert_eq!(scene.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn other_errors_do_not_reread_the_secret() {
        let scene = Scene::new(OLD, Some(OLD));
        assert_eq!(scene.export(1).await.accepted, 1);
        // Until then, no status would cause another read.
        advance(Duration::from_secs(10)).await;
        scene.backend.statuses.lock().unwrap().extend([503, 404]);
        let outcome = scene.export(1).await;
        assert_eq!(reasons(&outcome), ["1 Park: answered 503 Service Unavailable"]);
        assert_eq!(scene.export(1).await.undelivered(), 1);
        assert_eq!(scene.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_bounds_the_secret_read() {
        let scene = Scene::new(OLD, Some(OLD));
        let outcome = scene.authorized.export(None, numbered(1), Instant::now() + 5 * MS).await;
        assert_eq!(
            reasons(&outcome),
            [
                "1 ParkWithAlarm: not sent: no credentials: the secret was not read before the deadline"
            ]
        );
    }
}
