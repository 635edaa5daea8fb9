//! The columns of OpenObserve's streams of logs and traces, read and declared by its API.
//!
//! The values of a log record have types. None meets a column that cannot hold it, and no column changes its type:
//! [`types`](crate::sanitize::types). The values of a span are texts. If concurrent requests add columns, OpenObserve stores the
//! spans of all but one request without them. It loses nothing if the columns were declared.
//!
//! A request whose keys and types were sent before costs no call. Otherwise the stream's schema is read. Columns that are missing
//! there are declared, and the schema is read again before the request is sent. A missing stream of logs is declared too. The
//! first spans make their stream.
//!
//! Several environments may declare one column at once. OpenObserve applies one declaration at a time. It keeps the more general
//! type, of which texts are the most general. So an environment that declares another type waits before it reads the schema again
//! and sends rows: then each environment that saw the schema without the column has declared its own type.

use crate::destination::DestinationConfig;
use crate::http::{HttpResponse, Transport, TransportError};
use crate::sanitize::span_columns::SpanColumns;
use crate::sanitize::stored_stream;
use crate::sanitize::types::{ColumnType, KnownShapes, Schema, Wanted};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use url::Url;
use wire::{Request, SignalKind};

/// OpenObserve's default stream.
const DEFAULT_STREAM: &str = "default";

/// Time limit of one call. Telemetry waits for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before the schema is read again after a declaration of numbers, at least and at most.
const LEAST_SETTLING: Duration = Duration::from_millis(250);
const MOST_SETTLING: Duration = Duration::from_secs(1);

/// The column of a record's time. A stream without it cannot be searched.
const TIMESTAMP: &str = "_timestamp";

/// Size limit of a schema: 10,000 columns, and the stream's settings.
const MOST_BYTES: usize = 4 << 20;

/// A stream with more columns is not adapted to.
const MOST_COLUMNS: usize = 10_000;

/// Above this number of streams, all schemas are forgotten.
const MOST_STREAMS: usize = 32;

/// The pause after a refused call.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_mins(10);
/// OpenObserve's answer with 404 to calls for an organization that does not exist, measured on 0.93-dev. Other unknown paths have an
/// empty answer.
const NO_ORGANIZATION: &[u8] = b"Organization not found";
/// The pause after a call without an answer, or with an error of the server.
const PAUSE_WITHOUT_ANSWER: Duration = Duration::from_secs(30);

/// Schemas of the streams of one destination.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    known: Mutex<KnownShapes>,
    logs: tokio::sync::Mutex<Read>,
    traces: tokio::sync::Mutex<Read>,
}

/// What is known about the streams of one signal. Its lock is held during calls, so that parallel deliveries do not ask twice.
#[derive(Debug, Default)]
struct Read {
    streams: HashMap<String, Schema>,
    /// No schema is read until then.
    paused_until: Option<Instant>,
    /// No column is declared until then.
    undeclared_until: Option<Instant>,
}

/// A destination, to be asked until the deadline.
pub(crate) struct StreamsApi<'a, T> {
    pub(crate) transport: &'a T,
    pub(crate) destination: &'a DestinationConfig,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) deadline: Instant,
}

/// The part of a schema that is used.
#[derive(Deserialize)]
struct StreamSchema<'a> {
    #[serde(borrow)]
    schema: Vec<Column<'a>>,
}

#[derive(Deserialize)]
struct Column<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    of_column: Cow<'a, str>,
}

/// A request whose values fit the columns of its stream, as far as possible.
pub(crate) struct FittedRequest {
    pub(crate) request: Request,
    /// Empty if there is none.
    pub(crate) warning: String,
}

impl FittedRequest {
    fn without_warning(request: Request) -> Self {
        Self { request, warning: String::new() }
    }
}

/// The result of declaring the columns of spans.
#[derive(Default)]
pub(crate) struct Declaration {
    /// `true` if the stream has all of them.
    pub(crate) is_complete: bool,
    /// Empty if there is none.
    pub(crate) warning: String,
}

/// A schema that could not be read or changed.
struct Refused {
    /// A warning; empty if there is none.
    text: String,
    pause: Duration,
}

impl Schemas {
    /// Returns the request such that each value fits its column.
    pub(crate) async fn fit<T: Transport>(
        &self,
        api: &StreamsApi<'_, T>,
        stream: &[u8],
        request: Request,
    ) -> FittedRequest {
        let is_new = self.with_known(|known| known.has_new(stream, &request));
        let of_new = is_new.then(|| Streams::of(SignalKind::Logs, api.destination)).flatten();
        let Some(streams) = of_new else { return FittedRequest::without_warning(request) };
        let name = name(stream);
        let mut read = self.logs.lock().await;
        if read.is_paused() {
            return FittedRequest::without_warning(request);
        }
        let mut request = request;
        // A column of its own may be missing too.
        for _ in 0..2 {
            // Another delivery may have sent the same shapes meanwhile.
            let new = self.with_known(|known| known.new_in(stream, &request));
            if new.shapes.is_empty() {
                break;
            }
            let is_complete = match read.prepare(api, &streams, &name, &new.wanted).await {
                Ok(is_complete) => is_complete,
                Err(refused) => {
                    let fitting = read.fit(&name, &new.wanted, &request);
                    return FittedRequest {
                        request: fitting.unwrap_or(request),
                        warning: refused.text,
                    };
                }
            };
            let Some(fitting) = read.fit(&name, &new.wanted, &request) else {
                if is_complete {
                    self.with_known(|known| known.add(new.shapes));
                }
                break;
            };
            request = fitting;
        }
        FittedRequest::without_warning(request)
    }

    /// Declares the columns of these spans.
    pub(crate) async fn declare_spans<T: Transport>(
        &self,
        api: &StreamsApi<'_, T>,
        stream: &[u8],
        spans: &Request,
    ) -> Declaration {
        let Some(streams) = Streams::of(SignalKind::Traces, api.destination) else {
            return Declaration::default();
        };
        let name = name(stream);
        let mut read = self.traces.lock().await;
        if read.is_paused() {
            return Declaration::default();
        }
        let SpanColumns { wanted, has_others } = SpanColumns::of(spans);
        match read.prepare(api, &streams, &name, &wanted).await {
            Ok(_) => {
                let schema = read.streams.get(&name);
                let has_wanted = schema.is_some_and(|schema| schema.missing(&wanted).is_empty());
                let is_complete = has_wanted && !has_others;
                Declaration { is_complete, warning: String::new() }
            }
            Err(refused) => Declaration { is_complete: false, warning: refused.text },
        }
    }

    fn with_known<R>(&self, with: impl FnOnce(&mut KnownShapes) -> R) -> R {
        // The set stays usable if another thread panics.
        with(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the name by which the API knows a stream.
fn name(stream: &[u8]) -> String {
    match String::from_utf8_lossy(stream) {
        name if name.is_empty() => DEFAULT_STREAM.to_owned(),
        name => stored_stream(&name),
    }
}

impl Read {
    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns the request with each value in a column that holds it; `None` if all do, or if the schema is unknown.
    fn fit(&self, stream: &str, wanted: &Wanted, request: &Request) -> Option<Request> {
        let schema = self.streams.get(stream).filter(|schema| !schema.fits(wanted))?;
        schema.fit(request)
    }

    /// Adds the columns that the stream lacks for these values. Returns `true` if it has all, as far as possible.
    async fn prepare<T: Transport>(
        &mut self,
        api: &StreamsApi<'_, T>,
        streams: &Streams,
        stream: &str,
        wanted: &Wanted,
    ) -> Result<bool, Refused> {
        if self.streams.get(stream).is_some_and(|schema| schema.missing(wanted).is_empty()) {
            return Ok(true);
        }
        // Another environment may have declared another type, so that values need columns of their own.
        for _ in 0..3 {
            let start = Instant::now();
            let schema = self.read(api, streams, stream).await?;
            let is_stream = schema.is_some();
            let mut missing = match schema {
                Some(schema) => schema.missing(wanted),
                None if streams.kind == SignalKind::Traces => return Ok(false),
                None => Schema::default().missing(wanted),
            };
            if missing.is_empty() && is_stream {
                return Ok(true);
            }
            if self.undeclared_until.is_some_and(|until| Instant::now() < until) {
                return Ok(false);
            }
            let is_settled = missing.values().all(|it| *it == ColumnType::Text);
            if !is_stream {
                missing.insert(TIMESTAMP.to_owned(), ColumnType::Integer);
            }
            let declared = api.declare(streams, stream, &missing).await;
            if let Err(Refused { text, pause }) = declared {
                self.undeclared_until = Some(Instant::now() + pause);
                return Err(Refused { text, pause });
            }
            if !is_settled {
                let pause = (start.elapsed() * 3).clamp(LEAST_SETTLING, MOST_SETTLING);
                sleep(pause.min(api.left() / 4)).await;
            }
        }
        // The columns are there. The server may hide some from the schema.
        Ok(true)
    }

    /// Reads the schema; `None` if there is no such stream.
    async fn read<T: Transport>(
        &mut self,
        api: &StreamsApi<'_, T>,
        streams: &Streams,
        stream: &str,
    ) -> Result<Option<&Schema>, Refused> {
        let found = api.read(streams, stream).await;
        if self.streams.len() >= MOST_STREAMS {
            self.streams.clear();
        }
        match found {
            Ok(Some(schema)) => {
                self.streams.insert(stream.to_owned(), schema);
            }
            Ok(None) => drop(self.streams.remove(stream)),
            Err(refused) => {
                self.paused_until = Some(Instant::now() + refused.pause);
                return Err(refused);
            }
        }
        Ok(self.streams.get(stream))
    }
}

/// The streams of one signal in the destination's organization.
struct Streams {
    kind: SignalKind,
    url: Url,
}

impl Streams {
    /// Returns `None` if the endpoint is not OpenObserve's by HTTP.
    fn of(kind: SignalKind, destination: &DestinationConfig) -> Option<Self> {
        let mut url = destination.endpoints.of(kind).clone();
        let path = url.path().strip_suffix(kind.path())?.to_owned();
        if !path.contains("/api/") {
            return None;
        }
        url.set_path(&format!("{}/streams", path.trim_end_matches('/')));
        url.set_query(Some(&format!("type={}", kind.as_str())));
        Some(Self { kind, url })
    }

    fn url(&self, stream: &str, end: &str) -> Option<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut().ok()?.push(stream).push(end);
        Some(url)
    }

    /// The effect of an unknown schema.
    fn consequence(&self) -> &'static str {
        match self.kind {
            SignalKind::Traces => "spans of concurrent requests may lose new attributes",
            _ => "numbers and texts of one field may share a column",
        }
    }
}

impl<T: Transport> StreamsApi<'_, T> {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn read(&self, streams: &Streams, stream: &str) -> Result<Option<Schema>, Refused> {
        let Some(url) = streams.url(stream, "schema") else { return Ok(None) };
        let consequence = streams.consequence();
        let what = format!("cannot read the columns of stream {stream}");
        let answer = self.call(Method::GET, &url, None).await;
        let response = match checked(&what, consequence, answer) {
            Ok(response) if response.status == 404 => return Ok(None),
            checked => checked?,
        };
        let refused = |text: &str| Refused {
            text: format!("{what}: {text}; {consequence}"),
            pause: PAUSE_AFTER_REFUSAL,
        };
        if response.cut {
            return Err(refused("the schema has more than 4 MiB"));
        }
        let Ok(StreamSchema { schema: columns }) = serde_json::from_slice(&response.body) else {
            return Err(refused("the answer is no schema"));
        };
        if columns.len() > MOST_COLUMNS {
            return Err(refused("it has more than 10,000 columns"));
        }
        let column = |column: Column<'_>| {
            Some((column.name.into_owned(), ColumnType::named(&column.of_column)?))
        };
        Ok(Some(Schema { columns: columns.into_iter().filter_map(column).collect() }))
    }

    async fn declare(
        &self,
        streams: &Streams,
        stream: &str,
        columns: &BTreeMap<String, ColumnType>,
    ) -> Result<(), Refused> {
        let Some(url) = streams.url(stream, "update_fields") else { return Ok(()) };
        let fields: Vec<Json> = columns
            .iter()
            .map(|(name, of_column)| {
                let is_nullable = name != TIMESTAMP;
                json!({ "name": name, "data_type": of_column.name(), "nullable": is_nullable })
            })
            .collect();
        let json = json!({ "fields": fields }).to_string();
        let response = self.call(Method::PUT, &url, Some(json)).await;
        let what = format!("cannot declare columns of stream {stream}");
        // 400: another environment changed the schema in the same microsecond.
        match checked(&what, streams.consequence(), response) {
            // The telemetry that follows makes the organization, so the next request declares its columns.
            Ok(response)
                if response.status == 404 && response.body.starts_with(NO_ORGANIZATION) =>
            {
                Err(Refused { text: String::new(), pause: Duration::ZERO })
            }
            Ok(response) if response.status == 404 => Err(Refused {
                text: format!("{what}: answered 404: OpenObserve is too old to declare columns"),
                pause: PAUSE_AFTER_REFUSAL,
            }),
            Ok(_) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    async fn call(
        &self,
        method: Method,
        url: &Url,
        json: Option<String>,
    ) -> Result<HttpResponse, TransportError> {
        let timeout = CALL_TIMEOUT.min(self.left() / 2);
        self.transport.ask_api(method, url, json, self.headers.clone(), timeout, MOST_BYTES).await
    }
}

/// Returns the response to a call, unless it is a refusal. 400 and 404 are for the caller.
fn checked(
    what: &str,
    consequence: &str,
    response: Result<HttpResponse, TransportError>,
) -> Result<HttpResponse, Refused> {
    match response {
        Ok(response) if response.is_success() || matches!(response.status, 400 | 404) => {
            Ok(response)
        }
        Ok(response) => {
            let status = response.status;
            let remedy = match status {
                401 | 403 => {
                    ": use the password of a user, because an ingestion token may only write"
                }
                _ => "",
            };
            let pause = if status < 500 { PAUSE_AFTER_REFUSAL } else { PAUSE_WITHOUT_ANSWER };
            Err(Refused {
                text: format!("{what}: answered {status}{remedy}; {consequence}"),
                pause,
            })
        }
        Err(error) => Err(Refused {
            text: format!("{what}: {error}; {consequence}"),
            pause: PAUSE_WITHOUT_ANSWER,
        }),
    }
}
