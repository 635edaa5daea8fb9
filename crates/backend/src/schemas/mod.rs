//! The columns of OpenObserve's streams of logs and traces, read and declared by its API.
//!
//! The values of a log record have types. None meets a column that cannot hold it, and no column changes its type:
//! `column_types`. The values of a span are texts. If concurrent requests add columns, OpenObserve stores the
//! spans of all but one request without them. It loses nothing if the columns were declared.
//!
//! A request whose keys and types were sent before costs no call. Otherwise the stream's schema is read. Columns that are missing
//! there are declared, and the schema is read again before the request is sent. A missing stream of logs is declared too. The
//! first spans make their stream.
//!
//! Several environments may declare one column at once. OpenObserve applies one declaration at a time. It keeps the more general
//! type, of which texts are the most general. So an environment that declares another type waits before it reads the schema again
//! and sends rows: then each environment that saw the schema without the column has declared its own type. An environment that finds
//! such a column, which it did not find before, waits too. Only the first reading of an environment cannot know how old a column is.

mod column_types;
mod shapes;
mod span_columns;

use crate::destination::DestinationConfig;
use crate::http::{HttpResponse, Transport, TransportError};
use crate::sanitize::stored_stream;
use column_types::{ColumnType, Schema, WantedColumns};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shapes::KnownShapes;
use span_columns::SpanColumns;
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
const MAX_SETTLING: Duration = Duration::from_secs(1);

/// The column of a record's time. A stream without it cannot be searched.
const TIMESTAMP: &str = "_timestamp";

/// Size limit of a schema: 10,000 columns, and the stream's settings.
const MAX_BYTES: usize = 4 << 20;

/// A stream with more columns is not adapted to.
const MAX_COLUMNS: usize = 10_000;

/// Above this number of streams, all schemas are forgotten.
const MAX_STREAMS: usize = 32;

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
    logs: tokio::sync::Mutex<SignalSchemas>,
    traces: tokio::sync::Mutex<SignalSchemas>,
}

/// What is known about the streams of one signal. Its lock is held during calls, so that parallel deliveries do not ask twice.
#[derive(Debug, Default)]
struct SignalSchemas {
    /// By the name of the stream.
    schemas: HashMap<String, Schema>,
    /// No schema is read until then.
    reading_paused_until: Option<Instant>,
    /// No column is declared until then.
    declaring_paused_until: Option<Instant>,
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
    type_name: Cow<'a, str>,
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
struct FailedCall {
    /// Empty if there is none.
    warning: String,
    /// The time without such calls after it.
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
        let has_new_shapes = self.with_known(|known| known.has_new(stream, &request));
        if !has_new_shapes {
            return FittedRequest::without_warning(request);
        }
        let Some(streams) = StreamsOfSignal::of(SignalKind::Logs, api.destination) else {
            return FittedRequest::without_warning(request);
        };
        let name = stored_name(stream);
        let mut schemas = self.logs.lock().await;
        if schemas.is_reading_paused() {
            return FittedRequest::without_warning(request);
        }
        let mut request = request;
        // The columns that values get because other types have theirs may be missing too.
        for _ in 0..2 {
            // Another delivery may have sent the same shapes meanwhile.
            let new = self.with_known(|known| known.new_in(stream, &request));
            if new.shapes.is_empty() {
                break;
            }
            let declared = schemas.declare_missing(api, &streams, &name, &new.wanted).await;
            let fitting = schemas.fit(&name, &new.wanted, &request);
            let has_all = match declared {
                Ok(has_all) => has_all,
                Err(FailedCall { warning, .. }) => {
                    return FittedRequest { request: fitting.unwrap_or(request), warning };
                }
            };
            let Some(fitting) = fitting else {
                if has_all {
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
        let Some(streams) = StreamsOfSignal::of(SignalKind::Traces, api.destination) else {
            return Declaration::default();
        };
        let name = stored_name(stream);
        let mut schemas = self.traces.lock().await;
        if schemas.is_reading_paused() {
            return Declaration::default();
        }
        let SpanColumns { wanted, has_others } = SpanColumns::of(spans);
        match schemas.declare_missing(api, &streams, &name, &wanted).await {
            Ok(_) => Declaration {
                is_complete: schemas.has_columns(&name, &wanted) && !has_others,
                warning: String::new(),
            },
            Err(FailedCall { warning, .. }) => Declaration { is_complete: false, warning },
        }
    }

    fn with_known<R>(&self, with: impl FnOnce(&mut KnownShapes) -> R) -> R {
        // The set stays usable if another thread panics.
        with(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the name by which the API knows a stream.
fn stored_name(stream: &[u8]) -> String {
    match String::from_utf8_lossy(stream) {
        name if name.is_empty() => DEFAULT_STREAM.to_owned(),
        name => stored_stream(&name),
    }
}

impl SignalSchemas {
    fn is_reading_paused(&self) -> bool {
        self.reading_paused_until.is_some_and(|until| Instant::now() < until)
    }

    fn is_declaring_paused(&self) -> bool {
        self.declaring_paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns `true` if the known schema of the stream has all columns of these values.
    fn has_columns(&self, stream: &str, wanted: &WantedColumns) -> bool {
        self.schemas.get(stream).is_some_and(|schema| schema.missing(wanted).is_empty())
    }

    /// Returns the request with each value in a column that holds it; `None` if all do, or if the schema is unknown.
    fn fit(&self, stream: &str, wanted: &WantedColumns, request: &Request) -> Option<Request> {
        let schema = self.schemas.get(stream).filter(|schema| !schema.fits(wanted))?;
        schema.fit(request)
    }

    /// Adds the columns that the stream lacks for these values. Returns `true` if it has all, as far as possible.
    async fn declare_missing<T: Transport>(
        &mut self,
        api: &StreamsApi<'_, T>,
        streams: &StreamsOfSignal,
        stream: &str,
        wanted: &WantedColumns,
    ) -> Result<bool, FailedCall> {
        if self.has_columns(stream, wanted) {
            return Ok(true);
        }
        // Another environment may have declared another type, so that values need columns of their own.
        for attempt in 0..3 {
            let start = Instant::now();
            let Reading { schema, earlier } = self.reload(api, streams, stream).await?;
            let exists = schema.is_some();
            // The declaration of a text may still be on its way to a column that another environment declared meanwhile.
            let mut is_settled = attempt > 0
                || !schema.zip(earlier).is_some_and(|(now, earlier)| now.gained(&earlier, wanted));
            let mut missing = match schema {
                Some(schema) => schema.missing(wanted),
                None if streams.kind == SignalKind::Traces => return Ok(false),
                None => Schema::default().missing(wanted),
            };
            if missing.is_empty() && exists {
                if is_settled {
                    return Ok(true);
                }
            } else {
                if self.is_declaring_paused() {
                    return Ok(false);
                }
                // Texts are the most general type, so other environments change nothing.
                is_settled &= missing.values().all(|it| *it == ColumnType::Text);
                if !exists {
                    missing.insert(TIMESTAMP.to_owned(), ColumnType::Integer);
                }
                let declared = api.declare(streams, stream, &missing).await;
                declared.inspect_err(|failed| {
                    self.declaring_paused_until = Some(Instant::now() + failed.pause);
                })?;
            }
            if !is_settled {
                let pause = (start.elapsed() * 3).clamp(LEAST_SETTLING, MAX_SETTLING);
                sleep(pause.min(api.time_left() / 4)).await;
            }
        }
        // The columns are there. The server may hide some from the schema.
        Ok(true)
    }

    /// Reads the schema again.
    async fn reload<T: Transport>(
        &mut self,
        api: &StreamsApi<'_, T>,
        streams: &StreamsOfSignal,
        stream: &str,
    ) -> Result<Reading<'_>, FailedCall> {
        let found = api.read(streams, stream).await;
        if self.schemas.len() >= MAX_STREAMS {
            self.schemas.clear();
        }
        let earlier = match found {
            Ok(Some(schema)) => self.schemas.insert(stream.to_owned(), schema),
            Ok(None) => self.schemas.remove(stream),
            Err(failed) => {
                self.reading_paused_until = Some(Instant::now() + failed.pause);
                return Err(failed);
            }
        };
        Ok(Reading { schema: self.schemas.get(stream), earlier })
    }
}

/// A schema that was read again.
struct Reading<'s> {
    /// `None` if there is no such stream.
    schema: Option<&'s Schema>,
    /// What was known before; `None` if nothing was.
    earlier: Option<Schema>,
}

/// The streams of one signal in the destination's organization.
struct StreamsOfSignal {
    kind: SignalKind,
    url: Url,
}

impl StreamsOfSignal {
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
    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn read(
        &self,
        streams: &StreamsOfSignal,
        stream: &str,
    ) -> Result<Option<Schema>, FailedCall> {
        let Some(url) = streams.url(stream, "schema") else { return Ok(None) };
        let consequence = streams.consequence();
        let what = format!("cannot read the columns of stream {stream}");
        let answer = self.call(Method::GET, &url, None).await;
        let response = check_response(&what, consequence, answer)?;
        if response.status == 404 {
            return Ok(None);
        }
        let unusable = |problem: &str| FailedCall {
            warning: format!("{what}: {problem}; {consequence}"),
            pause: PAUSE_AFTER_REFUSAL,
        };
        if response.cut {
            return Err(unusable("the schema has more than 4 MiB"));
        }
        let Ok(StreamSchema { schema: columns }) = serde_json::from_slice(&response.body) else {
            return Err(unusable("the answer is no schema"));
        };
        if columns.len() > MAX_COLUMNS {
            return Err(unusable("it has more than 10,000 columns"));
        }
        let column = |column: Column<'_>| {
            Some((column.name.into_owned(), ColumnType::named(&column.type_name)?))
        };
        Ok(Some(Schema { columns: columns.into_iter().filter_map(column).collect() }))
    }

    async fn declare(
        &self,
        streams: &StreamsOfSignal,
        stream: &str,
        columns: &BTreeMap<String, ColumnType>,
    ) -> Result<(), FailedCall> {
        let Some(url) = streams.url(stream, "update_fields") else { return Ok(()) };
        let fields: Vec<Json> = columns
            .iter()
            .map(|(name, column_type)| {
                let is_nullable = name != TIMESTAMP;
                json!({ "name": name, "data_type": column_type.name(), "nullable": is_nullable })
            })
            .collect();
        let json = json!({ "fields": fields }).to_string();
        let answer = self.call(Method::PUT, &url, Some(json)).await;
        let what = format!("cannot declare columns of stream {stream}");
        // 400: another environment changed the schema in the same microsecond.
        let response = check_response(&what, streams.consequence(), answer)?;
        if response.status != 404 {
            return Ok(());
        }
        // The telemetry that follows makes the organization, so the next request declares its columns.
        if response.body.starts_with(NO_ORGANIZATION) {
            return Err(FailedCall { warning: String::new(), pause: Duration::ZERO });
        }
        Err(FailedCall {
            warning: format!("{what}: answered 404: OpenObserve is too old to declare columns"),
            pause: PAUSE_AFTER_REFUSAL,
        })
    }

    async fn call(
        &self,
        method: Method,
        url: &Url,
        json: Option<String>,
    ) -> Result<HttpResponse, TransportError> {
        let timeout = CALL_TIMEOUT.min(self.time_left() / 2);
        self.transport.ask_api(method, url, json, self.headers.clone(), timeout, MAX_BYTES).await
    }
}

/// Returns the response to a call, unless it is a refusal. 400 and 404 are for the caller.
fn check_response(
    what: &str,
    consequence: &str,
    response: Result<HttpResponse, TransportError>,
) -> Result<HttpResponse, FailedCall> {
    let response = response.map_err(|error| FailedCall {
        warning: format!("{what}: {error}; {consequence}"),
        pause: PAUSE_WITHOUT_ANSWER,
    })?;
    let status = response.status;
    if response.is_success() || matches!(status, 400 | 404) {
        return Ok(response);
    }
    let remedy = match status {
        401 | 403 => ": use the password of a user, because an ingestion token may only write",
        _ => "",
    };
    Err(FailedCall {
        warning: format!("{what}: answered {status}{remedy}; {consequence}"),
        pause: if status < 500 { PAUSE_AFTER_REFUSAL } else { PAUSE_WITHOUT_ANSWER },
    })
}
