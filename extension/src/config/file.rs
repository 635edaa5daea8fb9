//! Reads the settings that the variables override: djv3's variables, then `lambda-otlp.toml` in the function's package, or djv3's own
//! file.

use super::variables::{
    CONFIG_FILE, ENDPOINT, FLUSH_INTERVAL, FLUSH_TIMEOUT, HEADERS, MAX_BUFFER, O2_UNUSED,
    OTEL_ENDPOINT, OTEL_PROTOCOL, OTEL_SIGNAL_ENDPOINTS, PROTOCOL, RECEIVER_PORT, RUNTIME_API,
    TASK_ROOT,
};
use backend::direct_mode::{Endpoint, endpoint, names_openobserve};
use settings::{Kind, Reader, Remark, Source, Variable};
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
const MAX_BYTES: u64 = 64 * 1024;

const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const MIB: u64 = 1 << 20;

/// The settings in a file, or in djv3's variables.
#[derive(Default)]
struct GivenSettings {
    /// The name of the file; `None` for djv3's variables.
    file: Option<&'static str>,
    values: Vec<GivenValue>,
    /// The names of unknown settings.
    unused: Vec<String>,
}

struct GivenValue {
    key: &'static ConfigKey,
    text: String,
}

impl GivenSettings {
    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.values.iter().find(|value| value.key.meaning == Meaning::Endpoint);
        endpoint.map(|value| value.text.as_str())
    }
}

/// Returns the name of a setting, for messages.
fn called(file: Option<&str>, key: &ConfigKey) -> String {
    match file {
        Some(file) => format!("{} of {file}", key.name()),
        None => key.variable.name.to_owned(),
    }
}

/// The use of a given value.
enum Usage {
    /// It is the value of this variable, unless the variable is set.
    Fallback {
        variable: &'static str,
        value: String,
    },
    /// It belongs to an endpoint that is not used, which the user should know.
    OfOtherEndpoint,
    /// Variables replace it, for example in a file that several functions share.
    MeantForOthers,
    Invalid(&'static str),
}

impl Usage {
    fn of(variable: &'static str, value: String) -> Self {
        Self::Fallback { variable, value }
    }
}

fn usage_of_queue_bytes(text: &str) -> Usage {
    match text.trim().parse::<u64>() {
        Ok(bytes) => Usage::of(MAX_BUFFER.name(), bytes.div_ceil(MIB).to_string()),
        Err(_) => Usage::Invalid("expected a number of bytes: the default is used"),
    }
}

/// The value of a variable that is not set.
struct Fallback {
    variable: &'static str,
    value: String,
    /// The name of the value where it was given, for messages.
    called: String,
}

/// The variables. For those that are not set, djv3's variables and then the file.
pub(super) struct SettingsWithFile<'a> {
    variables: &'a dyn Source,
    /// The first of two values for a variable counts.
    fallbacks: Vec<Fallback>,
    warnings: Vec<Remark>,
    mistake: Option<InvalidFile>,
}

/// The variables that an endpoint of a file, or of djv3's variables, and its headers correspond to.
#[derive(Clone, Copy)]
struct DestinationVariables {
    endpoint: &'static str,
    headers: &'static str,
}

impl<'a> SettingsWithFile<'a> {
    pub(super) fn of(variables: &'a dyn Source) -> Self {
        let mut this =
            Self { variables, fallbacks: Vec::new(), warnings: Vec::new(), mistake: None };
        let mut given = vec![read_djv3_variables(variables)];
        match read_file(variables) {
            Ok(of_file) => given.extend(of_file),
            Err(mistake) => this.mistake = Some(mistake),
        }
        let endpoint = if this.has_destination() {
            None
        } else {
            given.iter().find_map(GivenSettings::endpoint).map(str::to_owned)
        };
        for settings in given {
            let file = settings.file;
            let unused = this.add(settings, endpoint.as_deref());
            match file {
                Some(file) => this.warn_of_unused(file, "keys", &unused),
                None => this.warn_of_unused("LAMBDA_OTEL_*", "variables", &unused),
            }
        }
        let is_set = |name: &&str| this.is_set(name);
        let of_o2: Vec<String> = O2_UNUSED.into_iter().filter(is_set).map(str::to_owned).collect();
        this.warn_of_unused("O2_*", "variables", &of_o2);
        this
    }

    /// Reports the mistake and the warnings.
    pub(super) fn report(&self, reader: &mut Reader<'_>) {
        if let Some(InvalidFile { name, problem }) = &self.mistake {
            reader.mistake(name, problem.to_string());
        }
        for Remark { name, text } in &self.warnings {
            reader.warn(name, text.as_str());
        }
    }

    /// Adds the values of a file, or of djv3's variables. `endpoint` is the one that is used; `None` if variables already name a
    /// destination. Returns the names of settings that are not used.
    fn add(&mut self, given: GivenSettings, endpoint: Option<&str>) -> Vec<String> {
        let destination = self.destination_variables(endpoint);
        // Headers are credentials, so they go only to the endpoint beside which they stand.
        let has_own_headers =
            endpoint.is_some() && given.endpoint().is_none_or(|own| Some(own) == endpoint);
        let mut unused = given.unused;
        for GivenValue { key, text } in given.values {
            let called = called(given.file, key);
            let usage = match key.meaning {
                Meaning::Endpoint if endpoint.is_some() => Usage::of(destination.endpoint, text),
                // A file may be shared by functions with different variables.
                Meaning::Endpoint if given.file.is_some() => Usage::MeantForOthers,
                Meaning::Headers if has_own_headers => Usage::of(destination.headers, text),
                Meaning::Endpoint | Meaning::Headers => Usage::OfOtherEndpoint,
                Meaning::Protocol => self.usage_of_protocol(text),
                Meaning::QueueBytes => usage_of_queue_bytes(&text),
                Meaning::Of(variable) => Usage::of(variable, text),
            };
            match usage {
                Usage::Fallback { variable, value } => {
                    self.fallbacks.push(Fallback { variable, value, called });
                }
                Usage::OfOtherEndpoint => {
                    let in_file = key.name();
                    let name = if given.file.is_some() { &in_file } else { key.variable.name };
                    unused.push(format!("{name} (another endpoint is used)"));
                }
                Usage::MeantForOthers => {}
                Usage::Invalid(problem) => {
                    self.warnings.push(Remark { name: called, text: problem.to_owned() });
                }
            }
        }
        unused
    }

    fn usage_of_protocol(&self, text: String) -> Usage {
        // Variables with another protocol are meant for the function's SDK or for this extension.
        if self.names_remote_host() && self.is_set(OTEL_PROTOCOL.name()) {
            return Usage::MeantForOthers;
        }
        let is_http = text.trim().eq_ignore_ascii_case("http");
        Usage::of(PROTOCOL.name(), if is_http { "http/protobuf".to_owned() } else { text })
    }

    fn warn_of_unused(&mut self, place: &'static str, what: &str, unused: &[String]) {
        if !unused.is_empty() {
            let text = format!("these {what} are not used: {}", unused.join(", "));
            self.warnings.push(Remark { name: place.to_owned(), text });
        }
    }

    /// Returns the variables that this endpoint and its headers correspond to: OpenTelemetry's, or ours if OpenTelemetry's point
    /// the function's SDK to this extension.
    fn destination_variables(&self, url: Option<&str>) -> DestinationVariables {
        // OpenTelemetry's headers would also go to the host of a signal's endpoint.
        let sdk_uses_them = self.is_set(OTEL_ENDPOINT)
            || OTEL_SIGNAL_ENDPOINTS.iter().any(|name| self.is_set(name))
            || url.is_some_and(|url| endpoint(url) != Endpoint::Elsewhere);
        if sdk_uses_them {
            DestinationVariables { endpoint: ENDPOINT, headers: HEADERS }
        } else {
            DestinationVariables { endpoint: OTEL_ENDPOINT, headers: OTEL_HEADERS }
        }
    }

    fn has_destination(&self) -> bool {
        let has_o2 = names_openobserve(|name| self.variables.get(name));
        self.is_set(ENDPOINT) || has_o2 || self.names_remote_host()
    }

    /// Returns `true` if OpenTelemetry's variables name another host.
    fn names_remote_host(&self) -> bool {
        let url = self.variables.get(OTEL_ENDPOINT);
        url.is_some_and(|url| endpoint(&url) == Endpoint::Elsewhere)
    }

    fn is_set(&self, name: &str) -> bool {
        self.variables.get(name).is_some()
    }

    fn fallback(&self, name: &str) -> Option<&Fallback> {
        let fallback = self.fallbacks.iter().find(|fallback| fallback.variable == name)?;
        (!fallback.value.is_empty() && !self.is_set(name)).then_some(fallback)
    }
}

fn read_djv3_variables(variables: &dyn Source) -> GivenSettings {
    let mut given = GivenSettings::default();
    for key in &KEYS {
        let Some(text) = variables.get(key.variable.name) else { continue };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if key.meaning == Meaning::Headers { header_pairs(&text) } else { text };
        given.values.push(GivenValue { key, text: key.with_unit(text, is_number) });
    }
    let is_known = |name: &String| KEYS.iter().any(|key| key.variable.name == *name);
    given.unused = variables.names();
    given.unused.retain(|name| name.starts_with(PREFIX) && !is_known(name));
    given.unused.sort_unstable();
    given
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
fn read_file(variables: &dyn Source) -> Result<Option<GivenSettings>, InvalidFile> {
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
    let read = file.and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    let given = read.map_err(FileProblem::from).and_then(|_| parse_file(name, &text));
    given.map(Some).map_err(|problem| InvalidFile { name, problem })
}

fn parse_file(name: &'static str, text: &str) -> Result<GivenSettings, FileProblem> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        return Err(FileProblem::Syntax { line, message: error.message().to_owned() });
    }
    let table = table.get_ref();
    // The order of the keys decides which of two with one meaning counts.
    let value_of = |key: &'static ConfigKey| Some(GivenValue { key, text: key.value_in(table)? });
    let values: Vec<GivenValue> = KEYS.iter().filter_map(value_of).collect();
    let mut unused = Vec::new();
    for (section, fields) in table {
        let section = section.get_ref().as_ref();
        let DeValue::Table(fields) = fields.get_ref() else {
            unused.push(section.to_owned());
            continue;
        };
        let names = fields.keys().map(|field| [section, field.get_ref()].join("."));
        let is_used = |name: &String| values.iter().any(|value| value.key.name() == *name);
        unused.extend(names.filter(|name| !is_used(name)));
    }
    Ok(GivenSettings { file: Some(name), values, unused })
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

impl Source for SettingsWithFile<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let is_hidden = name == TASK_ROOT.name() && self.is_set(RUNTIME_API.name());
        let fallback = || match self.fallback(name) {
            Some(fallback) => Some(fallback.value.clone()),
            None => is_hidden.then(|| CODE.to_owned()),
        };
        self.variables.get(name).or_else(fallback)
    }

    /// Misspelt keys are reported separately.
    fn names(&self) -> Vec<String> {
        self.variables.names()
    }

    fn name_as_given(&self, name: &str) -> String {
        self.fallback(name).map_or_else(|| name.to_owned(), |fallback| fallback.called.clone())
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
