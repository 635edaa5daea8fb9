//! Families of text: heads, JSON, crashes, metrics and Lambda's own lines.

use super::Content::{Made, Nested, Repeated};
use super::Place::{Head, Heads, LogEvent, LogEvents, OtlpJson, SpanLine, Telemetry, XRay};
use super::{Family, repeated};
use wire::SignalKind::{Logs, Metrics, Traces};

const TIME: &str = "2026-11-28T03:15:54Z ";
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA== ";
const RUNTIME: &str = "2026-11-28T03:15:54.000Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tINFO\t";

const fn head(name: &'static str, begin: &'static str, unit: &'static str) -> Family {
    Family::new(name, Head, Repeated { begin, unit, end: "" })
}

const fn heads(name: &'static str, line: &'static str) -> Family {
    Family::new(name, Heads, Repeated { begin: "", unit: line, end: "" })
}

/// Text before a message.
pub(super) const HEADS: &[Family] = &[
    head("CloudFront's ids", "", ID),
    head("Kubernetes' prefixes", "", "2026-11-28T03:15:54Z stderr F "),
    head(
        "Kubernetes' and CloudFront's prefixes",
        "",
        "2026-11-28T03:15:54Z stdout F AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA== ",
    ),
    head("names behind a time", TIME, "a.b "),
    head("names in brackets", "", "[a]"),
    head("names in brackets, apart", "", "[a] "),
    head("open brackets", "", "["),
    head("open parentheses behind a name", "[a] ", "("),
    head("times", "", "2026-11-28 03:15:54 "),
    head("times in brackets", "", "[2026-11-28 03:15:54]"),
    head("digits", "", "7"),
    head("numbers behind a time", TIME, "8#8: "),
    head("klog", "", "E0921 14:13:20.000000 "),
    head("Ruby's logger", "", "E, [2026-11-28T03:15:54.000000 #8] "),
    head("syslog's priorities", "", "<11>"),
    head("an open priority", "", "<1"),
    head("spaces behind a time", TIME, " "),
    head("dashes behind a time", TIME, "-- "),
    head("dashes without an end", TIME, "-"),
    head("tabs behind a time", TIME, "\t"),
    head("bars behind a time", TIME, "| "),
    head("levels", "", "ERROR "),
    head("levels with colons", "", "ERROR:"),
    head("levels in brackets", "", "[ERROR]"),
    head("level and blanks", "error:", " "),
    head("level and digits", "error: ", "7"),
    head("prefixes of a runtime", "", RUNTIME),
    head("request ids", TIME, "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 "),
    head("PostgreSQL's fields", TIME, "UTC:10.0.0.1(54321):app@shop:[8]:"),
    head("a name and an open level", "app - ", "ERROR "),
    head("files in braces", TIME, "{a.py:1} "),
    head("a long word", "", "Word"),
    head("colours", "", "\u{1b}[31m"),
    head("open colours", "", "\u{1b}["),
    head("line ends", "", "\n"),
    head("byte order marks", "", "\u{feff}"),
    head(
        "a second line of java.util.logging",
        "Nov 28, 2026 3:15:54 AM shop.Orders run\n",
        "SEVERE",
    ),
    head("beyond ASCII", TIME, "é "),
    head("npm", "", "npm ERR! "),
    head("names and colons", "", "app:"),
    head("names, colons and slashes behind a time", TIME, "a/ERROR/b:"),
    head("symbols", "", "✖ "),
    head("open symbols", "", "✖"),
    head("glog", "", "E20261128 03:15:54.377 "),
    head("weekdays and months", "", "Saturday, November "),
    head("Unix times", "", "1795880919.124679 "),
    head("files and lines", "", "a.py:1 "),
    head(
        "ids of traces behind bars",
        "2026-11-28T03:15:54Z INFO | ",
        "5b8aa5a2d2c872e8321cf37308d69df2 ",
    ),
    heads(
        "ten names before a level, a line",
        "2026-11-28T03:15:54Z a.b a.b a.b a.b a.b a.b a.b a.b a.b a.b ERROR boom\n",
    ),
    heads(
        "eleven names without a level, a line",
        "2026-11-28T03:15:54Z a.b a.b a.b a.b a.b a.b a.b a.b a.b a.b a.b boom\n",
    ),
    heads(
        "six pairs before a level, a line",
        "2026-11-28T03:15:54Z a=1 b=2 c=3 d=4 e=5 f=6 ERROR boom\n",
    ),
    heads(
        "names in brackets and names, a line",
        "[a] [b] x.y [c] x.y [d] x.y [e] x.y ERROR boom\n",
    ),
    heads(
        "a runtime's prefix and names, a line",
        "2026-11-28T03:15:54.000Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tINFO\t2026-11-28T03:15:54Z a.b a.b a.b a.b a.b a.b a.b a.b ERROR boom\n",
    ),
    heads(
        "prefixes and names, a line",
        "2026-11-28T03:15:54Z stderr F 2026-11-28T03:15:54Z stderr F 2026-11-28T03:15:54Z a.b a.b a.b a.b a.b a.b a.b a.b a.b ERROR boom\n",
    ),
    heads(
        "times and levels, a line",
        "[2026-11-28 03:15:54] [a] [b] [c] (d) <e> f: g: ERROR: [ERROR] boom {n}\n",
    ),
    heads(
        "one word of a level, a line",
        "[a] ALERT_ ALERT_: WARNINGS CRITICALS FATALITY: boom {n}\n",
    ),
];

const fn text(name: &'static str, [begin, unit, end]: [&'static str; 3]) -> Family {
    Family::new(name, LogEvent, Repeated { begin, unit, end })
}

const fn nested(
    name: &'static str,
    [begin, open, centre, close, end]: [&'static str; 5],
) -> Family {
    Family::new(name, LogEvent, Nested { begin, open, centre, close, end })
}

const fn lines(name: &'static str, line: &'static str) -> Family {
    Family::new(name, LogEvents, Repeated { begin: "", unit: line, end: "" })
}

/// A quote in a JSON string in so many other strings. Its backslash is an escape too, so that each string adds five bytes to it
/// and does not double it.
fn quote(depth: usize) -> String {
    if depth == 0 { "\"".to_owned() } else { format!("\\{}u0022", "u005c".repeat(depth - 1)) }
}

/// A record whose text is a record, and so on: `before{"log":"before{\"log…`.
fn records_in_records(bytes: usize, before: &str) -> String {
    let mut begin = String::new();
    let mut end = String::new();
    for depth in 0.. {
        let quote = quote(depth);
        begin.extend([before, "{", &quote, "log", &quote, ":", &quote]);
        end.insert_str(0, &format!("{quote}}}"));
        if begin.len() + end.len() >= bytes {
            break;
        }
    }
    begin + "x" + &end
}

const EMF: &str = r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["d"]],"Metrics":["#;

fn joined(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().concat()
}

/// As many keys as are read, and metrics without values.
fn missing_metrics(bytes: usize) -> String {
    let keys = joined(1_000, |n| format!(r#""k{n}":1,"#));
    let begin = format!("{{{keys}{}", EMF.trim_start_matches('{'));
    repeated(bytes, &begin, r#"{"Name":"m"},"#, r#"{"Name":"k1"}]}]},"d":"x"}"#)
}

/// Long dimensions that each of the metrics has.
fn long_dimensions(bytes: usize) -> String {
    let value = "v".repeat((bytes / 30).saturating_sub(20).min(4_000));
    let names: Vec<String> = (0..30).map(|n| format!("\"d{n}\"")).collect();
    let values = joined(30, |n| format!(r#","d{n}":"{value}""#));
    let metrics: Vec<String> = (0..200).map(|n| format!(r#"{{"Name":"m{n}"}}"#)).collect();
    let figures = joined(200, |n| format!(r#","m{n}":1"#));
    format!(
        r#"{{"_aws":{{"Timestamp":1790000000000,"CloudWatchMetrics":[{{"Namespace":"n","Dimensions":[[{}]],"Metrics":[{}]}}]}}{values}{figures}}}"#,
        names.join(","),
        metrics.join(","),
    )
}

const TRACEBACK: &str = "Traceback (most recent call last):\n";
const XRAY: &str = "{\"format\": \"json\", \"version\": 1}\n{\"trace_id\":\"1-5759e988-bd862e3fe1be46a994272793\",\"id\":\"70de5b6f19ff9a0a\",\"name\":\"x\",\"start_time\":1.5,\"end_time\":2.5";

/// A datagram. `begin` has the mandatory fields.
const fn xray(name: &'static str, [begin, open, centre, close, end]: [&'static str; 5]) -> Family {
    Family::new(name, XRay, Nested { begin, open, centre, close, end })
}

/// Other text.
pub(super) const TEXTS: &[Family] = &[
    nested("JSON: objects in objects", ["", r#"{"a":"#, "1", "}", ""]),
    nested("JSON: arrays in arrays", [r#"{"a":"#, "[", "1", "]", "}"]),
    nested("JSON: lists of spans", [r#"{"spans":"#, r#"[{"name":"x","a":"#, "1", "}]", "}"]),
    nested(
        "JSON: exceptions in exceptions",
        [
            r#"{"level":"error","message":"x","err":"#,
            r#"{"name":"Error","message":"x","cause":"#,
            "1",
            "}",
            "}",
        ],
    ),
    text(
        "JSON: many exceptions",
        [
            r#"{"level":"error","message":"x""#,
            r#","err":{"name":"Error","message":"x","stack":"Error: x\n    at a (b.js:1:1)"}"#,
            "}",
        ],
    ),
    text(
        "JSON: an exception of many keys",
        [r#"{"level":"error","err":{"name":"Error","message":"x""#, r#","k{n}":1"#, "}}"],
    ),
    text(
        "JSON: frames in a list",
        [
            r#"{"errorType":"Error","errorMessage":"x","stackTrace":["#,
            r#""    at a (b.js:1:1)","#,
            r#"""]}"#,
        ],
    ),
    text(
        "JSON: causes in a list",
        [
            r#"{"level":"error","event":"x","exception":["#,
            r#"{"exc_type":"E","exc_value":"x","frames":[]},"#,
            "{}]}",
        ],
    ),
    text("JSON: open objects", ["", r#"{"a":"#, ""]),
    text("JSON: many keys", [r#"{"a":1"#, r#","k{n}":{n}"#, "}"]),
    text("JSON: one key many times", [r#"{"level":"INFO""#, r#","level":"ERROR""#, "}"]),
    text("JSON: many levels", [r#"{"message":"x""#, r#","severity":"ERROR","lvl":5,"L":"x""#, "}"]),
    text(
        "JSON: many nested records",
        [r#"{"message":"x""#, r#","context":{"trace_id":"x","level":"ERROR"}"#, "}"],
    ),
    text("JSON: a long key", [r#"{""#, "k", r#"":1}"#]),
    text("JSON: escapes", [r#"{"message":""#, r"\u0041\n", r#""}"#]),
    text("JSON: backslashes", [r#"{"message":""#, r"\\", r#""}"#]),
    text("JSON: digits", [r#"{"level":"#, "7", "}"]),
    text("JSON: numbers", [r#"{"a":["#, "1.5e3,", "0]}"]),
    text("JSON: small objects in a list", [r#"{"a":["#, r#"{"":0},"#, "0]}"]),
    text("JSON: lists of scopes", [r#"{"Scopes":["#, r#"{"SpanId":"x"},"#, "{}]}"]),
    text("JSON lines", ["", "{\"a\":1}\n", ""]),
    text("JSON lines, the last one broken", ["", "{\"a\":1}\n", "{"]),
    text("JSON behind many braces", ["x ", "a{", r#""b":1}"#]),
    text("JSON behind many tabs", ["x ", "\t{", r#""b":1}"#]),
    Family::new(
        "JSON: records in records' texts",
        LogEvent,
        Made(|bytes| records_in_records(bytes, "")),
    ),
    Family::new(
        "JSON: records behind text in records' texts",
        LogEvent,
        Made(|bytes| records_in_records(bytes, "x: ")),
    ),
    text("names of trace ids", ["x ", "trace_id=", ""]),
    text("trace", ["", "trace ", ""]),
    text("spans", ["trace_id=1 ", "span", ""]),
    text("base64", ["", "aGVsbG8gd29ybGQK", ""]),
    text("blanks", ["x", " ", "y"]),
    text("logfmt: pairs", ["level=error", " k{n}=v", ""]),
    text("logfmt: open quotes", ["level=error", " k=\"v", ""]),
    text("logfmt: open single quotes", ["level=error", " k='v", ""]),
    text("logfmt: escapes", ["level=error msg=\"", r"\u0041\n", "\""]),
    text("logfmt: equals signs", ["level", "=", ""]),
    text("logfmt: words behind a pair", ["level=x ", "word ", ""]),
    text("logfmt: a long key", ["", "k", "=1 level=x"]),
    text(
        "crash: frames of Python",
        [TRACEBACK, "  File \"/var/task/a.py\", line 3, in b\n    c()\n", "ValueError: no stock"],
    ),
    text("crash: tracebacks", ["x\n", TRACEBACK, "ValueError: no stock"]),
    text(
        "crash: chained tracebacks",
        [
            "",
            "Traceback (most recent call last):\n  x\nValueError: x\n\nDuring handling of the above exception, another exception occurred:\n\n",
            "",
        ],
    ),
    text("crash: names of exceptions", [TRACEBACK, "a.Error: x\n", ""]),
    text(
        "crash: an exception group",
        ["  + Exception Group Traceback (most recent call last):\n", "  |   a.Error: x\n", ""],
    ),
    text("crash: carriage returns", [TRACEBACK, "  File \"a.py\"\r", "ValueError: x"]),
    text(
        "crash: frames of Java",
        [
            "java.lang.IllegalStateException: no stock\n",
            "\tat shop.Orders.pack(Orders.java:12)\n",
            "",
        ],
    ),
    text(
        "crash: causes of Java",
        [
            "Exception in thread \"main\" java.lang.X: y\n",
            "Caused by: java.lang.X: y\n\tat a.b(c)\n\t... 3 more\n",
            "",
        ],
    ),
    text("crash: threads of Java", ["", "Exception in thread \"main\" ", ""]),
    text(
        "crash: long lines before a report",
        [
            "fatal error: ",
            "goroutine",
            "\nfatal error: \nfatal error: \nfatal error: \nfatal error: \nfatal error: \nfatal error: \nfatal error: x",
        ],
    ),
    text(
        "crash: frames of Node",
        [
            "/var/task/index.js:3\n    throw new Error('x')\n    ^\n\nError: x\n",
            "    at handler (/var/task/index.js:3:9)\n",
            "",
        ],
    ),
    text(
        "crash: goroutines",
        [
            "panic: x\n\ngoroutine 1 [running]:\n",
            "main.handler({0x1, 0x2})\n\t/src/main.go:12 +0x1d\n",
            "",
        ],
    ),
    text(
        "crash: a backtrace of Rust",
        [
            "thread 'main' panicked at src/main.rs:4:5:\nx\nstack backtrace:\n",
            "  12: core::panicking::panic\n",
            "",
        ],
    ),
    text("crash: panics of Rust", ["", "thread 'main' panicked at ", ""]),
    text(
        "crash: frames of .NET",
        [
            "Unhandled exception. System.X: y\n",
            "   at Shop.Orders.Pack() in /src/a.cs:line 3\n",
            "",
        ],
    ),
    text(
        "crash: frames of Ruby",
        [
            "/var/task/app.rb:3:in 'handler': no stock (Shop::Error)\n",
            "\tfrom /var/task/app.rb:3:in 'b'\n",
            "",
        ],
    ),
    text("crash: places of Ruby", ["", "/a.rb:3:in 'b': c (D)", ""]),
    text(
        "crash: frames of PHP",
        [
            "PHP Fatal error:  Uncaught X: y in /a.php:3\nStack trace:\n",
            "#0 /var/task/a.php(3): b()\n",
            "",
        ],
    ),
    text("crash: uncaught words", ["PHP Fatal error:  ", "Uncaught ", ""]),
    text("crash: memory of V8", ["<--- Last few GCs --->\n", "FATAL ERROR: x\n", ""]),
    text("crash: indented lines", ["Error: x\n", "    y\n", ""]),
    lines("crash: frames of Java, a line", "\tat shop.Orders.pack(Orders.java:12)\n"),
    lines("crash: traces of Java, a line", "java.lang.X: y\n\tat a.b(c)\n\tat a.b(c)\n"),
    text("crash: a message of many lines", ["java.lang.X: y\n", "z\n", "\tat a.b(c)"]),
    text("crash: inspected objects", ["x ", "{\n  level: 'x',\n", "}"]),
    lines("crash: open messages of Java, a line", "java.lang.XError: y\nz\nz\n"),
    lines("crash: open messages of Rust, a line", "thread 'main' panicked at a.rs:1:1:\ny\nz\n"),
    lines(
        "crash: messages of Java, a line",
        "Exception in thread \"main\" a.X: y\nz\n\tat a.b(c)\n",
    ),
    lines("crash: tracebacks, a line", "Traceback (most recent call last):\n"),
    lines(
        "crash: frames of Python, a line",
        "Traceback (most recent call last):\n  File \"a.py\"\n    b()\nValueError: x\n",
    ),
    lines("crash: blank lines behind a panic, a line", "panic: x\n \n \n"),
    lines("crash: console of .NET, a line", "fail: Shop.Orders[0]\n      x\n      y\n"),
    lines("short lines", "x\n").cut(),
    text(
        "EMF: many metrics",
        [EMF, r#"{"Name":"m{n}","Unit":"Count"},"#, r#"{"Name":"d"}]}]},"d":1}"#],
    ),
    Family::new(
        "EMF: many metrics without values beside many keys",
        LogEvent,
        Made(missing_metrics),
    ),
    Family::new("EMF: long dimensions of many metrics", LogEvent, Made(long_dimensions)),
    text(
        "EMF: many dimensions",
        [
            r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":[{"Dimensions":[["#,
            r#""d{n}","#,
            r#""x"]],"Metrics":[{"Name":"m"}]}]},"m":1}"#,
        ],
    ),
    text(
        "EMF: many sets of dimensions",
        [
            r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":[{"Dimensions":["#,
            r#"["d"],"#,
            r#"["x"]],"Metrics":[{"Name":"m"}]}]},"m":1,"d":"x"}"#,
        ],
    ),
    text(
        "EMF: many directives",
        [
            r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":["#,
            r#"{"Dimensions":[["d"]],"Metrics":[{"Name":"m"}]},"#,
            r#"{}]},"m":1,"d":"x"}"#,
        ],
    ),
    text(
        "EMF: many values",
        [r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"m"}]}]},"m":["#, "1.5,", "0]}"],
    ),
    text(
        "EMF: many counts",
        [
            r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"m"}]}]},"m":{"Values":[1],"Counts":["#,
            "1,",
            "0]}}",
        ],
    ),
    lines(
        "EMF: a line for each series",
        "{\"_aws\":{\"Timestamp\":1790000000000,\"CloudWatchMetrics\":[{\"Namespace\":\"n\",\"Dimensions\":[[\"d\"]],\"Metrics\":[{\"Name\":\"m\"}]}]},\"d\":\"{n}\",\"m\":1}\n",
    ),
    text(
        "REPORT with unknown fields",
        [
            "REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tDuration: 1.0 ms\t",
            "X{n}: y\t",
            "",
        ],
    ),
    text(
        "REPORT with one field many times",
        ["REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\t", "Duration: 1.0 ms ", ""],
    ),
    text(
        "START with a long tenant",
        ["START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 1 TenantId: ", "t ", ""],
    ),
    text(
        "RequestId and an error",
        ["RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Error: ", "Runtime exited\n", ""],
    ),
    lines(
        "REPORT, a line",
        "REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tDuration: 1.0 ms\tBilled Duration: 1 ms\tMemory Size: 1 MB\tMax Memory Used: 1 MB\n",
    ),
    lines(
        "invocations with one line each",
        "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 1 TenantId: a\nx\nEND RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\n",
    ),
    lines(
        "starts of Lambda's JSON format",
        "{\"time\":\"2026-11-28T03:15:54.000Z\",\"type\":\"platform.start\",\"record\":{\"requestId\":\"r{n}\",\"version\":\"1\"}}\n",
    ),
    text(
        "a report of Lambda's JSON format",
        [
            r#"{"time":"2026-11-28T03:15:54.000Z","type":"platform.report","record":{"requestId":"r","metrics":{"#,
            r#""m{n}":1,"#,
            r#""durationMs":1},"status":"success"}}"#,
        ],
    ),
    text(
        "spans of Lambda's JSON format",
        [
            r#"{"time":"2026-11-28T03:15:54.000Z","type":"platform.runtimeDone","record":{"requestId":"r","spans":["#,
            r#"{"name":"responseLatency","start":"2026-11-28T03:15:54.000Z","durationMs":1},"#,
            r#"{}],"status":"success"}}"#,
        ],
    ),
    Family::new(
        "X-Ray's log group: arrays in arrays",
        SpanLine,
        Nested { begin: SPAN_ATTRIBUTE, open: "[", centre: "1", close: "]", end: "}}" },
    ),
    Family::new(
        "X-Ray's log group: many attributes",
        SpanLine,
        Repeated { begin: SPAN_ATTRIBUTE, unit: r#"0,"k{n}":"#, end: "0}}" },
    ),
    Family::new(
        "X-Ray's log group: small objects",
        SpanLine,
        Repeated { begin: SPAN_LIST, unit: r#"{"":0},"#, end: "0]}}" },
    ),
    Family::new(
        "X-Ray's log group: links",
        SpanLine,
        Repeated {
            begin: SPAN_LINKS,
            unit: r#"{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001"},"#,
            end: "{}]}",
        },
    ),
    Family::new(
        "X-Ray's log group: spans, a line",
        SpanLine,
        Repeated {
            begin: "",
            unit: "{\"traceId\":\"69203c0b0d1a4f4e7c1b2a3948576a61\",\"spanId\":\"a1b2c3d4e5f60001\",\"name\":\"x\",\"startTimeUnixNano\":1789999990000000000,\"endTimeUnixNano\":1789999990480000000}\n",
            end: "",
        },
    ),
    xray(
        "X-Ray: subsegments in subsegments",
        [
            XRAY,
            r#","subsegments":[{"id":"70de5b6f19ff9a0b","name":"x","start_time":1.5"#,
            "",
            "}]",
            "}",
        ],
    ),
    Family::new(
        "X-Ray: many subsegments",
        XRay,
        Repeated {
            begin: XRAY_BELOW,
            unit: r#"{"id":"70de5b6f19ff9a0b","name":"x","start_time":1.5},"#,
            end: "{}]}",
        },
    ),
    Family::new(
        "X-Ray: many annotations",
        XRay,
        Repeated { begin: XRAY_ANNOTATIONS, unit: r#""k{n}":1,"#, end: r#""x":1}}"# },
    ),
    Family::new(
        "X-Ray: many exceptions",
        XRay,
        Repeated {
            begin: XRAY_CAUSE,
            unit: r#"{"message":"x","type":"y","stack":[{"label":"a"}]},"#,
            end: "{}]}}",
        },
    ),
    xray("X-Ray: metadata in metadata", [XRAY, r#","metadata":{"a":{"b":"#, "1", "}}", "}"]),
    Family::new(
        "Telemetry API: many events",
        Telemetry,
        Repeated {
            begin: "[",
            unit: r#"{"time":"2026-11-28T03:15:54.000Z","type":"function","record":"x{n}"},"#,
            end: "{}]",
        },
    ),
    Family::new(
        "Telemetry API: open events",
        Telemetry,
        Repeated {
            begin: "[",
            unit: r#"{"time":"2026-11-28T03:15:54.000Z","type":"function","record":{"#,
            end: "",
        },
    ),
    Family::new(
        "Telemetry API: events in events",
        Telemetry,
        Nested {
            begin: "[",
            open: r#"{"type":"function","record":"#,
            centre: "1",
            close: "}",
            end: "]",
        },
    ),
    Family::new(
        "Telemetry API: many metrics",
        Telemetry,
        Repeated {
            begin: r#"[{"time":"2026-11-28T03:15:54.000Z","type":"platform.report","record":{"requestId":"r","metrics":{"#,
            unit: r#""m{n}":1,"#,
            end: r#""x":1}}}]"#,
        },
    ),
    Family::new(
        "OTLP/JSON: values in values",
        OtlpJson(Logs),
        Nested {
            begin: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#,
            open: r#"{"arrayValue":{"values":["#,
            centre: "{}",
            close: "]}}",
            end: "}]}]}]}",
        },
    ),
    Family::new(
        "OTLP/JSON: maps in maps",
        OtlpJson(Logs),
        Nested {
            begin: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#,
            open: r#"{"kvlistValue":{"values":[{"key":"k","value":"#,
            centre: "{}",
            close: "}]}}",
            end: "}]}]}]}",
        },
    ),
    Family::new(
        "OTLP/JSON: unknown objects",
        OtlpJson(Traces),
        Nested { begin: r#"{"x":"#, open: r#"{"y":"#, centre: "1", close: "}", end: "}" },
    ),
    Family::new(
        "OTLP/JSON: unknown keys",
        OtlpJson(Metrics),
        Repeated { begin: r#"{"a":1"#, unit: r#","k{n}":[{}]"#, end: "}" },
    ),
    Family::new(
        "OTLP/JSON: links",
        OtlpJson(Traces),
        Repeated {
            begin: r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","links":["#,
            unit: r#"{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001"},"#,
            end: "{}]}]}]}]}",
        },
    ),
    Family::new(
        "OTLP/JSON: packed counts",
        OtlpJson(Metrics),
        Repeated {
            begin: r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","histogram":{"dataPoints":[{"bucketCounts":["#,
            unit: "1,",
            end: "0]}]}}]}]}]}",
        },
    ),
    text("names of ours", ["{\"a\":1", ",\"lambda_otlp.k{n}\":1", "}"]),
    text("names of ours in other spellings", ["{\"a\":1", ",\"LAMBDA名OTLP名{n}\":1", "}"]),
    text("objects that may hold names of ours", ["{\"a\":1", ",\"lambda\":{\"x{n}\":{}}", "}"]),
    text(
        "an object with a name of ours at its end",
        ["{\"lambda\":{\"a\":1", ",\"x{n}\":1", ",\"otlp\":1}}"],
    ),
    Family::new(
        "objects in an object that may hold names of ours",
        LogEvent,
        Nested { begin: r#"{"aws":"#, open: r#"{"lambda":"#, centre: "1", close: "}", end: "}" },
    ),
    text(
        "a version that is none",
        ["START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: ", "x", "\n"],
    ),
    text(
        "a tenant of many words",
        ["START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 1 TenantId: ", "a ", "\n"],
    ),
    text("a runtime of many words", ["INIT_START Runtime Version: ", "a:b ", "\n"]),
    text(
        "a start with unknown values",
        [
            "{\"time\":\"2026-09-21T14:13:20.000Z\",\"type\":\"platform.start\",\"record\":{\"requestId\":\"r\"",
            ",\"k{n}\":1",
            "}}",
        ],
    ),
    Family::new(
        "OTLP/JSON: names of ours",
        OtlpJson(Logs),
        Repeated {
            begin: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":["#,
            unit: r#"{"key":"lambda_otlp.k{n}","value":{"intValue":"1"}},"#,
            end: "{}]}]}]}]}",
        },
    ),
    Family::new(
        "OTLP/JSON: maps that may hold names of ours",
        OtlpJson(Traces),
        Repeated {
            begin: r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","attributes":["#,
            unit: r#"{"key":"lambda","value":{"kvlistValue":{"values":[{"key":"k{n}"}]}}},"#,
            end: "{}]}]}]}]}",
        },
    ),
    Family::new(
        "OTLP/JSON: a trace state",
        OtlpJson(Traces),
        Repeated {
            begin: r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","attributes":[{"key":"lambda_otlp.adjusted_count","value":{"doubleValue":2}}],"traceState":"ot=th:8"#,
            unit: ";rv:90000000000000",
            end: r#""}]}]}]}"#,
        },
    ),
];

const SPAN_ATTRIBUTE: &str = r#"{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","name":"x","startTimeUnixNano":1789999990000000000,"endTimeUnixNano":1789999990480000000,"attributes":{"x":"#;
const SPAN_LIST: &str = r#"{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","name":"x","startTimeUnixNano":1789999990000000000,"endTimeUnixNano":1789999990480000000,"attributes":{"x":["#;
const SPAN_LINKS: &str = r#"{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","name":"x","startTimeUnixNano":1789999990000000000,"endTimeUnixNano":1789999990480000000,"links":["#;
const XRAY_BELOW: &str = "{\"format\": \"json\", \"version\": 1}\n{\"trace_id\":\"1-5759e988-bd862e3fe1be46a994272793\",\"id\":\"70de5b6f19ff9a0a\",\"name\":\"x\",\"start_time\":1.5,\"end_time\":2.5,\"subsegments\":[";
const XRAY_ANNOTATIONS: &str = "{\"format\": \"json\", \"version\": 1}\n{\"trace_id\":\"1-5759e988-bd862e3fe1be46a994272793\",\"id\":\"70de5b6f19ff9a0a\",\"name\":\"x\",\"start_time\":1.5,\"end_time\":2.5,\"annotations\":{";
const XRAY_CAUSE: &str = "{\"format\": \"json\", \"version\": 1}\n{\"trace_id\":\"1-5759e988-bd862e3fe1be46a994272793\",\"id\":\"70de5b6f19ff9a0a\",\"name\":\"x\",\"start_time\":1.5,\"end_time\":2.5,\"cause\":{\"exceptions\":[";
