//! Reads `lambda-otlp.toml` beside the function's code: what it says counts where no variable does. Its keys are those of djv3's
//! opentelemetry-lambda-extension, whose own file is read where ours is not there.

use super::endpoint::{Endpoint, endpoint};
use super::variables::{
    ENDPOINT, FLUSH_INTERVAL, MAX_BUFFER, O2_AUTHORIZATION, O2_ORGANIZATION, OTEL_ENDPOINT,
    OTEL_PROTOCOL, PROTOCOL,
};
use settings::{Reader, Source};
use std::io::Read as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The second one is djv3's.
const NAMES: [&str; 2] = ["lambda-otlp.toml", "otel-extension.toml"];
const TASK_ROOT: &str = "LAMBDA_TASK_ROOT";
/// Such files have some hundred bytes.
const MOST_BYTES: u64 = 64 * 1024;
/// So many keys that are not used are named.
const MOST_NAMED: usize = 10;

const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const HEADERS: &str = "LAMBDA_OTLP_HEADERS";
const MIB: u64 = 1 << 20;

/// Keys whose values mean what a variable's do.
const SAME: [(&str, &str); 7] = [
    ("exporter.compression", "OTEL_EXPORTER_OTLP_COMPRESSION"),
    ("exporter.timeout", "OTEL_EXPORTER_OTLP_TIMEOUT"),
    ("receiver.port", "OTEL_LAMBDA_RECEIVER_PORT"),
    ("receiver.http_port", "OTEL_LAMBDA_RECEIVER_PORT"),
    ("flush.interval", FLUSH_INTERVAL),
    ("flush.timeout", super::variables::FLUSH_TIMEOUT),
    ("flush.hold", "LAMBDA_OTLP_HOLD"),
];

/// When an invocation is kept for a flush, as djv3 names it.
const STRATEGIES: [(&str, &str); 5] = [
    ("default", "auto"),
    ("end", "always"),
    ("invocation", "always"),
    ("periodic", "never"),
    ("continuous", "never"),
];

/// What there is to say of a file.
enum Said {
    /// What is wrong with all of it.
    Mistake(String),
    /// Which of its keys are not used.
    Warning(String),
}

/// Variables, and behind them what the file says.
pub(super) struct WithFile<'a> {
    variables: &'a dyn Source,
    /// Name and value of what no variable says.
    values: Vec<(&'static str, String)>,
    /// The file's headers, until it is known whether its endpoint is used.
    headers: Option<String>,
    /// The file's name, and what there is to say of it.
    said: Option<(&'static str, Said)>,
}

impl<'a> WithFile<'a> {
    /// Reads the first of the files that is there.
    pub(super) fn of(variables: &'a dyn Source) -> Self {
        let mut this = Self { variables, values: Vec::new(), headers: None, said: None };
        // Lambda sets it; elsewhere nobody has a file there.
        let Some(folder) = variables.get(TASK_ROOT) else { return this };
        for name in NAMES {
            let Ok(file) = std::fs::File::open(Path::new(&folder).join(name)) else { continue };
            let mut text = String::new();
            let said = match file.take(MOST_BYTES).read_to_string(&mut text) {
                Ok(_) => this.take(&text),
                Err(error) => Some(Said::Mistake(format!("cannot be read: {error}"))),
            };
            this.said = said.map(|said| (name, said));
            break;
        }
        this
    }

    /// Says what is wrong with the file.
    pub(super) fn say(&self, reader: &mut Reader<'_>) {
        match &self.said {
            Some((name, Said::Mistake(problem))) => reader.mistake(name, problem.as_str()),
            Some((name, Said::Warning(text))) => reader.warn(name, text.as_str()),
            None => {}
        }
    }

    fn take(&mut self, text: &str) -> Option<Said> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if let Some(error) = errors.first() {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let problem = format!("line {line}: {}: the file is not used", error.message());
            return Some(Said::Mistake(problem));
        }
        let mut unused = Vec::new();
        for (section, values) in table.get_ref() {
            let section = section.get_ref().as_ref();
            let DeValue::Table(values) = values.get_ref() else {
                unused.push(section.to_owned());
                continue;
            };
            for (key, value) in values {
                let key = [section, key.get_ref()].join(".");
                if !self.value(&key, value.get_ref()) {
                    unused.push(key);
                }
            }
        }
        // Headers are credentials, and go to the endpoint that stands beside them.
        let headers = self.headers.take();
        let has_endpoint = |(name, _): &(&str, String)| [ENDPOINT, OTEL_ENDPOINT].contains(name);
        let names = self.names_of_destination().filter(|_| self.values.iter().any(has_endpoint));
        match (headers, names) {
            (Some(headers), Some([_, variable])) => self.fill(variable, headers),
            (Some(_), None) => {
                unused.push("exporter.headers (another endpoint is used)".to_owned());
            }
            (None, _) => {}
        }
        if unused.is_empty() {
            return None;
        }
        let more = unused.len().saturating_sub(MOST_NAMED);
        unused.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(Said::Warning(format!("these keys are not used: {}{more}", unused.join(", "))))
    }

    /// Takes a value as that of a variable; `false` where no variable means the same.
    fn value(&mut self, key: &str, value: &DeValue<'_>) -> bool {
        let text = match value {
            DeValue::Table(headers) if key == "exporter.headers" => {
                let pairs = headers.iter().filter_map(|(name, value)| {
                    let value = value.get_ref().as_str()?;
                    // A comma would begin the next header.
                    let value = value.replace('%', "%25").replace(',', "%2C");
                    Some([name.get_ref().as_ref(), &value].join("="))
                });
                let pairs: Vec<String> = pairs.collect();
                self.headers = Some(pairs.join(","));
                return true;
            }
            DeValue::String(text) => text.as_ref().to_owned(),
            // Of the variable a small number may mean seconds.
            DeValue::Integer(number) if key == "exporter.timeout" => format!("{number}ms"),
            DeValue::Integer(number) => number.to_string(),
            _ => return false,
        };
        match key {
            "exporter.endpoint" => {
                if let Some([endpoint, _]) = self.names_of_destination() {
                    self.fill(endpoint, text);
                }
            }
            // Whose variables name another protocol has them tell it the function's SDK, or this extension.
            "exporter.protocol" if self.is_remote_told() && self.is_set(OTEL_PROTOCOL) => {}
            "exporter.protocol" => {
                let protocol = if text == "http" { "http/protobuf".to_owned() } else { text };
                self.fill(PROTOCOL, protocol);
            }
            "flush.strategy" => {
                let hold = STRATEGIES.iter().find(|(strategy, _)| *strategy == text);
                self.fill("LAMBDA_OTLP_HOLD", hold.map_or(text, |(_, hold)| (*hold).to_owned()));
            }
            "flush.max_queue_bytes" => match text.parse::<u64>() {
                Ok(bytes) => self.fill(MAX_BUFFER, bytes.div_ceil(MIB).to_string()),
                Err(_) => return false,
            },
            _ => {
                let same = SAME.iter().find(|(of_file, _)| *of_file == key);
                let Some((_, variable)) = same else { return false };
                self.fill(variable, text);
            }
        }
        true
    }

    /// The variables that the file's endpoint and headers stand for: those of OpenTelemetry, or ours where they tell the function's SDK
    /// where this extension is. `None` where variables name a destination.
    fn names_of_destination(&self) -> Option<[&'static str; 2]> {
        let has_o2 = self.is_set(O2_ORGANIZATION) && self.is_set(O2_AUTHORIZATION);
        match self.variables.get(OTEL_ENDPOINT) {
            _ if self.is_set(ENDPOINT) || has_o2 || self.is_remote_told() => None,
            Some(_) => Some([ENDPOINT, HEADERS]),
            None => Some([OTEL_ENDPOINT, OTEL_HEADERS]),
        }
    }

    /// Whether OpenTelemetry's variables name another host.
    fn is_remote_told(&self) -> bool {
        let url = self.variables.get(OTEL_ENDPOINT);
        url.is_some_and(|url| endpoint(&url) == Endpoint::Elsewhere)
    }

    fn is_set(&self, name: &str) -> bool {
        self.variables.get(name).is_some()
    }

    fn fill(&mut self, variable: &'static str, value: String) {
        self.values.push((variable, value));
    }
}

impl Source for WithFile<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let of_file = || {
            let (_, value) = self.values.iter().find(|(variable, _)| *variable == name)?;
            (!value.is_empty()).then(|| value.clone())
        };
        self.variables.get(name).or_else(of_file)
    }

    /// Misspelt keys are named as such.
    fn names(&self) -> Vec<String> {
        self.variables.names()
    }

    fn origin(&self) -> &'static str {
        self.variables.origin()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, HoldMode, Output};
    use backend::Protocol;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use wire::SignalKind;

    /// What comes of a file of this name and these variables.
    fn config_of(name: &str, text: &str, variables: &[(&str, &str)]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let mut source: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        source.insert("LAMBDA_TASK_ROOT".into(), folder.path().to_str().unwrap().into());
        Config::from_source(&source)
    }

    fn config(text: &str, variables: &[(&str, &str)]) -> Config {
        config_of("lambda-otlp.toml", text, variables)
    }

    /// The URL of traces, and the authorization header.
    fn destination(config: &Config) -> (String, String) {
        let Output::Otlp(direct) = &config.choice.output else { panic!("{:?}", config.choice) };
        let mut headers = direct.destination.headers.iter();
        let authorization = headers.find(|(name, _)| *name == "authorization");
        let authorization = authorization.map(|(_, value)| value.expose().to_owned());
        let url = direct.destination.endpoints.of(SignalKind::Traces).to_string();
        (url, authorization.unwrap_or_default())
    }

    const FILE: &str = r#"
        # As djv3's extension has it.
        [exporter]
        endpoint = "https://file.example.com/api/default"
        protocol = "http"
        timeout = 700
        compression = "none"
        [exporter.headers]
        authorization = "Basic aHVudGVyMg==, 100 %"
        [receiver]
        http_port = 4400
        [flush]
        strategy = "end"
        interval = "7s"
        max_queue_bytes = 3_000_000
    "#;

    #[test]
    fn its_values_are_those_of_variables() {
        let config = config(FILE, &[]);
        assert_eq!(config.complaint(), "");
        let url = "https://file.example.com/api/default/v1/traces";
        assert_eq!(destination(&config), (url.to_owned(), "Basic aHVudGVyMg==, 100 %".to_owned()));
        let Output::Otlp(direct) = &config.choice.output else { panic!() };
        assert_eq!(direct.protocol, Protocol::HttpProtobuf);
        assert_eq!(direct.destination.request_timeout, Duration::from_millis(700));
        assert_eq!(direct.flush.interval, Duration::from_secs(7));
        assert_eq!(direct.flush.buffer_bytes, 3 << 20);
        assert_eq!((config.receiver_port, config.hold), (4400, HoldMode::Always));
        // djv3's file, where ours is not there.
        let theirs = config_of("otel-extension.toml", FILE, &[]);
        assert_eq!(theirs.receiver_port, 4400);
    }

    #[test]
    fn variables_win_and_credentials_stay_with_their_endpoint() {
        let check = |variables: &[(&str, &str)], url: &str, authorization: &str| {
            let config = config(FILE, variables);
            let expected = (format!("{url}/v1/traces"), authorization.to_owned());
            assert_eq!(destination(&config), expected, "{variables:?}");
            config.complaint()
        };
        let (file, secret) = ("https://file.example.com/api/default", "Basic aHVudGVyMg==, 100 %");
        let own = ("LAMBDA_OTLP_ENDPOINT", "https://own.example.com");
        let otel = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com");
        let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic b3RlbA==");
        assert_eq!(check(&[here], file, secret), "");
        assert_eq!(check(&[headers], file, "Basic b3RlbA=="), "");
        let said = "lambda-otlp.toml: these keys are not used: exporter.headers (another endpoint is used)";
        assert_eq!(check(&[own], "https://own.example.com", ""), said);
        assert_eq!(check(&[otel], "https://otel.example.com", ""), said);
        let o2 = [("O2_ORGANIZATION_ID", "shop"), ("O2_AUTHORIZATION_HEADER", "Basic bzI=")];
        let config = config(FILE, &[o2[0], o2[1], ("O2_FLUSH_INTERVAL_MS", "9000")]);
        let Output::Json(direct) = &config.choice.output else { panic!("{:?}", config.choice) };
        assert_eq!(direct.flush.interval, Duration::from_secs(9));
    }

    #[test]
    fn what_is_not_used_is_said_in_one_line() {
        let text = r#"
            title = "hunter2"
            [exporter]
            endpont = "https://hunter2.example.com"
            [correlation]
            max_correlation_delay = 500
            emit_orphaned_spans = true
        "#;
        let said = "lambda-otlp.toml: these keys are not used: correlation.emit_orphaned_spans, \
                    correlation.max_correlation_delay, exporter.endpont, title";
        let config = config(text, &[]);
        assert_eq!((config.complaint().as_str(), &config.choice.output), (said, &Output::Stdout));
        assert!(config.mistakes.is_empty());
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_its_line_and_nothing_of_it_is_used() {
        let text = "[exporter]\nendpoint = \"https://o2.example.com\"\nheaders = hunter2\n";
        let config = config(text, &[]);
        assert_eq!(config.choice.output, Output::Stdout);
        let complaint = config.complaint();
        assert!(complaint.starts_with("lambda-otlp.toml: line 3: "), "{complaint}");
        assert!(!complaint.contains("hunter2") && config.mistakes.len() == 1, "{complaint}");
    }

    #[test]
    fn a_value_that_is_wrong_is_named_by_the_variable_that_it_stands_for() {
        let config = config("[flush]\ninterval = \"soon\"\nstrategy = \"later\"\n", &[]);
        let complaint = config.complaint();
        for name in ["O2_FLUSH_INTERVAL_MS: ", "LAMBDA_OTLP_HOLD: "] {
            assert!(complaint.contains(name), "{complaint}");
        }
    }
}
