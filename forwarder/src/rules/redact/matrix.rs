//! Tests every preset and `keys`, in the format of every writer, at every position in a text.

use super::tests::{of_key, redact, redaction};
use super::*;
use std::fmt::Write as _;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A preset, a text to redact, and the part that must not remain.
const SECRETS: [(&str, &str, &str); 13] = [
    ("email", "bob@example.com", "bob@example.com"),
    ("ip", "10.1.2.3", "10.1.2.3"),
    ("ip", "2001:db8::7", "2001:db8::7"),
    ("ip", "::ffff:10.1.2.3", "10.1.2.3"),
    ("card", "4111111111111111", "4111111111111111"),
    ("card", "4012 8888 8888 1881", "4012 8888 8888 1881"),
    ("aws_keys", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("aws_keys", "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SECRET_KEY),
    ("aws_keys", "SESSION_TOKEN: IQoJb3JpZ2luX2VjEXAMPLE//x", "IQoJb3JpZ2luX2VjEXAMPLE//x"),
    ("bearer", "bearer abcdef0123456789", "abcdef0123456789"),
    ("bearer", "Authorization: Basic cm9vdDpwYXNz", "cm9vdDpwYXNz"),
    ("bearer", "proxy_authorization: Bearer abcdef0123456789", "abcdef0123456789"),
    ("jwt", JWT, JWT),
];

/// Text directly before or after a secret, besides each ASCII character that is no letter or digit.
const NEIGHBOURS: [&str; 16] = [
    "",
    "\r\n",
    "\u{1b}[31m",
    "\u{1b}[1;38;5;196m",
    "→",
    "\\n",
    "\\t",
    "\\\\n",
    "\\u003e",
    "\\u001b[31m",
    "\\x1b[0m",
    "\\u{1b}[0m",
    "%3D",
    "%20",
    "%0A",
    "%253D",
];

/// A writer of texts.
struct Writer {
    name: &'static str,
    /// Its notation of a text.
    spell: fn(&str) -> String,
    before: &'static str,
    after: &'static str,
}

const NODE: &str = "2026-11-22T10:00:00.000Z\t8f507cfc-xmpl-4697-b07a-ac58fc914c95\tINFO\t";
const PYTHON: &str = "[INFO]\t2026-11-22T10:00:00.000Z\t8f507cfc-xmpl-4697-b07a-ac58fc914c95\t";

/// Writers; `N` and `P` are the prefixes of Node's and Python's runtimes.
const WRITERS: [Writer; 21] = [
    Writer { name: "text", spell: plain, before: "", after: "" },
    Writer { name: "Node's text", spell: plain, before: "N", after: "" },
    Writer { name: "Python's text", spell: plain, before: "P", after: "\n" },
    Writer {
        name: "JSON",
        spell: json,
        before: "{\"level\":\"INFO\",\"msg\":\"",
        after: "\",\"n\":1}",
    },
    Writer { name: "Node's text with JSON", spell: json, before: "N{\"msg\":\"", after: "\"}" },
    Writer {
        name: "Python's text with JSON",
        spell: json,
        before: "P{\"a\": [1, {\"msg\": \"",
        after: "\"}]}\n",
    },
    Writer {
        name: "JSON with a trailer",
        spell: json,
        before: "{\"msg\":\"",
        after: "\"} trailing",
    },
    Writer { name: "text and JSON", spell: json, before: "login {\"msg\":\"", after: "\"}" },
    Writer {
        name: "two objects, in the first",
        spell: json,
        before: "{\"msg\":\"",
        after: "\"}{\"n\":2}",
    },
    Writer {
        name: "two objects, in the second",
        spell: json,
        before: "{\"n\":{}} {\"msg\":\"",
        after: "\"}",
    },
    Writer { name: "JSON cut off", spell: json, before: "N{\"a\":{\"msg\":\"", after: "" },
    Writer {
        name: "a piece of JSON",
        spell: json,
        before: "lo\",\"msg\":\"",
        after: "\"},{\"b\":\"c",
    },
    Writer {
        name: "JSON in JSON",
        spell: json_in_json,
        before: "{\"body\":\"{\\\"msg\\\":\\\"",
        after: "\\\"}\"}",
    },
    Writer {
        name: "Node's text with JSON in JSON",
        spell: json_in_json,
        before: "N{\"body\":\"{\\\"msg\\\":\\\"",
        after: "\\\"}\"}",
    },
    Writer {
        name: "Go's JSON in text",
        spell: go_json,
        before: "2026/11/22 10:00:00 {\"msg\":\"",
        after: "\"}",
    },
    Writer {
        name: "PHP's JSON in text",
        spell: php_json,
        before: "login {\"msg\":\"",
        after: "\"}",
    },
    Writer {
        name: "a dict of Python",
        spell: python,
        before: "P{'msg': '",
        after: "', 'n': None}\n",
    },
    Writer {
        name: "an object of Node",
        spell: python,
        before: "N{ msg: '",
        after: "', n: [Object] }",
    },
    Writer {
        name: "Rust's Debug",
        spell: rust,
        before: "order Order { msg: \"",
        after: "\", n: 1 }",
    },
    Writer { name: "Java's map", spell: plain, before: "{msg=", after: ", n=1}" },
    Writer { name: "a query", spell: percent, before: "GET /x?a=1&msg=", after: "&b=2" },
];

fn plain(text: &str) -> String {
    text.to_owned()
}

fn json(text: &str) -> String {
    without_quotes(&serde_json::to_string(text).unwrap())
}

fn without_quotes(text: &str) -> String {
    text.get(1..text.len() - 1).unwrap().to_owned()
}

fn json_in_json(text: &str) -> String {
    json(&json(text))
}

fn go_json(text: &str) -> String {
    json(text).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn php_json(text: &str) -> String {
    let escaped = json(text).replace('/', "\\/");
    let mut out = String::new();
    for c in escaped.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| write!(out, "\\u{unit:04x}").unwrap());
        }
    }
    out
}

fn python(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out
}

fn rust(text: &str) -> String {
    without_quotes(&format!("{text:?}"))
}

fn percent(text: &str) -> String {
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    form.replace('+', "%20")
}

/// The text with the prefix of a runtime in place of its letter.
fn begin(text: &str) -> String {
    match text.split_at_checked(1) {
        Some(("N", rest)) => format!("{NODE}{rest}"),
        Some(("P", rest)) => format!("{PYTHON}{rest}"),
        _ => text.to_owned(),
    }
}

/// Checks that no part of a secret remains in the text, and that these words do.
#[track_caller]
fn check(redaction: &Redaction, case: &str, text: &str, secrets: &[String], keeps: &[&str]) {
    let mut redacted = text.to_owned();
    let _changed = redact(redaction, &mut redacted);
    let leaks = secrets.iter().any(|secret| redacted.contains(secret));
    let loses = keeps.iter().any(|word| text.contains(word) && !redacted.contains(word));
    assert!(!leaks && !loses, "{case}: {text:?} became {redacted:?}");
}

#[test]
fn every_preset_redacts_in_every_format_and_position() {
    let signs = (0..128u8).filter(|byte| !byte.is_ascii_alphanumeric());
    let punctuation = signs.map(|byte| char::from(byte).to_string());
    let neighbours: Vec<String> =
        NEIGHBOURS.iter().map(|text| (*text).to_owned()).chain(punctuation).collect();
    for (preset, text, secret) in SECRETS {
        let redaction = redaction(preset, "****");
        for Writer { name: writer, spell, before, after } in WRITERS {
            let case = format!("{preset}, {writer}");
            let ends = [secret.split_at(3).0, secret.split_at(secret.len() - 3).1].map(spell);
            for n in &neighbours {
                let spelt = [
                    format!("before {n}{text} after"),
                    format!("before {text}{n} after"),
                    format!("{n}{text}{n}"),
                ];
                for spelt in spelt {
                    let line = format!("{}{}{after}", begin(before), spell(&spelt));
                    if line.contains("%25253D") {
                        continue; // Encoded three times.
                    }
                    // A session token may be percent-encoded, and text after `{` or `,` may be a value.
                    let may_lose = writer == "a query" || n.ends_with(['{', ',']);
                    let keeps: &[&str] = if may_lose { &["before"] } else { &["before", "after"] };
                    check(&redaction, &case, &line, &ends, keeps);
                }
            }
        }
    }
}

/// Text between the halves of a hidden key's value.
const BETWEEN: [&str; 16] = [
    "",
    " ",
    ": ",
    "\"",
    "'",
    "\"}",
    "', '",
    "\\",
    "\\\"",
    "\\\\\"",
    "\\\\",
    "\n",
    "\t",
    "{\"x\":\"",
    "\u{1b}[0m",
    "%22",
];

/// A writer of objects.
struct ObjectWriter {
    name: &'static str,
    /// Its notation of a text.
    spell: fn(&str) -> String,
    object: &'static str,
    case: ObjectCase,
}

enum ObjectCase {
    Plain,
    /// The object is in a string of JSON.
    InString,
    EscapedKey,
    EscapedQuotes,
}

/// Objects with a key `password`, whose value is at `@`; some are coloured.
const OBJECTS: [ObjectWriter; 35] = [
    ObjectWriter {
        name: "JSON",
        spell: json,
        object: "{\"a\":1,\"password\":\"@\",\"b\":2}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON, nested",
        spell: json,
        object: "{\"a\":[{\"b\":{\"password\" : \"@\"}}]}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON, in a map",
        spell: json,
        object: "{\"password\":{\"a\":[\"b\",{\"c\":\"@\"}]},\"d\":1}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "Node's text with JSON",
        spell: json,
        object: "N{\"password\":\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "Python's text with JSON",
        spell: json,
        object: "P{\"a\": 1, \"password\": \"@\"}\n",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "text and JSON",
        spell: json,
        object: "login {\"user\":\"bob\",\"password\":\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "text and JSON, in a map",
        spell: json,
        object: "login {\"password\":{\"a\":[\"b\",{\"c\":\"@\"}]}} x",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "text and JSON, capitals",
        spell: json,
        object: "login {\"Password\":\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON with a trailer",
        spell: json,
        object: "{\"password\":\"@\"} trailing",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "two objects, in the first",
        spell: json,
        object: "{\"password\":\"@\"}{\"n\":2}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "two objects, in the second",
        spell: json,
        object: "{\"n\":{}} {\"password\":\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "two objects, don't",
        spell: json,
        object: "{don't} {\"password\":\"@\"} can't",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "pretty JSON in text",
        spell: json,
        object: "login {\n  \"a\": 1,\n  \"password\":\n    \"@\"\n}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a line of pretty JSON",
        spell: json,
        object: "  \"password\": \"@\",",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON cut off behind it",
        spell: json,
        object: "N{\"password\":\"@\",\"a\":\"b",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON cut off in it",
        spell: json,
        object: "N{\"a\":1,\"password\":\"@",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a map cut off",
        spell: json,
        object: "N{\"a\":1,\"password\":{\"x\":[\"@",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a piece of JSON",
        spell: json,
        object: "lo\",\"password\":\"@\"},{\"b\":\"c",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "broken JSON",
        spell: json,
        object: "{\"a\":\"x\"y\",\"password\":\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON in JSON",
        spell: json_in_json,
        object: "{\"body\":\"{\\\"password\\\":\\\"@\\\"}\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "text with JSON in JSON",
        spell: json_in_json,
        object: "N{\"body\":\"{\\\"password\\\":\\\"@\\\"}\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "text with a string of JSON",
        spell: json,
        object: "body {\\\"password\\\":\\\"@\\\"} end",
        case: ObjectCase::InString,
    },
    ObjectWriter {
        name: "a key in escapes",
        spell: json,
        object: "N{\"pass\\u0077ord\":\"@\"}",
        case: ObjectCase::EscapedKey,
    },
    ObjectWriter {
        name: "quotes in escapes",
        spell: json,
        object: "x \\u0022password\\u0022:\\u0022@\\u0022",
        case: ObjectCase::EscapedQuotes,
    },
    ObjectWriter {
        name: "a dict of Python",
        spell: python,
        object: "P{'user': 'bob', 'password': '@', 'n': None}\n",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "bytes of Python",
        spell: python,
        object: "P{'password': b'@', 'n': None}\n",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a class of Python",
        spell: python,
        object: "{'password': SecretStr('@'), 'n': None}\n",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "an object of Node",
        spell: python,
        object: "N{ user: 'bob', password: '@', n: [Object] }",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "an object of Node in colours",
        spell: python,
        object: "{ \u{1b}[32m'password'\u{1b}[39m: \u{1b}[32m'@'\u{1b}[39m }",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "Rust's Debug",
        spell: rust,
        object: "Login { user: \"bob\", password: \"@\" }",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "Rust's Debug of an option",
        spell: rust,
        object: "Login { password: Some(\"@\") }",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a hash of Ruby",
        spell: json,
        object: "{:user=>1, :password=>\"@\"}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a hash of Ruby with strings",
        spell: json,
        object: "{\"password\"=>\"@\", \"n\" => 1}",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "a record of .NET",
        spell: json,
        object: "Login { User = 1, Password = \"@\" }",
        case: ObjectCase::Plain,
    },
    ObjectWriter {
        name: "JSON in a query",
        spell: percent_json,
        object: "GET /x?f=%7B%22password%22%3A%22@%22%7D&a=1",
        case: ObjectCase::Plain,
    },
];

fn percent_json(text: &str) -> String {
    percent(&json(text))
}

#[test]
fn values_of_secret_keys_are_redacted_in_every_format() {
    let redaction = of_key("*password");
    let pieces = ["FIRST", "SECOND", "Q"].map(str::to_owned);
    for ObjectWriter { name: writer, spell, object, case } in OBJECTS {
        for between in BETWEEN {
            let spelt = spell(&format!("QFIRST{between}SECONDQ"));
            let value = match case {
                ObjectCase::InString => json(&spelt),
                // Decoded quotes are indistinguishable from quotes of the value.
                ObjectCase::EscapedQuotes if between.contains(['"', '\\', '%']) => continue,
                ObjectCase::EscapedKey if between == "%22" => continue,
                ObjectCase::Plain | ObjectCase::EscapedKey | ObjectCase::EscapedQuotes => spelt,
            };
            check(&redaction, writer, &begin(&object.replace('@', &value)), &pieces, &[]);
        }
    }
    for number in ["1234", "-1.5e3"] {
        for object in ["{\"password\":@}", "N{\"a\":1,\"password\": @}", "{'password': @, 'a': 1}"]
        {
            let line = begin(&object.replace('@', number));
            check(&redaction, "a number", &line, &[number.to_owned()], &[]);
        }
    }
    // Node's quotes for a string with both other quotes.
    let line = "{ user: 'bob', password: `QFIRST'\"SECONDQ`, n: 1 }";
    check(&redaction, "backticks", line, &pieces, &["user", "n: 1"]);
    // A bare value ends at a comma or a bracket.
    for object in [
        "{user=bob, password=@, a=b}",
        "{password=@}",
        "&{User:bob Password:@ N:1}",
        "map[password:@ user:bob]",
        "[map[user:bob password:@]]",
    ] {
        let line = object.replace('@', "QFIRST/SECONDQ");
        check(&redaction, "a bare value", &line, &pieces, &[]);
    }
}
