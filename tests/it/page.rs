//! The live page of `lambda-otlp dev --open` in Chromium. The gate's long form runs it.

use crate::dev::dev;
use crate::program::Served;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A page in Chromium, driven by the Chrome DevTools Protocol: JSON messages that end in NUL, by two pipes.
struct Browser {
    process: Child,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    count: u64,
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Browser {
    fn start(profile: &Path) -> Self {
        const CHROMIUM: &str = r#"exec chromium --headless --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir="$0" about:blank 3<&0 4>&1 >/dev/null 2>&1"#;
        let mut command = Command::new("sh");
        command.args(["-c", CHROMIUM]).arg(profile).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut browser = Self { process, answers, session: None, count: 0 };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut pipe = self.process.stdin.as_ref().unwrap();
        write!(pipe, "{message}\0").unwrap();
        loop {
            let mut answer = Vec::new();
            self.answers.read_until(0, &mut answer).unwrap();
            assert_eq!(
                answer.pop(),
                Some(0),
                "Chromium has ended: is the package chromium installed?"
            );
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.count {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn open(&mut self, address: &str) {
        self.call("Page.navigate", &json!({ "url": address }));
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    fn wait_for(&mut self, expression: &str) {
        for _ in 0..300 {
            if self.value(expression) == true {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let text = self.value("document.body.innerText");
        panic!("{expression}: {text}");
    }

    fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key.len() == 1 { key } else { "" };
            let event = json!({ "type": kind, "key": key, "text": text });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }
}

/// Prints text that would be markup.
const FUNCTION: &str = r#"
import urllib.request, os

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(API + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    print("<img src=x onerror=alert(1)></script><script>alert(1)</script>", flush=True)
    answer = urllib.request.Request(API + request + "/response", data=b'"<b>fine</b>"')
    urllib.request.urlopen(answer).close()
"#;

const TRACES: &str = "document.querySelectorAll('#list button').length";
const ROWS: &str = "document.querySelectorAll('#trace .row').length";

#[test]
#[ignore = "needs Chromium; the gate's long form runs it"]
fn the_live_page_shows_traces_and_repeats_events() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("function.py"), FUNCTION).unwrap();
    let arguments = [
        "--name",
        "shop",
        "--open",
        "--event-kind",
        "sqs",
        "--repeat",
        "2",
        "--",
        "python3",
        "function.py",
    ];
    let mut served = Served::start(&mut dev(folder.path(), &arguments));
    let mut stderr = BufReader::new(served.process.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.strip_prefix("live page: ").unwrap().split(';').next().unwrap();
    let mut browser = Browser::start(&folder.path().join("profile"));
    browser.open(address);
    check_first_trace(&mut browser);
    check_keyboard(&mut browser);
    // The event runs again. The extension decides when it writes the trace.
    browser.value("[...document.querySelectorAll('button')].find(it => it.textContent === 'Run again').click()");
    browser.wait_for("invocations.size === 3");
    check_large_trace(&mut browser);
    check_failed_trace(&mut browser);
    check_short_waits(&mut browser);
    check_widths_and_colours(&mut browser);

    // A saved page has the traces, and needs no server.
    browser.value("URL.createObjectURL = blob => { window.saved = blob; return '#'; }; document.getElementById('save').click()");
    let count = browser.value("traces.size");
    let saved = browser.value("window.saved.text()");
    let path = folder.path().join("traces.html");
    std::fs::write(&path, saved.as_str().unwrap()).unwrap();
    drop(served);
    browser.open(&format!("file://{}", path.display()));
    browser.wait_for(&format!("{TRACES} === {count}"));
    browser.wait_for("document.querySelectorAll('#trace script, #trace img').length === 0");
    check_new_beginning(&mut browser);
    check_bound_of_a_trace(&mut browser);
}

/// When the server begins again, so does the count of forgotten traces.
fn check_new_beginning(browser: &mut Browser) {
    const FORGOTTEN: &str =
        "document.getElementById('state').textContent.includes('older ones forgotten')";
    browser.value(
        "take({ spans: Array.from({ length: MAX_TRACES + 1 }, (_, at) => ({ traceId: String(at), spanId: '1' })) })",
    );
    browser.wait_for(FORGOTTEN);
    browser.value("clear(); take({ spans: [{ traceId: '1', spanId: '1' }] })");
    browser.wait_for(&format!("{TRACES} === 1 && !{FORGOTTEN}"));
}

/// A single trace with more spans and records than a page can hold loses the oldest ones, and the page says so.
fn check_bound_of_a_trace(browser: &mut Browser) {
    browser.value(
        "clear(); take({ \
            spans: Array.from({ length: MAX_SPANS + 7 }, (_, at) => ({ traceId: '1', spanId: String(at) })), \
            records: Array.from({ length: MAX_RECORDS + 5 }, (_, at) => ({ traceId: '1', timeUnixNano: String(at) })) })",
    );
    browser.wait_for(
        "document.getElementById('state').textContent.includes('12 older spans and records')",
    );
    browser.wait_for("counts.spans === MAX_SPANS && traces.get('1').spans.size === MAX_SPANS");
    browser.wait_for("!traces.get('1').spans.has('6') && traces.get('1').spans.has('7')");
    browser.wait_for("traces.get('1').records.length === MAX_RECORDS");
}

/// The trace of the first invocation shows the event and the function's output as text.
fn check_first_trace(browser: &mut Browser) {
    // The extension writes Lambda's span of an invocation with the next one.
    browser.wait_for(&format!("{TRACES} === 1"));
    browser.wait_for("document.body.innerText.includes('live, 1 trace')");
    let trace_text = |browser: &mut Browser| {
        let value = browser.value("document.getElementById('trace').innerText");
        value.as_str().unwrap().to_owned()
    };
    let text = trace_text(browser);
    assert!(text.contains("<img src=x onerror=alert(1)></script><script>"), "{text}");
    assert!(text.contains("Lambda: "), "{text}");
    assert_eq!(browser.value("document.querySelectorAll('#trace img, #trace script').length"), 0);
    browser.value("document.querySelector('#trace summary').click()");
    let opened = trace_text(browser);
    assert!(opened.contains("\"eventSource\": \"aws:sqs\""), "{opened}");
    assert!(opened.contains("<b>fine</b>"), "{opened}");
}

fn check_keyboard(browser: &mut Browser) {
    // The first span opens, and shows its attributes.
    browser.press("j");
    browser.press("Enter");
    browser
        .wait_for("document.querySelector('#trace .panel').innerText.includes('faas.coldstart')");
    browser.press("/");
    browser.wait_for("document.activeElement.id === 'search'");
    browser.press("Q");
    browser.press("Q");
    browser.wait_for("document.body.innerText.includes('No trace matches.')");
    browser.press("Escape");
    browser.wait_for(&format!("{TRACES} === 1"));
    browser.press("f");
    browser.wait_for(&format!("{TRACES} === 0"));
    browser.press("f");
    browser.wait_for(&format!("{TRACES} === 1"));
}

/// A trace of 5,000 spans, of which one failed.
fn check_large_trace(browser: &mut Browser) {
    let many = "take({ spans: Array.from({ length: 5000 }, (_, at) => ({ traceId: 'f'.repeat(32), spanId: String(at + 1).padStart(16, '0'), \
                parentSpanId: at ? String(Math.ceil(at / 4)).padStart(16, '0') : '', name: 'span ' + at, service: 'service ' + at % 5, \
                startTimeUnixNano: String(BASE + BigInt(at + 1e12)), endTimeUnixNano: String(BASE + BigInt(at + 2e12)), \
                status: at === 4999 ? { code: 2, message: 'sold out' } : {} })) })";
    browser.value(many);
    browser.wait_for("traces.has('f'.repeat(32))");
    browser.value("choose('f'.repeat(32))");
    browser.wait_for(&format!("{ROWS} === 5000"));
    browser.wait_for("document.querySelector('#trace .failed').textContent.includes('sold out')");
    // A button in the summary leads to the failed span, wherever it is.
    browser.value("document.querySelector('#trace .bad .go').click()");
    browser.wait_for("document.activeElement.innerText.includes('span 4999')");
    browser.wait_for("document.activeElement.nextSibling.className === 'panel'");
    // The search leaves the spans that match, and those around them.
    browser.press("/");
    browser.value("document.getElementById('search').value = 'sold out'; later()");
    browser.wait_for(
        "document.querySelector('#trace .facts + .facts').innerText.includes('1 span with')",
    );
    browser.wait_for(&format!("{ROWS} < 20 && document.querySelector('#trace .failed') !== null"));
    browser.press("Escape");
    browser.wait_for(&format!("{ROWS} === 5000"));
    // By the keyboard: the spans below the first hide, and come back.
    browser.value("document.querySelector('#trace .row').focus()");
    browser.press("h");
    browser.wait_for(&format!("{ROWS} === 1"));
    browser.press("l");
    browser.wait_for(&format!("{ROWS} === 5000"));
    browser.press("?");
    browser.wait_for("!document.getElementById('keys').hidden");
    browser.press("?");
}

fn check_failed_trace(browser: &mut Browser) {
    // A failure tells its causes, in the summary, and a span its target.
    let failed = "take({ spans: [{ traceId: 'e'.repeat(32), spanId: '1'.repeat(16), name: 'GET', target: 'stock/slow', service: 'shop', \
                  startTimeUnixNano: String(BASE), endTimeUnixNano: String(BASE + 10n ** 9n), status: { code: 2, message: 'refused' } }], \
                  records: [{ traceId: 'e'.repeat(32), spanId: '1'.repeat(16), severityNumber: 17, causes: ['caused by no route'], \
                  timeUnixNano: String(BASE), body: { stringValue: 'refused' } }] })";
    browser.value(failed);
    browser.wait_for("traces.has('e'.repeat(32))");
    browser.value("choose('e'.repeat(32))");
    browser.wait_for("document.querySelector('#trace .row').innerText.includes('GET stock/slow')");
    browser.wait_for("document.querySelector('#trace .tools').previousSibling.innerText === 'caused by no route'");
    browser.wait_for(
        "document.querySelector('#list [aria-current=true] .why').innerText === 'refused'",
    );
    // A reader who opened a span keeps it when a trace arrives.
    browser.value("follows = true; document.querySelector('#trace .row').click()");
    browser.value(
        &failed
            .replace("'e'.repeat", "'d'.repeat")
            .replace("String(BASE)", "String(BASE + 10n ** 15n)"),
    );
    browser.wait_for(&format!("{TRACES} === traces.size && traces.has('d'.repeat(32))"));
    browser.wait_for("chosen === 'e'.repeat(32)");
}

/// A wait of a day beside two invocations of a second is drawn for an eighth of them. A span may end within it.
fn check_short_waits(browser: &mut Browser) {
    let of_execution = "[[true, 0, 86400], [false, 0, 1], [true, 1, 43200], [false, 86399, 86400]].map(([waits, from, to], at) => ({ \
                        traceId: 'c'.repeat(32), spanId: String(at), name: 'span ' + at, service: 'shop', waits, \
                        startTimeUnixNano: String(BASE + BigInt(from * 1e9)), endTimeUnixNano: String(BASE + BigInt(to * 1e9)) }))";
    browser.value(&format!("take({{ spans: {of_execution} }})"));
    browser.wait_for("traces.has('c'.repeat(32))");
    browser.value("choose('c'.repeat(32))");
    browser.wait_for(&format!("{ROWS} === 4"));
    let text = browser.value("document.getElementById('trace').innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains("24h0m0.000s\n23h59m58.000s of waits are drawn short"), "{text}");
    let places = "[...document.querySelectorAll('#trace .track > *')].map((it) => it.className + ' ' + it.style.left + ' ' + it.style.width)";
    let expected = json!([
        "bar 0% 100%",
        "wait 44.4444% 11.1111%",
        "bar 0% 44.4444%",
        "bar 44.4444% 5.55556%",
        "wait 44.4444% 5.55556%",
        "bar 55.5556% 44.4444%"
    ]);
    assert_eq!(browser.value(places), expected);
}

fn check_widths_and_colours(browser: &mut Browser) {
    for (width, scheme) in [(400, "light"), (400, "dark"), (1400, "light"), (2000, "dark")] {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        let overflow =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.value(overflow), 0, "{width} {scheme}");
        // Text and page differ in both schemes.
        let colours = "new Set([getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]).size";
        assert_eq!(browser.value(colours), 2, "{width} {scheme}");
    }
}
