//! Reads the settings that the variables override: djv3's variables, then `lambda-otlp.toml` in the function's package, or djv3's own
//! file.

use super::variables::{
    CONFIG_FILE, ENDPOINT, FLUSH_INTERVAL, FLUSH_TIMEOUT, HEADERS, MAX_BUFFER, O2_UNUSED,
    OTEL_ENDPOINT, OTEL_PROTOCOL, OTEL_SIGNAL_ENDPOINTS, PROTOCOL, RECEIVER_PORT, RUNTIME_API,
    TASK_ROOT,
};
use backend::direct_mode::{Endpoint, endpoint, names_openobserve};
use settings::{Kind, Reader, Source, Variable};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The names of the file. The second one is djv3's.
const NAMES: [&str; 2] = ["lambda-otlp.toml", "otel-extension.toml"];
/// The folder of the function's code, which Lambda hides from extensions (Lambda Developer Guide, "Lambda Extensions API",
/// "Environment variables").
const CODE: &str = "/var/task";
/// The size limit of the file, which usually has some hundred bytes.
const MOST_BYTES: u64 = 64 * 1024;

const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const MIB: u64 = 1 << 20;

/// What one place says: djv3's variables, or a file.
#[derive(Default)]
struct GivenKeys {
    file: Option<&'static str>,
    values: Vec<(&'static ConfigKey, String)>,
    unused: Vec<String>,
}

impl GivenKeys {
    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.values.iter().find(|(key, _)| key.meaning == Meaning::Endpoint);
        endpoint.map(|(_, url)| url.as_str())
    }

    fn called(&self, key: &ConfigKey) -> String {
        match self.file {
            Some(file) => format!("{} of {file}", key.name()),
            None => key.variable.name.to_owned(),
        }
    }
}

struct Filled {
    variable: &'static str,
    value: String,
    called: String,
}

/// The variables. For those that are not set, djv3's variables and then the file.
pub(super) struct WithKeys<'a> {
    variables: &'a dyn Source,
    /// The first of two values for a variable counts.
    filled: Vec<Filled>,
    warnings: Vec<(String, String)>,
    mistake: Option<InvalidFile>,
}

impl<'a> WithKeys<'a> {
    pub(super) fn of(variables: &'a dyn Source) -> Self {
        let mut this = Self { variables, filled: Vec::new(), warnings: Vec::new(), mistake: None };
        let mut places = vec![of_variables(variables)];
        match of_file(variables) {
            Ok(place) => places.extend(place),
            Err(mistake) => this.mistake = Some(mistake),
        }
        let endpoint = if this.has_destination() {
            None
        } else {
            places.iter().find_map(GivenKeys::endpoint).map(str::to_owned)
        };
        for place in &mut places {
            this.take(place, endpoint.as_deref());
            let (of, what) = match place.file {
                Some(file) => (file, "keys"),
                None => ("LAMBDA_OTEL_*", "variables"),
            };
            this.warn_unused(of, what, &place.unused);
        }
        let is_set = |name: &&str| this.is_set(name);
        let of_o2: Vec<String> = O2_UNUSED.into_iter().filter(is_set).map(str::to_owned).collect();
        this.warn_unused("O2_*", "variables", &of_o2);
        this
    }

    pub(super) fn say(&self, reader: &mut Reader<'_>) {
        if let Some(InvalidFile { name, problem }) = &self.mistake {
            reader.mistake(name, problem.to_string());
        }
        for (name, text) in &self.warnings {
            reader.warn(name, text.as_str());
        }
    }

    /// Adds the values of a place. `endpoint` is the one that is used; `None` if variables already name a destination.
    fn take(&mut self, place: &mut GivenKeys, endpoint: Option<&str>) {
        let [of_endpoint, of_headers] = self.names_of_destination(endpoint);
        // Headers are credentials, so they go only to the endpoint of the same place.
        let is_beside =
            endpoint.is_some() && place.endpoint().is_none_or(|own| Some(own) == endpoint);
        for (key, text) in std::mem::take(&mut place.values) {
            let called = place.called(key);
            let (variable, value) = match key.meaning {
                Meaning::Endpoint if endpoint.is_some() => (of_endpoint, text),
                Meaning::Headers if is_beside => (of_headers, text),
                // A file may be shared by functions with different variables.
                Meaning::Endpoint if place.file.is_some() => continue,
                Meaning::Endpoint | Meaning::Headers => {
                    let in_file = key.name();
                    let name = if place.file.is_some() { &in_file } else { key.variable.name };
                    place.unused.push(format!("{name} (another endpoint is used)"));
                    continue;
                }
                // Variables with another protocol are meant for the function's SDK or for this extension.
                Meaning::Protocol if self.is_remote_told() && self.is_set(OTEL_PROTOCOL.name()) => {
                    continue;
                }
                Meaning::Protocol if text.trim().eq_ignore_ascii_case("http") => {
                    (PROTOCOL.name(), "http/protobuf".to_owned())
                }
                Meaning::Protocol => (PROTOCOL.name(), text),
                Meaning::QueueBytes => {
                    let Ok(bytes) = text.trim().parse::<u64>() else {
                        let text = "expected a number of bytes: the default is used";
                        self.warnings.push((called, text.to_owned()));
                        continue;
                    };
                    (MAX_BUFFER.name(), bytes.div_ceil(MIB).to_string())
                }
                Meaning::Of(variable) => (variable, text),
            };
            self.filled.push(Filled { variable, value, called });
        }
    }

    fn warn_unused(&mut self, of: &'static str, what: &str, unused: &[String]) {
        if !unused.is_empty() {
            let text = format!("these {what} are not used: {}", unused.join(", "));
            self.warnings.push((of.to_owned(), text));
        }
    }

    /// Returns the variables that this endpoint and its headers correspond to: OpenTelemetry's, or ours if OpenTelemetry's point
    /// the function's SDK to this extension.
    fn names_of_destination(&self, url: Option<&str>) -> [&'static str; 2] {
        // OpenTelemetry's headers would also go to the host of a signal's endpoint.
        let is_of_sdk = self.is_set(OTEL_ENDPOINT)
            || OTEL_SIGNAL_ENDPOINTS.iter().any(|name| self.is_set(name))
            || url.is_some_and(|url| endpoint(url) != Endpoint::Elsewhere);
        if is_of_sdk { [ENDPOINT, HEADERS] } else { [OTEL_ENDPOINT, OTEL_HEADERS] }
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

    fn fallback(&self, name: &str) -> Option<&Filled> {
        let filled = self.filled.iter().find(|filled| filled.variable == name)?;
        (!filled.value.is_empty() && !self.is_set(name)).then_some(filled)
    }
}

fn of_variables(variables: &dyn Source) -> GivenKeys {
    let mut place = GivenKeys::default();
    for key in &KEYS {
        let Some(text) = variables.get(key.variable.name) else { continue };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if key.meaning == Meaning::Headers { header_pairs(&text) } else { text };
        place.values.push((key, key.with_unit(text, is_number)));
    }
    let is_known = |name: &String| KEYS.iter().any(|key| key.variable.name == *name);
    place.unused = variables.names();
    place.unused.retain(|name| name.starts_with(PREFIX) && !is_known(name));
    place.unused.sort_unstable();
    place
}

/// A settings file that is not used.
struct InvalidFile {
    /// Its name, or the variable that has its path.
    name: &'static str,
    problem: FileProblem,
}

#[derive(Debug, thiserror::Error)]
enum FileProblem {
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("line {line}: {message}: the file is not used")]
    Syntax { line: usize, message: String },
}

/// Reads the first existing file. A syntax error invalidates the whole file.
fn of_file(variables: &dyn Source) -> Result<Option<GivenKeys>, InvalidFile> {
    let task_root = variables.get(TASK_ROOT.name()).unwrap_or_else(|| CODE.to_owned());
    let folder = Path::new(&task_root);
    let opened = match variables.get(CONFIG_FILE.name()) {
        Some(path) => Some((CONFIG_FILE.name(), File::open(folder.join(path.trim())))),
        None => {
            NAMES.into_iter().find_map(|name| Some((name, Ok(File::open(folder.join(name)).ok()?))))
        }
    };
    let Some((name, file)) = opened else { return Ok(None) };
    let mut text = String::new();
    let read = file.and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    let place = read.map_err(FileProblem::from).and_then(|_| of_text(name, &text));
    place.map(Some).map_err(|problem| InvalidFile { name, problem })
}

fn of_text(name: &'static str, text: &str) -> Result<GivenKeys, FileProblem> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        return Err(FileProblem::Syntax { line, message: error.message().to_owned() });
    }
    let table = table.get_ref();
    // The order of the keys decides which of two with one meaning counts.
    let values: Vec<_> = KEYS.iter().filter_map(|key| Some((key, key.value_in(table)?))).collect();
    let mut unused = Vec::new();
    for (section, fields) in table {
        let section = section.get_ref().as_ref();
        let DeValue::Table(fields) = fields.get_ref() else {
            unused.push(section.to_owned());
            continue;
        };
        let names = fields.keys().map(|field| [section, field.get_ref()].join("."));
        let is_used = |name: &String| values.iter().any(|(key, _)| key.name() == *name);
        unused.extend(names.filter(|name| !is_used(name)));
    }
    Ok(GivenKeys { file: Some(name), values, unused })
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
        let is_hidden = name == TASK_ROOT.name() && self.is_set(RUNTIME_API.name());
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

    fn called(&self, name: &str) -> String {
        self.fallback(name).map_or_else(|| name.to_owned(), |filled| filled.called.clone())
    }
}

const PREFIX: &str = "LAMBDA_OTEL_";

#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    Of(&'static str),
    Endpoint,
    Headers,
    Protocol,
    QueueBytes,
}

#[derive(Clone, Copy)]
struct ConfigKey {
    /// `LAMBDA_OTEL_SECTION_FIELD`
    variable: Variable,
    meaning: Meaning,
}

impl ConfigKey {
    /// Returns the name in the file: `section.field`.
    fn name(&self) -> String {
        self.variable.name.trim_start_matches(PREFIX).to_ascii_lowercase().replacen('_', ".", 1)
    }

    /// Reads the value, if it is there and has a supported type.
    fn value_in(&self, table: &DeTable<'_>) -> Option<String> {
        let name = self.name();
        let (section, field) = name.split_once('.')?;
        let value = table.get(section)?.get_ref().get(field)?.get_ref();
        match value {
            DeValue::Table(headers) if self.meaning == Meaning::Headers => Some(pairs(headers)),
            _ if self.meaning == Meaning::Headers => None,
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            DeValue::Integer(number) => Some(self.with_unit(number.to_string(), true)),
            _ => None,
        }
    }

    /// Adds the unit that a number has in djv3's settings; a small one in our variable may mean seconds.
    fn with_unit(&self, text: String, is_number: bool) -> String {
        let is_bare = is_number && matches!(self.variable.kind, Kind::Duration);
        if is_bare { text + "ms" } else { text }
    }
}

/// All supported keys. The first of two with one meaning counts.
const KEYS: [ConfigKey; 10] = [
    key(
        "LAMBDA_OTEL_EXPORTER_ENDPOINT",
        Kind::Url,
        "djv3: `OTEL_EXPORTER_OTLP_ENDPOINT`, unless another variable names a host.",
        Meaning::Endpoint,
    ),
    key(
        "LAMBDA_OTEL_EXPORTER_HEADERS",
        Kind::Headers,
        "djv3: headers for that endpoint, also as `{name=\"value\"}`.",
        Meaning::Headers,
    ),
    key(
        "LAMBDA_OTEL_EXPORTER_PROTOCOL",
        Kind::Choice(&["http", "http/protobuf", "http/json", "grpc"]),
        "djv3: `LAMBDA_OTLP_PROTOCOL`; `http` is `http/protobuf`.",
        Meaning::Protocol,
    ),
    key(
        "LAMBDA_OTEL_EXPORTER_COMPRESSION",
        Kind::Choice(&["gzip", "none"]),
        "djv3: `OTEL_EXPORTER_OTLP_COMPRESSION`.",
        Meaning::Of("OTEL_EXPORTER_OTLP_COMPRESSION"),
    ),
    key(
        "LAMBDA_OTEL_EXPORTER_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_EXPORTER_OTLP_TIMEOUT`.",
        Meaning::Of("OTEL_EXPORTER_OTLP_TIMEOUT"),
    ),
    key(
        "LAMBDA_OTEL_RECEIVER_HTTP_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of(RECEIVER_PORT.name()),
    ),
    key(
        "LAMBDA_OTEL_RECEIVER_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of(RECEIVER_PORT.name()),
    ),
    key(
        "LAMBDA_OTEL_FLUSH_INTERVAL",
        Kind::Duration,
        "djv3: `O2_FLUSH_INTERVAL_MS`.",
        Meaning::Of(FLUSH_INTERVAL.name()),
    ),
    key(
        "LAMBDA_OTEL_FLUSH_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_LAMBDA_FLUSH_TIMEOUT`.",
        Meaning::Of(FLUSH_TIMEOUT.name()),
    ),
    key(
        "LAMBDA_OTEL_FLUSH_MAX_QUEUE_BYTES",
        Kind::Count,
        "djv3: `O2_MAX_BUFFER_SIZE_MB` in bytes.",
        Meaning::QueueBytes,
    ),
];

const fn key(name: &'static str, kind: Kind, doc: &'static str, meaning: Meaning) -> ConfigKey {
    ConfigKey { variable: Variable { name, default: None, kind, doc }, meaning }
}

pub(super) const ROWS: [Variable; KEYS.len()] = {
    let mut rows = [KEYS[0].variable; KEYS.len()];
    let mut left: &mut [Variable] = &mut rows;
    let mut keys: &[ConfigKey] = &KEYS;
    while let ([row, later @ ..], [key, keys_left @ ..]) = (left, keys) {
        *row = key.variable;
        (left, keys) = (later, keys_left);
    }
    rows
};
