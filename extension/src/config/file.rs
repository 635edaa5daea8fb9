//! Reads the settings behind the variables: djv3's variables, then `lambda-otlp.toml` beside the function's code, or djv3's own
//! file.

use super::output::{Endpoint, endpoint, names_openobserve};
use super::variables::{
    CONFIG_FILE, ENDPOINT, HEADERS, MAX_BUFFER, O2_UNUSED, OTEL_ENDPOINT, OTEL_PROTOCOL,
    OTEL_SIGNAL_ENDPOINTS, PROTOCOL,
};
use settings::{Kind, Reader, Source, Variable};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The names of the file. The second one is djv3's.
const NAMES: [&str; 2] = ["lambda-otlp.toml", "otel-extension.toml"];
const TASK_ROOT: &str = "LAMBDA_TASK_ROOT";
/// The folder of the function's code, which Lambda hides from extensions (Lambda Developer Guide, "Lambda Extensions API",
/// "Environment variables").
const CODE: &str = "/var/task";
/// The size limit of the file, which usually has some hundred bytes.
const MOST_BYTES: u64 = 64 * 1024;
const MOST_NAMED: usize = 10;

const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const MIB: u64 = 1 << 20;

enum Value {
    Text(String),
    Number(String),
    /// Pairs in the notation of variables.
    Headers(String),
}

#[derive(Default)]
struct Given {
    /// The source, for messages.
    of: Option<&'static str>,
    values: Vec<(&'static ConfigKey, Value)>,
    unused: Vec<String>,
}

struct Filled {
    variable: &'static str,
    value: String,
    called: String,
}

/// The variables, with djv3's variables and the file behind them.
pub(super) struct WithKeys<'a> {
    variables: &'a dyn Source,
    /// The first of two values for a variable counts.
    filled: Vec<Filled>,
    warnings: Vec<(String, String)>,
    /// The file's name, and the problem of the file as a whole.
    mistake: Option<(&'static str, String)>,
}

impl<'a> WithKeys<'a> {
    /// Reads the variables, and the first existing file.
    pub(super) fn of(variables: &'a dyn Source) -> Self {
        let mut this = Self { variables, filled: Vec::new(), warnings: Vec::new(), mistake: None };
        let mut places = vec![of_variables(variables)];
        match of_file(variables) {
            Ok(given) => places.extend(given),
            Err(mistake) => this.mistake = Some(mistake),
        }
        for given in &mut places {
            this.take(given);
        }
        let is_endpoint = |filled: &&Filled| [ENDPOINT, OTEL_ENDPOINT].contains(&filled.variable);
        let used = this.filled.iter().find(is_endpoint).map(|filled| filled.value.clone());
        for given in &mut places {
            this.take_headers(given, used.as_deref());
            this.note_unused(given);
        }
        let is_set = |name: &&str| this.is_set(name);
        let of_o2: Vec<String> = O2_UNUSED.into_iter().filter(is_set).map(str::to_owned).collect();
        this.warn_unused("O2_*", "variables", &of_o2);
        this
    }

    pub(super) fn say(&self, reader: &mut Reader<'_>) {
        if let Some((name, problem)) = &self.mistake {
            reader.mistake(name, problem.as_str());
        }
        for (name, text) in &self.warnings {
            reader.warn(name, text.as_str());
        }
    }

    /// Adds values, except for headers.
    fn take(&mut self, given: &mut Given) {
        for (key, value) in &given.values {
            let is_used = match value {
                Value::Text(text) => self.value(key, text, false, given.of),
                Value::Number(text) => self.value(key, text, true, given.of),
                Value::Headers(_) => continue,
            };
            if !is_used {
                given.unused.push(own_name(key, given.of).to_owned());
            }
        }
        let endpoint = given.values.iter().find(|(key, _)| is_endpoint(key));
        // A file may be shared by functions with different variables.
        if let (None, Some((key, _)), true) = (given.of, endpoint, self.has_destination()) {
            given.unused.push([key.variable.name, ELSEWHERE].concat());
        }
    }

    /// Adds headers. They are credentials, so they go only to the endpoint beside them.
    fn take_headers(&mut self, given: &mut Given, used: Option<&str>) {
        let headers = given.values.iter().find_map(|(key, value)| match value {
            Value::Headers(headers) => Some((*key, headers.clone())),
            Value::Text(_) | Value::Number(_) => None,
        });
        let Some((key, headers)) = headers else { return };
        let endpoint = given.values.iter().find_map(|(key, value)| match value {
            Value::Text(text) if is_endpoint(key) => Some(text.as_str()),
            _ => None,
        });
        let used = used.filter(|_| endpoint.is_none() || endpoint == used);
        match used.and_then(|used| self.names_of_destination(used)) {
            Some([_, variable]) => self.fill(variable, headers, key, given.of),
            None => given.unused.push([own_name(key, given.of), ELSEWHERE].concat()),
        }
    }

    fn note_unused(&mut self, given: &mut Given) {
        let (of, what) = match given.of {
            Some(file) => (file, "keys"),
            None => ("LAMBDA_OTEL_*", "variables"),
        };
        self.warn_unused(of, what, &given.unused);
    }

    fn warn_unused(&mut self, of: &'static str, what: &str, unused: &[String]) {
        let named: Vec<&str> = unused.iter().take(MOST_NAMED).map(String::as_str).collect();
        if named.is_empty() {
            return;
        }
        let more = unused.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let text = format!("these {what} are not used: {}{more}", named.join(", "));
        self.warnings.push((of.to_owned(), text));
    }

    /// Adds a value. Returns `false` if nothing uses this key.
    fn value(
        &mut self,
        key: &ConfigKey,
        text: &str,
        is_number: bool,
        of: Option<&'static str>,
    ) -> bool {
        let text = text.to_owned();
        match key.meaning {
            Meaning::Endpoint => {
                if let Some([endpoint, _]) = self.names_of_destination(&text) {
                    self.fill(endpoint, text, key, of);
                }
            }
            Meaning::Headers => return false,
            // Variables with another protocol are meant for the function's SDK or for this extension.
            Meaning::Protocol if self.is_remote_told() && self.is_set(OTEL_PROTOCOL) => {}
            Meaning::Protocol => {
                let is_http = text.trim().eq_ignore_ascii_case("http");
                let protocol = if is_http { "http/protobuf".to_owned() } else { text };
                self.fill(PROTOCOL, protocol, key, of);
            }
            Meaning::QueueBytes => {
                if let Ok(bytes) = text.trim().parse::<u64>() {
                    self.fill(MAX_BUFFER, bytes.div_ceil(MIB).to_string(), key, of);
                } else {
                    let text = "expected a number of bytes: the default is used";
                    self.warnings.push((called(key, of), text.to_owned()));
                }
            }
            // A small number in the variable may mean seconds.
            Meaning::Milliseconds(variable) if is_number => {
                self.fill(variable, format!("{text}ms"), key, of);
            }
            Meaning::Milliseconds(variable) | Meaning::Of(variable) => {
                self.fill(variable, text, key, of);
            }
        }
        true
    }

    /// Returns the variables that this endpoint and its headers correspond to: OpenTelemetry's, or ours if OpenTelemetry's point
    /// the function's SDK to this extension. Returns `None` if variables already name a destination.
    fn names_of_destination(&self, url: &str) -> Option<[&'static str; 2]> {
        if self.has_destination() {
            return None;
        }
        // OpenTelemetry's headers would also go to the host of a signal's endpoint.
        let is_of_sdk = self.is_set(OTEL_ENDPOINT)
            || OTEL_SIGNAL_ENDPOINTS.iter().any(|name| self.is_set(name))
            || endpoint(url) != Endpoint::Elsewhere;
        Some(if is_of_sdk { [ENDPOINT, HEADERS] } else { [OTEL_ENDPOINT, OTEL_HEADERS] })
    }

    fn has_destination(&self) -> bool {
        let has_o2 = names_openobserve(|name| self.variables.get(name));
        self.is_set(ENDPOINT) || has_o2 || self.is_remote_told()
    }

    /// Returns `true` if OpenTelemetry's variables name another host.
    fn is_remote_told(&self) -> bool {
        let url = self.variables.get(OTEL_ENDPOINT);
        url.is_some_and(|url| endpoint(&url) == Endpoint::Elsewhere)
    }

    fn is_set(&self, name: &str) -> bool {
        self.variables.get(name).is_some()
    }

    fn fill(&mut self, variable: &'static str, value: String, key: &ConfigKey, of: Option<&str>) {
        self.filled.push(Filled { variable, value, called: called(key, of) });
    }

    /// Returns the value of an unset variable.
    fn fallback(&self, name: &str) -> Option<&Filled> {
        let filled = self.filled.iter().find(|filled| filled.variable == name)?;
        (!filled.value.is_empty() && !self.is_set(name)).then_some(filled)
    }
}

const ELSEWHERE: &str = " (another endpoint is used)";

fn is_endpoint(key: &ConfigKey) -> bool {
    matches!(key.meaning, Meaning::Endpoint)
}

/// Returns how messages call a key of the file, or its variable.
fn called(key: &ConfigKey, of: Option<&str>) -> String {
    match of {
        Some(file) => format!("{} of {file}", key.name),
        None => key.variable.name.to_owned(),
    }
}

/// Returns the name of the key in the file, or of its variable.
fn own_name(key: &'static ConfigKey, of: Option<&str>) -> &'static str {
    if of.is_some() { key.name } else { key.variable.name }
}

/// Reads djv3's variables.
fn of_variables(variables: &dyn Source) -> Given {
    let mut given = Given::default();
    for key in &KEYS {
        let Some(text) = variables.get(key.variable.name) else { continue };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let value = match key.meaning {
            Meaning::Headers => Value::Headers(header_pairs(&text)),
            _ if is_number => Value::Number(text),
            _ => Value::Text(text),
        };
        given.values.push((key, value));
    }
    let is_known = |name: &String| KEYS.iter().any(|key| key.variable.name == *name);
    let mut unused = variables.names();
    unused.retain(|name| name.starts_with(PREFIX) && !is_known(name));
    unused.sort_unstable();
    given.unused = unused;
    given
}

/// Reads the first existing file. A syntax error invalidates the whole file.
fn of_file(variables: &dyn Source) -> Result<Option<Given>, (&'static str, String)> {
    let folder = variables.get(TASK_ROOT).unwrap_or_else(|| CODE.to_owned());
    let folder = Path::new(&folder);
    let opened = match variables.get(CONFIG_FILE) {
        Some(path) => Some((CONFIG_FILE, File::open(folder.join(path.trim())))),
        None => {
            NAMES.into_iter().find_map(|name| Some((name, Ok(File::open(folder.join(name)).ok()?))))
        }
    };
    let Some((name, file)) = opened else { return Ok(None) };
    let mut text = String::new();
    let read = file.and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    let given = match read {
        Ok(_) => of_text(name, &text),
        Err(error) => Err(format!("the file cannot be read: {error}")),
    };
    given.map(Some).map_err(|problem| (name, problem))
}

fn of_text(name: &'static str, text: &str) -> Result<Given, String> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        return Err(format!("line {line}: {}: the file is not used", error.message()));
    }
    let table = table.get_ref();
    let mut given = Given { of: Some(name), ..Given::default() };
    // The order of the keys decides which of two with one meaning counts.
    given.values = KEYS.iter().filter_map(|key| Some((key, of_table(key, table)?))).collect();
    for (section, values) in table {
        let section = section.get_ref().as_ref();
        let DeValue::Table(values) = values.get_ref() else {
            given.unused.push(section.to_owned());
            continue;
        };
        let names = values.keys().map(|field| [section, field.get_ref()].join("."));
        let is_used = |name: &String| given.values.iter().any(|(key, _)| key.name == *name);
        given.unused.extend(names.filter(|name| !is_used(name)));
    }
    Ok(given)
}

/// Reads the value of a key, if it is there and has a supported type.
fn of_table(key: &ConfigKey, table: &DeTable<'_>) -> Option<Value> {
    let (section, field) = key.name.split_once('.')?;
    let value = table.get(section)?.get_ref().get(field)?.get_ref();
    let is_headers = matches!(key.meaning, Meaning::Headers);
    Some(match value {
        DeValue::Table(headers) if is_headers => Value::Headers(pairs(headers)),
        _ if is_headers => return None,
        DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => Value::Number(number.to_string()),
        _ => return None,
    })
}

fn pairs(headers: &DeTable<'_>) -> String {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            _ => return None,
        };
        // A comma would begin another header.
        let value = value.replace('%', "%25").replace(',', "%2C");
        Some([name.get_ref().as_ref(), &value].join("="))
    });
    pairs.collect::<Vec<String>>().join(",")
}

/// Parses headers in OpenTelemetry's notation, or in djv3's: `{name="value", other=value}`.
fn header_pairs(text: &str) -> String {
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside else { return text.to_owned() };
    let as_toml = format!("headers={{{inside}}}");
    let (table, errors) = DeTable::parse_recoverable(&as_toml);
    let headers = table.get_ref().iter().next().map(|(_, headers)| headers.get_ref());
    match headers {
        Some(DeValue::Table(headers)) if errors.is_empty() => pairs(headers),
        // djv3's values need no quotes.
        _ => inside.replace('"', ""),
    }
}

impl Source for WithKeys<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let is_hidden = name == TASK_ROOT && self.is_set("AWS_LAMBDA_RUNTIME_API");
        let fallback = || match self.fallback(name) {
            Some(filled) => Some(filled.value.clone()),
            None => is_hidden.then(|| CODE.to_owned()),
        };
        self.variables.get(name).or_else(fallback)
    }

    /// Misspelt keys are reported separately.
    fn names(&self) -> Vec<String> {
        self.variables.names()
    }

    fn origin(&self) -> &'static str {
        self.variables.origin()
    }

    fn called(&self, name: &str) -> String {
        self.fallback(name).map_or_else(|| name.to_owned(), |filled| filled.called.clone())
    }
}

/// The prefix of djv3's variables.
pub(super) const PREFIX: &str = "LAMBDA_OTEL_";

#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Of(&'static str),
    /// Like [`Of`](Self::Of), but a number without unit is milliseconds.
    Milliseconds(&'static str),
    Endpoint,
    Headers,
    Protocol,
    QueueBytes,
}

#[derive(Clone, Copy)]
pub(super) struct ConfigKey {
    /// `section.field`
    pub(super) name: &'static str,
    /// `LAMBDA_OTEL_SECTION_FIELD`
    pub(super) variable: Variable,
    pub(super) meaning: Meaning,
}

/// All supported keys. The first of two with one meaning counts.
pub(super) const KEYS: [ConfigKey; 10] = [
    key(
        "exporter.endpoint",
        "LAMBDA_OTEL_EXPORTER_ENDPOINT",
        Kind::Url,
        "djv3: `OTEL_EXPORTER_OTLP_ENDPOINT`, unless another variable names a host.",
        Meaning::Endpoint,
    ),
    key(
        "exporter.headers",
        "LAMBDA_OTEL_EXPORTER_HEADERS",
        Kind::Headers,
        "djv3: headers for that endpoint, also as `{name=\"value\"}`.",
        Meaning::Headers,
    ),
    key(
        "exporter.protocol",
        "LAMBDA_OTEL_EXPORTER_PROTOCOL",
        Kind::Choice(&["http", "http/protobuf", "http/json", "grpc"]),
        "djv3: `LAMBDA_OTLP_PROTOCOL`; `http` is `http/protobuf`.",
        Meaning::Protocol,
    ),
    key(
        "exporter.compression",
        "LAMBDA_OTEL_EXPORTER_COMPRESSION",
        Kind::Choice(&["gzip", "none"]),
        "djv3: `OTEL_EXPORTER_OTLP_COMPRESSION`.",
        Meaning::Of("OTEL_EXPORTER_OTLP_COMPRESSION"),
    ),
    key(
        "exporter.timeout",
        "LAMBDA_OTEL_EXPORTER_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_EXPORTER_OTLP_TIMEOUT`.",
        Meaning::Milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"),
    ),
    key(
        "receiver.http_port",
        "LAMBDA_OTEL_RECEIVER_HTTP_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of("OTEL_LAMBDA_RECEIVER_PORT"),
    ),
    key(
        "receiver.port",
        "LAMBDA_OTEL_RECEIVER_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of("OTEL_LAMBDA_RECEIVER_PORT"),
    ),
    key(
        "flush.interval",
        "LAMBDA_OTEL_FLUSH_INTERVAL",
        Kind::Duration,
        "djv3: `O2_FLUSH_INTERVAL_MS`.",
        Meaning::Of("O2_FLUSH_INTERVAL_MS"),
    ),
    key(
        "flush.timeout",
        "LAMBDA_OTEL_FLUSH_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_LAMBDA_FLUSH_TIMEOUT`.",
        Meaning::Of("OTEL_LAMBDA_FLUSH_TIMEOUT"),
    ),
    key(
        "flush.max_queue_bytes",
        "LAMBDA_OTEL_FLUSH_MAX_QUEUE_BYTES",
        Kind::Count,
        "djv3: `O2_MAX_BUFFER_SIZE_MB` in bytes.",
        Meaning::QueueBytes,
    ),
];

const fn key(
    name: &'static str,
    variable: &'static str,
    kind: Kind,
    doc: &'static str,
    meaning: Meaning,
) -> ConfigKey {
    ConfigKey { name, variable: Variable { name: variable, default: None, kind, doc }, meaning }
}

pub(super) const ROWS: [Variable; KEYS.len()] = {
    let mut rows = [KEYS[0].variable; KEYS.len()];
    let (mut left, mut keys): (&mut [Variable], &[ConfigKey]) = (&mut rows, &KEYS);
    while let ([row, later @ ..], [key, keys_left @ ..]) = (left, keys) {
        *row = key.variable;
        (left, keys) = (later, keys_left);
    }
    rows
};
