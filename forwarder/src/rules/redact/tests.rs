//! Redaction of JSON, of keys and own patterns, and of values of each type.

use super::*;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

pub(super) fn redaction(preset: &str, with: &str) -> Redaction {
    let preset = Preset::named(preset).unwrap();
    Redaction {
        finders: preset.finders().unwrap(),
        keys: preset.keys().collect(),
        has_own_keys: false,
        only: Vec::new(),
        except: Vec::new(),
        parts: ItemPart::default_parts(),
        replacement: Replacement { with: with.to_owned(), salt: "0123456789abcdef".to_owned() },
    }
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> AnyValue {
    value(Value::StringValue(text.to_owned()))
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Redacts the body, and returns the counts.
pub(super) fn redact(redaction: &Redaction, text: &mut String) -> Redacted {
    let mut redacted = Redacted::default();
    redaction.text(ItemPart::Body, text, &mut redacted);
    redacted
}

/// Redacts texts. «…» marks what is hidden, and is not in the text.
#[track_caller]
fn check(preset: &str, marked: &[&str]) {
    check_with(&redaction(preset, "****"), marked);
}

#[track_caller]
fn check_with(redaction: &Redaction, marked: &[&str]) {
    for marked in marked {
        let mut pieces = marked.split('«');
        let mut expected = pieces.next().unwrap().to_owned();
        for (_, after) in pieces.map(|piece| piece.split_once('»').unwrap()) {
            expected.push_str("****");
            expected.push_str(after);
        }
        check_one(redaction, &marked.replace(['«', '»'], ""), &expected);
    }
}

#[track_caller]
fn check_one(redaction: &Redaction, text: &str, expected: &str) {
    let mut redacted = text.to_owned();
    let changed = redact(redaction, &mut redacted);
    assert_eq!(redacted, expected, "{text}");
    assert_eq!(changed.values, usize::from(text != expected), "{text}");
}

/// A redaction that hides the values of this key, and finds nothing else.
pub(super) fn of_key(key: &str) -> Redaction {
    let keys = vec![Pattern::new(key)];
    Redaction { finders: Vec::new(), keys, has_own_keys: true, ..redaction("jwt", "****") }
}

/// The file has a redaction after each `==`, then texts. «…» marks what is hidden.
#[test]
fn each_redaction_hides_its_matches_and_nothing_else() {
    let mut rows = 0;
    let mut redaction = of_key("password");
    for line in include_str!("../../../tests/fixtures/redaction.txt").lines() {
        match line.split_once(' ').unwrap_or_default() {
            ("#", _) => {}
            ("==", of) => {
                redaction = match of.split_once(' ').unwrap() {
                    ("preset", name) => self::redaction(name, "****"),
                    ("key", key) => of_key(key),
                    (_, pattern) => with_pattern(pattern),
                }
            }
            _ => {
                rows += 1;
                check_with(&redaction, &[line]);
            }
        }
    }
    assert!(rows > 180, "{rows}");
}

#[test]
fn half_of_a_surrogate_pair_in_json_is_no_obstacle() {
    let half = r#" {"half":"\ud800 bob@example.com"} "#;
    let replaced = " {\"half\":\"\u{fffd}\u{fffd}\u{fffd} ****\"} ";
    check_one(&redaction("email", "****"), half, replaced);
}

#[test]
fn numbers_of_a_hidden_key_become_0_and_other_scalars_stay() {
    let line = |a, b| format!(r#"{{"authorization":[{a},{b},0,true,false,null],"n":7}}"#);
    check_one(&redaction("bearer", "****"), &line("1", "-2.5"), &line("0", "0"));
    let number = (r#"{"pan": 4111111111111111, "n": 7}"#, r#"{"pan": 0, "n": 7}"#);
    check_one(&redaction("card", "****"), number.0, number.1);
}

#[test]
fn json_is_redacted_at_any_nesting_depth() {
    for depth in [90, 110, 500, 100_000] {
        let open = r#"{"a":["#.repeat(depth);
        let close = "]}".repeat(depth);
        let deep = |key, to| format!(r#"{open}{{"authorization":"{key}","a":"{to}"}}{close}"#);
        check("email", &[&deep("abc", "«bob@example.com»")]);
        check("bearer", &[&deep("«abc»", "bob@example.com")]);
        let open = "[".repeat(depth);
        let close = "]".repeat(depth);
        check("bearer", &[&format!(r#"{{"authorization":{open}"«abc»"{close},"a":"b"}}"#)]);
    }
}

#[test]
fn a_hidden_value_ends_with_its_line() {
    check_with(&of_key("password"), &["{user=bob,password=«abc»\nnext"]);
}

fn with_pattern(pattern: &str) -> Redaction {
    let finders = vec![Finder::of_pattern("own", pattern).unwrap()];
    Redaction { finders, ..redaction("jwt", "****") }
}

/// Patterns whose searches read to the end of the text after each match, with a piece of such a text.
const SLOW: [(&str, &str); 4] = [
    (r"token=(?<value>[0-9a-f]+)(.*expires)?", "token=0 "),
    (".*[^A-Z]|[A-Z]", "A"),
    (r"(?s)([0-9]\b.*Z)?", "1 "),
    (".*Q|token", "token"),
];

#[test]
fn a_long_text_is_replaced_whole_if_a_pattern_is_slow() {
    for (pattern, piece) in SLOW {
        let redaction = with_pattern(pattern);
        let text = piece.repeat(3000);
        let mut redacted = text.clone();
        let counts = redact(&redaction, &mut redacted);
        assert_eq!((redacted.as_str(), counts), ("****", Redacted { values: 1, whole: 1 }));
        let mut redacted = format!(r#"{{"a":"{text}","b":[""]}}"#);
        let counts = redact(&redaction, &mut redacted);
        assert_eq!((redacted.as_str(), counts.whole), (r#"{"a":"****","b":[""]}"#, 1));
        // A short text needs no limit.
        let mut redacted = piece.repeat(4);
        let counts = redact(&redaction, &mut redacted);
        assert_eq!(counts.whole, 0, "{pattern}: {redacted}");
    }
}

#[test]
fn many_matches_of_a_fast_pattern_are_replaced_one_by_one() {
    for (pattern, one, expected) in [
        ("C-[0-9]{6}", "C-123456 ", "**** "),
        (r"sid=(?<value>[0-9a-f]+)", "x sid=12 ", "x sid=**** "),
        (r"\bC-[0-9]+\b", "für C-1 ", "für **** "),
        ("(?i)password: (?<value>.*)", "Password: a b\n", "Password: ****\n"),
        ("<pan>(?s).*?</pan>", "<pan>a\nb</pan>", "****"),
        ("[0-9]*", "12 ", "**** "),
    ] {
        let mut redacted = one.repeat(3000);
        let counts = redact(&with_pattern(pattern), &mut redacted);
        assert_eq!(redacted, expected.repeat(3000), "{pattern}");
        assert_eq!(counts, Redacted { values: 1, whole: 0 }, "{pattern}");
    }
}

#[test]
fn a_text_with_more_than_10_000_matches_is_replaced_whole() {
    for (text, matches, expected, whole) in [
        ("1234 ", 10_000, "**** ".repeat(10_000), 0),
        ("1234 ", 10_001, "****".to_owned(), 1),
        ("1234 \u{1b} ", 4_000, "**** \u{1b} ".repeat(4_000), 0),
        // Matches in decoded text count too.
        (r"1234 \u00312 ", 6_000, "****".to_owned(), 1),
    ] {
        let mut redacted = text.repeat(matches);
        let counts = redact(&with_pattern(r"\b[0-9]+\b"), &mut redacted);
        assert!(redacted == expected, "{matches} of {text:?}: {} bytes", redacted.len());
        assert_eq!(counts, Redacted { values: 1, whole });
    }
}

/// A replacement may be 200 bytes long. Without a limit, a megabyte of short matches would become 25 MB.
#[test]
fn a_text_grows_to_twice_its_size_and_256_bytes_at_most() {
    let with = "x".repeat(MAX_REPLACEMENT);
    let redaction = redaction("email", &with);
    for (matches, whole) in [(1, 0), (100, 1)] {
        let mut redacted = "a@b.de ".repeat(matches);
        let counts = redact(&redaction, &mut redacted);
        let expected = if whole == 1 { with.clone() } else { format!("{with} ") };
        assert_eq!((redacted, counts), (expected, Redacted { values: 1, whole }));
    }
    let list = vec!["a@b.de"; 100];
    let mut redacted = serde_json::to_string(&list).unwrap();
    let most = 2 * redacted.len() + MAX_GROWTH;
    let _changed = redact(&redaction, &mut redacted);
    assert!(redacted.len() <= most);
    let texts: Vec<String> = serde_json::from_str(&redacted).unwrap();
    let replaced = texts.iter().filter(|text| **text == with).count();
    let removed = texts.iter().filter(|text| text.is_empty()).count();
    assert!(replaced > 1 && replaced + removed == list.len(), "{replaced} and {removed}");
}

#[test]
fn escapes_beside_a_match_stay() {
    check_with(&with_pattern("[A-Z]+-7|8"), &["\u{1b} «AB-7» \u{1b}"]);
    // The letter of an escape may be a match.
    check_with(&with_pattern("t"), &[r"a\«t»b"]);
}

#[test]
fn the_replacement_text_is_configurable() {
    let case = |with: &str, text: &str| {
        let mut text = text.to_owned();
        let _changed = redact(&redaction("email", with), &mut text);
        text
    };
    assert_eq!(case("", "a bob@example.com b"), "a  b");
    assert_eq!(case("[{name}]", "bob@example.com"), "[email]");
    let replaced = case("<{hash}>", "bob@example.com eve@example.com bob@example.com");
    let hashes: Vec<&str> = replaced.split(' ').collect();
    assert_eq!(hashes[0], hashes[2]);
    assert_ne!(hashes[0], hashes[1]);
    assert_eq!(hashes[0].len(), "<0123456789abcdef>".len());
}

#[test]
fn overlapping_matches_are_replaced_as_one() {
    let mut redaction = redaction("email", "[{name}]");
    redaction.finders.push(Finder::of_pattern("host", r"example\.com/\w+").unwrap());
    redaction.finders.push(Finder::of_pattern("key", r"key=(?<value>\w+)").unwrap());
    let mut text = "x bob@example.com/path key=abc".to_owned();
    let _changed = redact(&redaction, &mut text);
    assert_eq!(text, "x [email] key=[key]");
}

#[test]
fn redaction_preserves_attribute_keys_and_value_types() {
    let int = |number| value(Value::IntValue(number));
    let double = |number| value(Value::DoubleValue(number));
    let bytes = |bytes: &[u8]| value(Value::BytesValue(bytes.to_vec()));
    let map = |secret: &str, raw: &[u8]| {
        let is = value(Value::BoolValue(true));
        let values = vec![pair("a", text(secret)), pair("is", is), pair("raw", bytes(raw))];
        value(Value::KvlistValue(KeyValueList { values }))
    };
    let finders = redaction("card", "****").finders;
    let redaction = Redaction { finders, ..of_key("*password") };
    // A key, its value, and the redacted value.
    let rows = [
        ("4111111111111111", text("4111111111111111"), text("****")),
        ("number", int(4_111_111_111_111_111), int(0)),
        ("other", int(4_111_111_111_111_112), int(4_111_111_111_111_112)),
        ("ratio", double(4_111_111_111_111_111.0), double(4_111_111_111_111_111.0)),
        ("raw", bytes(&[1]), bytes(&[1])),
        ("body", bytes(b"\xff4111111111111111"), bytes(b"")),
        ("user.Password", double(1.5), double(0.0)),
        ("password", map("b", &[1]), map("****", b"")),
    ];
    let (mut attributes, expected): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|(key, value, redacted)| (pair(key, value), pair(key, redacted)))
        .unzip();
    let mut redacted = Redacted::default();
    redaction.attributes(ItemPart::Attributes, &mut attributes, &mut redacted);
    assert_eq!(attributes, expected);
    assert_eq!(redacted, Redacted { values: 6, whole: 0 });
}

/// Fields without an attribute of their own are in this attribute, under any key.
#[test]
fn the_rest_attribute_is_redacted_despite_an_attribute_filter() {
    let mut redaction = redaction("email", "****");
    redaction.only = vec![Pattern::new("enduser.*")];
    let rest = r#"{"enduser.id":"bob@example.com"}"#;
    let attribute = |key: &str| pair(key, text(rest));
    let mut attributes = vec![attribute("lambda_otlp.rest"), attribute("other")];
    redaction.attributes(ItemPart::Attributes, &mut attributes, &mut Redacted::default());
    let redacted = Value::StringValue(r#"{"enduser.id":"****"}"#.to_owned());
    let rest = attributes[0].value.as_ref().and_then(|value| value.value.as_ref());
    assert_eq!(rest, Some(&redacted));
    assert_eq!(attributes[1], attribute("other"));
}

#[test]
fn texts_in_a_body_of_several_values_are_redacted() {
    let array = |values| value(Value::ArrayValue(ArrayValue { values }));
    let mut body = array(vec![text("bob@example.com"), array(vec![text("to eve@example.org")])]);
    let mut redacted = Redacted::default();
    redaction("email", "****").body(&mut body, &[], &mut redacted);
    assert_eq!(body, array(vec![text("****"), array(vec![text("to ****")])]));
    assert_eq!(redacted, Redacted { values: 2, whole: 0 });
}

/// The decoder refuses such a value, so only a request that this program makes could have one.
#[test]
fn a_value_below_too_many_levels_is_removed_and_counted() {
    let nested = |levels| {
        let array = |inner| value(Value::ArrayValue(ArrayValue { values: vec![inner] }));
        (0..levels).fold(text("bob@example.com"), |inner, _| array(inner))
    };
    let mut body = nested(100);
    let mut redacted = Redacted::default();
    redaction("email", "****").body(&mut body, &[], &mut redacted);
    assert_eq!(redacted, Redacted { values: 1, whole: 1 });
    let mut innermost = &body;
    while let Some(Value::ArrayValue(array)) = &innermost.value {
        innermost = &array.values[0];
    }
    assert_eq!(innermost, &AnyValue { value: None });
}

/// JSON in a string of JSON, and so on. Each backslash and quote is an escape, so that a level adds few bytes.
#[test]
fn texts_in_texts_are_redacted_without_a_deep_stack() {
    const LEVELS: usize = 400;
    const STACK_BYTES: usize = 256 * 1024;
    let nested = |levels: usize| {
        let quote = |level: usize| match level {
            0 => "\"".to_owned(),
            _ => format!("\\{}u0022", "u005c".repeat(level - 1)),
        };
        let open: Vec<String> = (0..levels).map(|n| format!("{{{0}a{0}:{0}", quote(n))).collect();
        let close: Vec<String> = (0..levels).rev().map(|n| format!("{}}}", quote(n))).collect();
        format!("{}bob@example.com{}", open.concat(), close.concat())
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    // Compiling its patterns needs a deeper stack.
    let redaction = redaction("email", "****");
    let read = move || {
        for levels in [1, 2, 5, LEVELS] {
            let mut text = nested(levels);
            let _counts = redact(&redaction, &mut text);
            assert!(!text.contains("bob@example.com"), "{levels} levels");
        }
    };
    thread.spawn(read).unwrap().join().unwrap();
}

/// Every text of three of these pieces is searched, if a search of it or of the text that it encodes would find something.
#[test]
fn a_text_that_is_not_searched_has_no_match() {
    const PIECES: [&str; 20] = [
        "",
        "1.2.3.4",
        ".3.4",
        "1.2",
        "::",
        ":1:2:3",
        "1",
        "4111 1111 ",
        "1111-1111",
        "\\n",
        "\\b",
        "\\u0040",
        "%40",
        "%3A",
        "\\x2e",
        "\u{1b}[0m",
        "\\",
        "mail@example.com",
        "Bearer 0123456789abcdef",
        "eyJabcdefgh.i",
    ];
    let all = PRESETS.iter().map(|preset| preset.finders().unwrap());
    let redaction = Redaction { finders: all.flatten().collect(), ..redaction("jwt", "****") };
    let mut matches = 0;
    for [first, second, third] in PIECES.iter().flat_map(|first| {
        let pairs = PIECES.iter().flat_map(|second| PIECES.map(|third| (*second, third)));
        pairs.map(|(second, third)| [*first, second, third])
    }) {
        let text = [first, second, third].concat();
        let mut layers = vec![text.clone()];
        while layers.len() <= MAX_LAYERS
            && let Some(decoded) = escapes::decode(layers.last().unwrap())
        {
            layers.push(decoded);
        }
        for layer in &layers {
            let letters = Letters::of(layer.as_bytes());
            for finder in &redaction.finders {
                let mut is_found = false;
                finder.find(layer, &mut |_| is_found = true).unwrap();
                if is_found {
                    matches += 1;
                    assert!(finder.may_find_in(layer.as_bytes(), letters), "{layer:?}");
                    assert!(redaction.may_find_in(text.as_bytes()), "{text:?}");
                }
            }
        }
    }
    assert!(matches > 1000, "{matches}");
}
