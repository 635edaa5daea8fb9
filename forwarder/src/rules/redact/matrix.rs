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

/// A writer's notation of a text, and the text around it.
type Writer = (&'static str, fn(&str) -> String, &'static str, &'static str);

const NODE: &str = "2026-11-22T10:00:00.000Z\t8f507cfc-xmpl-4697-b07a-ac58fc914c95\tINFO\t";
const PYTHON: &str = "[INFO]\t2026-11-22T10:00:00.000Z\t8f507cfc-xmpl-4697-b07a-ac58fc914c95\t";

/// Writers; `N` and `P` are the prefixes of Node's and Python's runtimes.
const WRITERS: [Writer; 21] = [
    ("text", plain, "", ""),
    ("Node's text", plain, "N", ""),
    ("Python's text", plain, "P", "\n"),
    ("JSON", json, "{\"level\":\"INFO\",\"msg\":\"", "\",\"n\":1}"),
    ("Node's text with JSON", json, "N{\"msg\":\"", "\"}"),
    ("Python's text with JSON", json, "P{\"a\": [1, {\"msg\": \"", "\"}]}\n"),
    ("JSON with a trailer", json, "{\"msg\":\"", "\"} trailing"),
    ("text and JSON", json, "login {\"msg\":\"", "\"}"),
    ("two objects, in the first", json, "{\"msg\":\"", "\"}{\"n\":2}"),
    ("two objects, in the second", json, "{\"n\":{}} {\"msg\":\"", "\"}"),
    ("JSON cut off", json, "N{\"a\":{\"msg\":\"", ""),
    ("a piece of JSON", json, "lo\",\"msg\":\"", "\"},{\"b\":\"c"),
    ("JSON in JSON", json_in_json, "{\"body\":\"{\\\"msg\\\":\\\"", "\\\"}\"}"),
    ("Node's text with JSON in JSON", json_in_json, "N{\"body\":\"{\\\"msg\\\":\\\"", "\\\"}\"}"),
    ("Go's JSON in text", go_json, "2026/11/22 10:00:00 {\"msg\":\"", "\"}"),
    ("PHP's JSON in text", php_json, "login {\"msg\":\"", "\"}"),
    ("a dict of Python", python, "P{'msg': '", "', 'n': None}\n"),
    ("an object of Node", python, "N{ msg: '", "', n: [Object] }"),
    ("Rust's Debug", rust, "order Order { msg: \"", "\", n: 1 }"),
    ("Java's map", plain, "{msg=", ", n=1}"),
    ("a query", percent, "GET /x?a=1&msg=", "&b=2"),
];

fn plain(text: &str) -> String {
    text.to_owned()
}

fn json(text: &str) -> String {
    without_quotes(&serde_json::to_string(text).unwrap())
}

fn without_quotes(text: &str) -> String {
    text[1..text.len() - 1].to_owned()
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

fn begin(prefix: &str) -> String {
    match prefix.split_at_checked(1) {
        Some(("N", rest)) => format!("{NODE}{rest}"),
        Some(("P", rest)) => format!("{PYTHON}{rest}"),
        _ => prefix.to_owned(),
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
        for (writer, spell, prefix, suffix) in WRITERS {
            let case = format!("{preset}, {writer}");
            let ends = [secret.split_at(3).0, secret.split_at(secret.len() - 3).1].map(spell);
            for n in &neighbours {
                let spelt = [
                    format!("before {n}{text} after"),
                    format!("before {text}{n} after"),
                    format!("{n}{text}{n}"),
                ];
                for spelt in spelt {
                    let line = format!("{}{}{suffix}", begin(prefix), spell(&spelt));
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

/// Objects with a key `password`, whose value is at `@`; some are coloured.
const OBJECTS: [Writer; 35] = [
    ("JSON", json, "{\"a\":1,\"password\":\"@\",\"b\":2}", ""),
    ("JSON, nested", json, "{\"a\":[{\"b\":{\"password\" : \"@\"}}]}", ""),
    ("JSON, in a map", json, "{\"password\":{\"a\":[\"b\",{\"c\":\"@\"}]},\"d\":1}", ""),
    ("Node's text with JSON", json, "N{\"password\":\"@\"}", ""),
    ("Python's text with JSON", json, "P{\"a\": 1, \"password\": \"@\"}\n", ""),
    ("text and JSON", json, "login {\"user\":\"bob\",\"password\":\"@\"}", ""),
    ("text and JSON, in a map", json, "login {\"password\":{\"a\":[\"b\",{\"c\":\"@\"}]}} x", ""),
    ("text and JSON, capitals", json, "login {\"Password\":\"@\"}", ""),
    ("JSON with a trailer", json, "{\"password\":\"@\"} trailing", ""),
    ("two objects, in the first", json, "{\"password\":\"@\"}{\"n\":2}", ""),
    ("two objects, in the second", json, "{\"n\":{}} {\"password\":\"@\"}", ""),
    ("two objects, don't", json, "{don't} {\"password\":\"@\"} can't", ""),
    ("pretty JSON in text", json, "login {\n  \"a\": 1,\n  \"password\":\n    \"@\"\n}", ""),
    ("a line of pretty JSON", json, "  \"password\": \"@\",", ""),
    ("JSON cut off behind it", json, "N{\"password\":\"@\",\"a\":\"b", ""),
    ("JSON cut off in it", json, "N{\"a\":1,\"password\":\"@", ""),
    ("a map cut off", json, "N{\"a\":1,\"password\":{\"x\":[\"@", ""),
    ("a piece of JSON", json, "lo\",\"password\":\"@\"},{\"b\":\"c", ""),
    ("broken JSON", json, "{\"a\":\"x\"y\",\"password\":\"@\"}", ""),
    ("JSON in JSON", json_in_json, "{\"body\":\"{\\\"password\\\":\\\"@\\\"}\"}", ""),
    ("text with JSON in JSON", json_in_json, "N{\"body\":\"{\\\"password\\\":\\\"@\\\"}\"}", ""),
    ("text with a string of JSON", json, "body {\\\"password\\\":\\\"@\\\"} end", "in JSON"),
    ("a key in escapes", json, "N{\"pass\\u0077ord\":\"@\"}", "key"),
    ("quotes in escapes", json, "x \\u0022password\\u0022:\\u0022@\\u0022", "decoded"),
    ("a dict of Python", python, "P{'user': 'bob', 'password': '@', 'n': None}\n", ""),
    ("bytes of Python", python, "P{'password': b'@', 'n': None}\n", ""),
    ("a class of Python", python, "{'password': SecretStr('@'), 'n': None}\n", ""),
    ("an object of Node", python, "N{ user: 'bob', password: '@', n: [Object] }", ""),
    (
        "an object of Node in colours",
        python,
        "{ \u{1b}[32m'password'\u{1b}[39m: \u{1b}[32m'@'\u{1b}[39m }",
        "",
    ),
    ("Rust's Debug", rust, "Login { user: \"bob\", password: \"@\" }", ""),
    ("Rust's Debug of an option", rust, "Login { password: Some(\"@\") }", ""),
    ("a hash of Ruby", json, "{:user=>1, :password=>\"@\"}", ""),
    ("a hash of Ruby with strings", json, "{\"password\"=>\"@\", \"n\" => 1}", ""),
    ("a record of .NET", json, "Login { User = 1, Password = \"@\" }", ""),
    ("JSON in a query", percent_json, "GET /x?f=%7B%22password%22%3A%22@%22%7D&a=1", ""),
];

fn percent_json(text: &str) -> String {
    percent(&json(text))
}

#[test]
fn values_of_secret_keys_are_redacted_in_every_format() {
    let redaction = of_key("*password");
    let pieces = ["FIRST", "SECOND", "Q"].map(str::to_owned);
    for (writer, spell, object, note) in OBJECTS {
        for between in BETWEEN {
            let value = spell(&format!("QFIRST{between}SECONDQ"));
            let value = match note {
                "in JSON" => json(&value),
                // Decoded quotes are indistinguishable from quotes of the value.
                "decoded" if between.contains(['"', '\\', '%']) => continue,
                "key" if between == "%22" => continue,
                _ => value,
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
