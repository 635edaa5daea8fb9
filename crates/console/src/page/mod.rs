//! One page that shows traces: of the demo's run, of a saved file, and live.
//!
//! It has all it needs: no request leaves it, except those to the program that serves it live. Its content security policy
//! allows only its own script and style, by their hashes.

use crate::waterfall::{
    Scoped, WAIT_FRACTION, WAITS_FRACTION, WaitingSpans, causes_of_record, causes_of_span,
    prefix_bytes, target,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

const SCRIPT: &str = include_str!("script.js");
const STYLE: &str = include_str!("style.css");

/// The content of a page.
#[derive(Debug, Default, Serialize)]
pub struct Page {
    pub title: String,
    /// The page gets more messages from its server.
    pub live: bool,
    /// A time near those of the telemetry, in nanoseconds since the Unix epoch, as text: JSON's numbers are too short.
    pub base: String,
    /// Objects as [`telemetry`] makes them, and those about invocations.
    pub messages: Vec<Value>,
    /// The names of traces by the ids of their invocations.
    pub names: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<PageVerdict>,
    pub sections: Vec<Section>,
}

/// The result of the demo's checks.
#[derive(Debug, Serialize)]
pub struct PageVerdict {
    pub text: String,
    pub good: bool,
}

/// Texts and a table next to the traces.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    pub title: String,
    pub paragraphs: Vec<String>,
    /// The names of the columns; `#` begins that of a column of numbers.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// What the page's script reads.
#[derive(Serialize)]
struct PageData<'p> {
    #[serde(flatten)]
    page: &'p Page,
    /// One wait is drawn at most as long as this fraction of the running time: 8 stands for an eighth.
    wait_fraction: u64,
    /// The same for all waits together.
    all_waits_fraction: u64,
}

/// Makes the message of these spans and log records: OTLP/JSON with service, scope, target, causes, whether a span lasts while its
/// execution waits, and the length of what stands before a record's message.
pub fn telemetry(
    spans: &[Scoped<Span>],
    records: &[Scoped<LogRecord>],
) -> Result<Value, serde_json::Error> {
    let waiting = WaitingSpans::among(spans.iter().map(|span| &span.item));
    let span_value = |span: &Scoped<Span>| {
        let Scoped { item, .. } = span;
        let further = [
            ("target", json!(target(item))),
            ("causes", json!(causes_of_span(item))),
            ("waits", json!(waiting.contains(item))),
        ];
        page_value(span, further)
    };
    let record_value = |record: &Scoped<LogRecord>| {
        let prefix = prefix_bytes(&record.item);
        let causes = causes_of_record(&record.item);
        page_value(record, [("causes", json!(causes)), ("prefix", json!(prefix))])
    };
    let spans: Vec<Value> = spans.iter().map(span_value).collect::<Result<_, _>>()?;
    let records: Vec<Value> = records.iter().map(record_value).collect::<Result<_, _>>()?;
    Ok(json!({ "spans": spans, "records": records }))
}

/// Makes the value of a span or log record, with fields that the page does not compute itself.
fn page_value<T: Serialize, const N: usize>(
    scoped: &Scoped<T>,
    further: [(&str, Value); N],
) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(&scoped.item)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("service".to_owned(), scoped.service.as_str().into());
        object.insert("scope".to_owned(), scoped.scope.as_str().into());
        object.extend(further.map(|(key, value)| (key.to_owned(), value)));
    }
    Ok(value)
}

impl Page {
    /// The page in HTML.
    pub fn html(&self) -> Result<String, serde_json::Error> {
        let data = PageData {
            page: self,
            wait_fraction: WAIT_FRACTION,
            all_waits_fraction: WAITS_FRACTION,
        };
        // `<` would end the element; the escape has the same value.
        let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
        let title = escaped(&self.title);
        let policy = content_security_policy(self.live);
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>{title}</h1>\
             <input id=\"search\" type=\"search\" placeholder=\"Search (/)\" aria-label=\"Search in all texts\">\
             <label><input id=\"failed\" type=\"checkbox\"> failed only (f)</label>\
             <label><input id=\"slow\" type=\"checkbox\"> slow spans first (s)</label>\
             <select id=\"order\" aria-label=\"Order of traces\"><option value=\"new\">newest first</option>\
             <option value=\"slow\">slowest first</option></select>\
             <button id=\"save\" type=\"button\">Save page</button>\
             <button id=\"help\" type=\"button\">Keys (?)</button>\
             <span id=\"state\" role=\"status\"></span>\
             <p id=\"keys\" hidden>/ search, n and p next and previous trace, j and k next and previous span, Enter opens a span, h and l hide and show the spans below it, \
             f failed only, s slow spans first, Escape ends the search</p></header>\n\
             <section id=\"report\"></section>\n\
             <main><nav id=\"list\" aria-label=\"Traces\"></nav><section id=\"trace\" aria-label=\"Trace\"></section></main>\n\
             <script id=\"data\" type=\"application/json\">{data}</script>\n\
             <script>{SCRIPT}</script>\n</body>\n</html>\n"
        ))
    }
}

pub fn content_security_policy(is_live: bool) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let connections = if is_live { "; connect-src 'self'" } else { "" };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'{connections}; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waterfall::DrawnRecord;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
    use platform::{EndedExecution, History, Home};
    use wire::Traces;

    #[test]
    fn the_page_is_one_small_file_without_other_addresses() {
        let html = Page::default().html().unwrap();
        assert!(html.len() < 100_000, "{}", html.len());
        for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_words_before_a_message_are_those_that_the_terminal_leaves_out() {
        let shown = |body: &str| {
            let value = Some(any_value::Value::StringValue(body.to_owned()));
            let body_value = AnyValue { value };
            let item = LogRecord { body: Some(body_value), ..LogRecord::default() };
            let record = Scoped { service: String::new(), scope: String::new(), item };
            let message = telemetry(&[], std::slice::from_ref(&record)).unwrap();
            let prefix = message["records"][0]["prefix"].as_u64().unwrap();
            let on_page = body.get(usize::try_from(prefix).unwrap()..).unwrap().to_owned();
            assert_eq!(DrawnRecord::of(&record).lines, [on_page.as_str()]);
            on_page
        };
        assert_eq!(shown("[payment] refused"), "[payment] refused");
        assert_eq!(shown("[ERROR] refused"), "refused");
        let request_id = "8f507cfc-6a9b-4d0f-9c8c-5b6d8e0f0001";
        assert_eq!(shown(&format!("2026-11-29T13:14:15.123Z\t{request_id}\tNOTICE\tlow")), "low");
    }

    #[test]
    fn the_page_is_told_which_spans_last_while_their_execution_waits() {
        let check = |name: &str, expected: &[&str]| {
            let path = format!("{}/../../tests/fixtures/executions", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read(format!("{path}/{name}.json")).unwrap();
            let fixture: Value = serde_json::from_slice(&text).unwrap();
            let home = Home { account: "123456789012", region: "eu-west-1" };
            let execution = EndedExecution::from_event(&fixture["status"], home).unwrap();
            let mut history = History::new(execution);
            history.add_page(fixture["history"].to_string().as_bytes()).unwrap();
            let requests = history.into_requests(None).into_iter();
            let decoded = requests.map(|request| request.decode::<Traces>().unwrap().unwrap());
            let containers = decoded.flat_map(|request| request.resource_spans);
            let spans = containers.flat_map(|it| it.scope_spans).flat_map(|it| it.spans);
            let scoped = |item| Scoped { service: String::new(), scope: String::new(), item };
            let message = telemetry(&spans.map(scoped).collect::<Vec<_>>(), &[]).unwrap();
            let waits = message["spans"].as_array().unwrap().iter();
            let waits = waits.filter(|span| span["waits"] == true);
            let names: Vec<&str> = waits.map(|span| span["name"].as_str().unwrap()).collect();
            assert_eq!(names, expected);
        };
        let of_machine = ["orders execution", "pay", "hold", "both", "notify", "items"];
        check(
            "machine",
            &[&of_machine[..], &["items iteration", "items iteration", "ship"]].concat(),
        );
        check("durable", &["orders-durable execution", "pay", "hold", "parcel", "approve"]);
    }

    #[test]
    fn content_cannot_end_its_element() {
        let text = "</script><script>alert(1)</script><!--";
        let page = Page {
            title: text.to_owned(),
            verdict: Some(PageVerdict { text: text.to_owned(), good: true }),
            ..Page::default()
        };
        let html = page.html().unwrap();
        assert_eq!(html.matches("</script>").count(), 2, "{html}");
        assert!(!html.contains("<script>alert"), "{html}");
    }
}
