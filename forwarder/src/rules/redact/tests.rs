//! Matches and non-matches of the presets.

use super::*;

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

/// Each case has a text and its redacted form.
#[track_caller]
fn check(preset: &str, cases: &[(&str, &str)]) {
    check_with(&redaction(preset, "****"), cases);
}

#[track_caller]
fn check_with(redaction: &Redaction, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let mut redacted = (*text).to_owned();
        let changed = redaction.text(ItemPart::Body, &mut redacted);
        assert_eq!(redacted, *expected, "{text}");
        assert_eq!(changed.values, usize::from(text != expected), "{text}");
    }
}

fn of_key(key: &str) -> Redaction {
    let keys = vec![Pattern::new(key)];
    Redaction { finders: Vec::new(), keys, has_own_keys: true, ..redaction("jwt", "****") }
}

/// Every match of a preset contains one of its needles, and its keys do too.
#[test]
fn needles_skip_only_texts_without_a_match() {
    let plain = b"GET /orders 200 took 17 ms";
    for preset in PRESETS {
        let redaction = redaction(preset.name, "****");
        let rules_out = !redaction.may_find_in(plain);
        assert_eq!(rules_out, !matches!(preset.name, "ip" | "card"), "{}", preset.name);
        assert!(redaction.may_find_in(br#"{"a":"\u0040"}"#), "{}", preset.name);
        for key in preset.keys() {
            let key = key.longest_piece().to_ascii_uppercase();
            assert!(redaction.may_find_in(key.as_bytes()), "{key}");
        }
    }
}

/// Texts without a match.
#[track_caller]
fn check_stays(preset: &str, texts: &[&str]) {
    let cases: Vec<(&str, &str)> = texts.iter().map(|text| (*text, *text)).collect();
    check(preset, &cases);
}

#[test]
fn email() {
    check(
        "email",
        &[
            ("bob@example.com", "****"),
            ("mail to Bob.O_Neil+tag@mail.example.co.uk.", "mail to ****."),
            ("<bob@example.com>,<eve@example.org>", "<****>,<****>"),
            ("user=bob@example.com&x=1", "user=****&x=1"),
            ("?to=bob%40example.com", "?to=****"),
            ("mailto:bob@example.com", "mailto:****"),
            ("jürgen@müller.de", "****"),
            ("bob@xn--mller-kva.example", "****"),
            ("https://root:pass@o2.example.com/x", "https://root:****/x"),
            ("git@github.com:a/b.git", "****:a/b.git"), // a known false positive
            ("o'brien@example.com", "o'****"),          // a known rest
            (r"to\nbob@example.com", r"to\n****"),
        ],
    );
    check_stays(
        "email",
        &[
            "bob at example dot com",
            "bob@localhost",
            "npm i left-pad@1.2.3",
            "@media (max-width: 100px)",
            "a @ b.com",
            "image@sha256:0123456789abcdef",
            "5 % 40 example.com",
        ],
    );
}

#[test]
fn ip() {
    check(
        "ip",
        &[
            ("from 10.1.2.3", "from ****"),
            ("10.1.2.3:443", "****:443"),
            ("client:10.1.2.3.", "client:****."),
            ("[2001:db8::1]:443", "[****]:443"),
            ("fe80::1%eth0", "****%eth0"),
            ("::1", "****"),
            ("::ffff:10.1.2.3", "****"),
            ("host/10.1.2.3:80", "host/****:80"),
            ("x_forwarded_for=1.2.3.4, 5.6.7.8", "x_forwarded_for=****, ****"),
            ("version 1.2.3.4", "version ****"), // a known false positive
            ("face::1", "****"),                 // a known false positive
            ("10.1.2.3:error", "****:error"),
            ("10.1.2.3:443:denied", "****:443:denied"),
            ("10.1.2.3:dead", "****:dead"),
            ("10.1.2.3..10.1.2.9", "****..****"),
            ("10.1.2.3-10.1.2.9", "****-****"),
            ("10.1.2.3:10.1.2.4", "****:****"),
            ("10.1.2.3_x", "****_x"),
            ("x_10.1.2.3", "x_****"),
            (
                "10.1.2.3:10.1.2.4:10.1.2.5:10.1.2.6:10.1.2.7:10.1.2.8:10.1.2.9",
                "****:****:****:****:****:****:****",
            ),
            ("10.1.2.3:2001:db8::1", "****:****"),
            ("client:2001:db8::1:error", "client:****:error"),
            ("2001:db8::1.", "****."),
            ("1:2:3:4:5:6:7:8:443", "****"),
            ("app.py:42:2001:db8:aaaa:1:2:3:4:5 failed", "app.py:**** failed"),
            ("12:30:45:2001:db8:aaaa:2:3:4:5:6", "****"),
            ("1:2:3:4:5:6:7:8:error", "****:error"),
            ("::ffff:10.1.2.3:443", "****:443"),
            ("2001:db8:0:1:2:3:4:5", "****"),
            ("2001:db8:0:1:2:3:10.1.2.3", "****"),
            ("peer::1", "peer****"),
        ],
    );
    check_stays(
        "ip",
        &[
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "v1.2.3.4",
            "12:30:45",
            "12:30:45.123",
            "00:1a:2b:3c:4d:5e",
            "std::fmt::add",
            "std::f64::abs",
            "shop::f64: overflow",
            "h264::1",
            "::1.2.3",
            "a::b1::c",
            "Face::Add",
            "a::b",
            "::",
            "arn:aws:s3:::e2e-tests",
            "arn:aws-cn:s3:::2026/x",
            "Chrome/120.0.0.0 Safari",
            "ip-10-1-2-3.ec2.internal", // not recognised
            "10.0.0.0/8",               // a network
            "0123456789abcdef0123456789abcdef",
            "dead:beef",
        ],
    );
}

#[test]
fn card() {
    check(
        "card",
        &[
            ("4111111111111111", "****"),
            ("card 4111 1111 1111 1111 exp 12/30", "card **** exp 12/30"),
            ("4111-1111-1111-1111 123", "**** 123"),
            ("5555555555554444,", "****,"),
            ("2223003122003222", "****"),
            ("378282246310005", "****"),
            ("3782 822463 10005", "****"),
            ("6011111111111117", "****"),
            ("3530111333300000", "****"),
            ("30569309025904", "****"),
            ("6200000000000005", "****"),
            ("pan_4222222222222", "pan_****"),
            ("7 4111 1111 1111 1111", "7 ****"),
            ("pan=4111+1111+1111+1111&x=1", "pan=****&x=1"),
            (r#"{"pan":"4111111111111111"}"#, r#"{"pan":"****"}"#),
            (r#"{"pan": 4111111111111111, "n": 7}"#, r#"{"pan": 0, "n": 7}"#),
        ],
    );
    check_stays(
        "card",
        &[
            "4111111111111112",     // wrong check digit
            "1234567890123452",     // right check digit, no scheme
            "1732099200000",        // milliseconds
            "1732099200000000000",  // nanoseconds
            "41111111111111111111", // 20 digits
            "a4111111111111111",    // part of an id
            "4111111111111111f",    // part of an id
            "0.4111111111111111",   // part of a number
            "4111111111111111.5",   // part of a number
            "4111.1111.1111.1111",  // not recognised
            "411111111111",         // 12 digits
            "0000000000000000",
            "2026-11-20 10:59:30",
        ],
    );
}

/// Rate at which random digits look like a card number: one in ten has a valid check digit, and the schemes exclude a part of
/// those.
#[test]
fn random_digits_match_the_card_preset_at_the_documented_rate() {
    let mut state = 7u64;
    let mut count = |len: usize| {
        let is_found = |_: &u32| {
            let digits: String = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(b'0' + u8::try_from((state >> 33) % 10).unwrap())
                })
                .collect();
            let mut found = false;
            card::find(&digits, &mut |_| found = true);
            found
        };
        (0..20_000u32).filter(is_found).count()
    };
    // One in ten of the numbers with the prefix of a scheme: 25, 42 and 32 in 100.
    for (len, expected) in [(13, 500), (16, 832), (19, 632)] {
        let found = count(len);
        assert!(found.abs_diff(expected) < expected / 5, "{found} of 20,000 with {len} digits");
    }
}

#[test]
fn aws_keys() {
    check(
        "aws_keys",
        &[
            (r"\033[31mAKIAIOSFODNN7EXAMPLE\033[0m", r"\033[31m****\033[0m"),
            (r"\e[31mAKIAIOSFODNN7EXAMPLE\e[0m", r"\e[31m****\e[0m"),
            (
                r"aws_secret_access_key = wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLEKEY",
                "aws_secret_access_key = ****",
            ),
            (
                r"aws_secret_access_key = wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLEKE\/",
                "aws_secret_access_key = ****",
            ),
            ("AKIAIOSFODNN7EXAMPLE", "****"),
            ("key=ASIAIOSFODNN7EXAMPLE;", "key=****;"),
            (
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "aws_secret_access_key = ****",
            ),
            (
                "ReadOnlyCredentials(secret_key='wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')",
                "ReadOnlyCredentials(secret_key='****')",
            ),
            (
                r#"SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY""#,
                r#"SecretAccessKey: "****""#,
            ),
            ("AWS_SESSION_TOKEN=IQoJb3JpZ2luX2VjEXAMPLE//x", "AWS_SESSION_TOKEN=****"),
            ("?X-Amz-Security-Token=IQoJb3JpZ2luX2Vj%2F%2F&x=1", "?X-Amz-Security-Token=****&x=1"),
            (
                r#"{"SecretAccessKey":"short","AccessKeyId":"AKIAIOSFODNN7EXAMPLE"}"#,
                r#"{"SecretAccessKey":"****","AccessKeyId":"****"}"#,
            ),
            (
                r#"{"aws-secret-key":"short","h":{"secret-access-key":["short"]}}"#,
                r#"{"aws-secret-key":"****","h":{"secret-access-key":["****"]}}"#,
            ),
            (
                r#"{"awsSecretKey":"short","session-token":"short"}"#,
                r#"{"awsSecretKey":"****","session-token":"****"}"#,
            ),
            (
                r#"{"Secret Access Key":"short","x_amz_security_token":["short"]}"#,
                r#"{"Secret Access Key":"****","x_amz_security_token":["****"]}"#,
            ),
            (
                "Secret access key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "Secret access key: ****",
            ),
            (
                "<SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey><SessionToken>IQoJb3JpZ2luX2VjEXAMPLE//x</SessionToken>",
                "<SecretAccessKey>****</SecretAccessKey><SessionToken>****</SessionToken>",
            ),
            (
                "map[X-Amz-Security-Token:[IQoJb3JpZ2luX2VjEXAMPLE//x]]",
                "map[X-Amz-Security-Token:****]",
            ),
        ],
    );
    check_stays(
        "aws_keys",
        &[
            "AROAIOSFODNN7EXAMPLE", // names a role
            "AKIAIOSFODNN7EXAMPL",
            "XAKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", // nothing says what it is
            "no secret access key was found",
            "the session token expired",
        ],
    );
}

#[test]
fn bearer() {
    check(
        "bearer",
        &[
            ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ****"),
            ("bearer mF_9.B5f-4.1JqM+/~x==", "bearer ****"),
            ("forbearer 0123456789-bearer abcdef0123456789", "forbearer 0123456789-bearer ****"),
            ("authorization: Basic cm9vdDpwYXNz", "authorization: Basic ****"),
            (r#"{"authorization":"abc","x":"y"}"#, r#"{"authorization":"****","x":"y"}"#),
            (r#"{"h":{"Authorization":["abc"]}}"#, r#"{"h":{"Authorization":["****"]}}"#),
            (
                r#"{"authorization":[["a"],"b"],"c":["d"]}"#,
                r#"{"authorization":[["****"],"****"],"c":["d"]}"#,
            ),
            ("{ authorization: { note: don't }, b: 1 }", "{ authorization: ****, b: 1 }"),
            (
                "{'authorization': {'a': 'b}', 'c': ['d']}, 'n': 1}",
                "{'authorization': ****, 'n': 1}",
            ),
            (
                r#"m="{\"authorization\":\"s3c" user="\"bob\"""#,
                r#"m="{\"authorization\":\"****" user="\"bob\"""#,
            ),
            (
                r#"x {\"authorization\":{\"a\":\"b}\",\"c\":\"d\\\"]\"},\"n\":1}"#,
                r#"x {\"authorization\":****,\"n\":1}"#,
            ),
            (r#"\"authorization\": \"Basic cm9vdDpwYXNz\""#, r#"\"authorization\": \"****\""#),
            (
                "map[Accept:[*/*] Authorization:[Basic cm9vdDpwYXNz]]",
                "map[Accept:[*/*] Authorization:****]",
            ),
            ("Authorization:[Basic cm9vdDpwYXNz]", "Authorization:[Basic ****]"),
            ("authorization=Basic+cm9vdDpwYXNz&a=1", "authorization=Basic+****&a=1"),
            ("?h=Bearer+abcdef0123456789", "?h=Bearer+****"),
            ("authorization => Basic cm9vdDpwYXNz", "authorization => Basic ****"),
            ("[(b'authorization', b'Basic cm9vdDpwYXNz')]", "[(b'authorization', b'Basic ****')]"),
            (r#"["Authorization","Basic cm9vdDpwYXNz"] x"#, r#"["Authorization","Basic ****"] x"#),
            (
                r#"Authorization: Digest username="bob", nc=00000001, response="6629fae4" x"#,
                "Authorization: Digest **** x",
            ),
            (r#"Authorization: Token token="cm9vdDpwYXNz" x"#, "Authorization: Token **** x"),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=x/s3, SignedHeaders=host;range, Signature=fe5f80f7",
                "Authorization: AWS4-HMAC-SHA256 ****",
            ),
            ("Authorization: ApiKey cm9vdDpwYXNz", "Authorization: ApiKey ****"),
        ],
    );
    check_stays(
        "bearer",
        &[
            "the bearer of bad news",
            "Bearer authentication",
            "Basic authentication is required",
            "authorization failed: no credentials",
            "q=bearer+of+good+news+for+all",
            "authorization, basic training",
            "authorization: checked by=user",
        ],
    );
}

#[test]
fn jwt() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
    check(
        "jwt",
        &[
            (jwt, "****"),
            (&format!("token={jwt};"), "token=****;"),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "****"),
            ("xeyJhbGciOiJIUzI1NiJ9.x.y", "x****"),
            ("eyJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn", "****"),
        ],
    );
    check_stays("jwt", &["eyJhbGciOiJIUzI1NiJ9", "eyJ.eyJ.x"]);
}

#[test]
fn redaction_replaces_json_values_and_preserves_the_structure() {
    check(
        "email",
        &[
            (
                r#"{"to" : "bob@example.com", "n":[1, "a@b.de"]}"#,
                r#"{"to" : "****", "n":[1, "****"]}"#,
            ),
            (r#"{"bob@example.com":1}"#, r#"{"bob@example.com":1}"#),
            (r#"{"to":"bob\u0040example.com"}"#, r#"{"to":"****"}"#),
            (r#"{"q":"say \"bob@example.com\"\n"}"#, r#"{"q":"say \"****\"\n"}"#),
            (r#"{"in":"{\"to\":\"bob@example.com\"}"}"#, r#"{"in":"{\"to\":\"****\"}"}"#),
            (r#"["bob@example.com",{}]"#, r#"["****",{}]"#),
            (
                r#" {"half":"\ud800 bob@example.com"} "#,
                " {\"half\":\"\u{fffd}\u{fffd}\u{fffd} ****\"} ",
            ),
            (r#"{"broken":"bob@example.com""#, r#"{"broken":"****""#),
            (r#"{"a":"bob@example.com"} trailing"#, r#"{"a":"****"} trailing"#),
        ],
    );
}

#[test]
fn numbers_of_a_hidden_key_become_0_and_other_scalars_stay() {
    let line = |a, b| format!(r#"{{"authorization":[{a},{b},0,true,false,null],"n":7}}"#);
    check("bearer", &[(&line("1", "-2.5"), &line("0", "0"))]);
}

#[test]
fn json_is_redacted_at_any_nesting_depth() {
    for depth in [90, 110, 500, 100_000] {
        let deep = format!(
            r#"{}{{"authorization":"abc","a":"bob@example.com"}}{}"#,
            r#"{"a":["#.repeat(depth),
            "]}".repeat(depth)
        );
        check("email", &[(&deep, &deep.replace("bob@example.com", "****"))]);
        check("bearer", &[(&deep, &deep.replace("abc", "****"))]);
        let hidden = format!(
            r#"{{"authorization":{}"abc"{},"a":"b"}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        check("bearer", &[(&hidden, &hidden.replace("abc", "****"))]);
    }
}

#[test]
fn a_hidden_value_ends_where_its_format_ends_it() {
    let same = |text| (text, text);
    check_with(
        &of_key("password"),
        &[
            ("{user=bob, password=a b, n=1}", "{user=bob, password=****, n=1}"),
            ("{ password=abc }", "{ password=**** }"),
            ("{user=bob,password=abc\nnext", "{user=bob,password=****\nnext"),
            ("&{User:bob Password:abc N:1}", "&{User:bob Password:**** N:1}"),
            ("map[password:abc user:bob]", "map[password:**** user:bob]"),
            (r#"N{"password":"abc"#, r#"N{"password":"****"#),
            same("{password=null, a=1}"),
            same("{'password': None, 'a': 1}"),
            same("{password=, a=1}"),
            same("{id:1} enter the password: it has expired"),
            same("no map, password:abc"),
        ],
    );
}

#[test]
fn an_empty_body_is_not_redacted() {
    let hidden = |value: &str| KeyValue {
        key: "password".to_owned(),
        value: Some(text(value)),
        ..KeyValue::default()
    };
    for (value, expected) in [("", ""), ("abc", "****")] {
        let mut body = text(value);
        let _changed = of_key("password").body(&mut body, &[hidden(value)]);
        assert_eq!(body, text(expected));
    }
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
        let counts = redaction.text(ItemPart::Body, &mut redacted);
        assert_eq!((redacted.as_str(), counts), ("****", Redacted { values: 1, whole: 1 }));
        let mut redacted = format!(r#"{{"a":"{text}","b":[""]}}"#);
        let counts = redaction.text(ItemPart::Body, &mut redacted);
        assert_eq!((redacted.as_str(), counts.whole), (r#"{"a":"****","b":[""]}"#, 1));
        // A short text needs no limit.
        let mut redacted = piece.repeat(4);
        let counts = redaction.text(ItemPart::Body, &mut redacted);
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
        let counts = with_pattern(pattern).text(ItemPart::Body, &mut redacted);
        assert_eq!(redacted, expected.repeat(3000), "{pattern}");
        assert_eq!(counts, Redacted { values: 1, whole: 0 }, "{pattern}");
        assert!(!Finder::of_pattern("own", pattern).unwrap().is_slow(), "{pattern}");
    }
}

#[test]
fn slow_patterns_are_detected_before_use() {
    for (pattern, _) in SLOW {
        assert!(Finder::of_pattern("own", pattern).unwrap().is_slow(), "{pattern}");
    }
    for finder in PRESETS.iter().flat_map(|preset| preset.finders().unwrap()) {
        assert!(!finder.is_slow(), "{}", finder.name);
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
        let counts = with_pattern(r"\b[0-9]+\b").text(ItemPart::Body, &mut redacted);
        assert!(redacted == expected, "{matches} of {text:?}: {} bytes", redacted.len());
        assert_eq!(counts, Redacted { values: 1, whole });
    }
}

/// A replacement may be 200 bytes long. Without a limit, a megabyte of short matches would become 25 MB.
#[test]
fn a_text_grows_to_twice_its_size_and_256_bytes_at_most() {
    let with = "x".repeat(MOST_REPLACEMENT);
    let redaction = redaction("email", &with);
    for (matches, whole) in [(1, 0), (100, 1)] {
        let mut redacted = "a@b.de ".repeat(matches);
        let counts = redaction.text(ItemPart::Body, &mut redacted);
        let expected = if whole == 1 { with.clone() } else { format!("{with} ") };
        assert_eq!((redacted, counts), (expected, Redacted { values: 1, whole }));
    }
    let list = vec!["a@b.de"; 100];
    let mut redacted = serde_json::to_string(&list).unwrap();
    let most = 2 * redacted.len() + MOST_GROWTH;
    let _changed = redaction.text(ItemPart::Body, &mut redacted);
    assert!(redacted.len() <= most);
    let texts: Vec<String> = serde_json::from_str(&redacted).unwrap();
    let replaced = texts.iter().filter(|text| **text == with).count();
    let removed = texts.iter().filter(|text| text.is_empty()).count();
    assert!(replaced > 1 && replaced + removed == list.len(), "{replaced} and {removed}");
}

#[test]
fn escapes_beside_a_match_stay() {
    check_with(
        &with_pattern("[A-Z]+-7|8"),
        &[
            (r"\tAB-7\n", r"\t****\n"),
            (r"\u{1b}[0mAB-7\u{1b}[0m", r"\u{1b}[0m****\u{1b}[0m"),
            ("\u{1b} AB-7 \u{1b}", "\u{1b} **** \u{1b}"),
            (r"\u{38}\u0038\x38", "************"),
        ],
    );
    // The letter of an escape may be a match.
    check_with(&with_pattern("t"), &[(r"a\tb", r"a\****b")]);
}

#[test]
fn the_replacement_text_is_configurable() {
    let case = |with: &str, text: &str| {
        let mut text = text.to_owned();
        redaction("email", with).text(ItemPart::Body, &mut text);
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
    redaction.text(ItemPart::Body, &mut text);
    assert_eq!(text, "x [email] key=[key]");
}

#[test]
fn redaction_preserves_attribute_keys_and_value_types() {
    let pair = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    };
    let list = |values| opentelemetry_proto::tonic::common::v1::KeyValueList { values };
    let mut redaction = redaction("card", "****");
    redaction.keys = vec![Pattern::new("*password")];
    redaction.has_own_keys = true;
    let mut attributes = vec![
        pair("4111111111111111", text("4111111111111111")),
        pair("number", value(Value::IntValue(4_111_111_111_111_111))),
        pair("other", value(Value::IntValue(4_111_111_111_111_112))),
        pair("ratio", value(Value::DoubleValue(4_111_111_111_111_111.0))),
        pair("raw", value(Value::BytesValue(vec![1]))),
        pair("body", value(Value::BytesValue(b"\xff4111111111111111".to_vec()))),
        pair("user.Password", value(Value::DoubleValue(1.5))),
        pair(
            "password",
            value(Value::KvlistValue(list(vec![
                pair("a", text("b")),
                pair("is", value(Value::BoolValue(true))),
                pair("raw", value(Value::BytesValue(vec![1]))),
            ]))),
        ),
    ];
    let changed = redaction.attributes(ItemPart::Attributes, &mut attributes);
    let expected = vec![
        pair("4111111111111111", text("****")),
        pair("number", value(Value::IntValue(0))),
        pair("other", value(Value::IntValue(4_111_111_111_111_112))),
        pair("ratio", value(Value::DoubleValue(4_111_111_111_111_111.0))),
        pair("raw", value(Value::BytesValue(vec![1]))),
        pair("body", value(Value::BytesValue(Vec::new()))),
        pair("user.Password", value(Value::DoubleValue(0.0))),
        pair(
            "password",
            value(Value::KvlistValue(list(vec![
                pair("a", text("****")),
                pair("is", value(Value::BoolValue(true))),
                pair("raw", value(Value::BytesValue(Vec::new()))),
            ]))),
        ),
    ];
    assert_eq!(attributes, expected);
    assert_eq!(changed, Redacted { values: 6, whole: 0 });
}

/// Fields without an attribute of their own are in this attribute, under any key.
#[test]
fn the_rest_attribute_is_redacted_despite_an_attribute_filter() {
    let mut redaction = redaction("email", "****");
    redaction.only = vec![Pattern::new("enduser.*")];
    let rest = r#"{"enduser.id":"bob@example.com"}"#;
    let attribute = |key: &str| KeyValue {
        key: key.to_owned(),
        value: Some(text(rest)),
        ..KeyValue::default()
    };
    let mut attributes = vec![attribute("lambda_otlp.rest"), attribute("other")];
    let _changed = redaction.attributes(ItemPart::Attributes, &mut attributes);
    let redacted = Value::StringValue(r#"{"enduser.id":"****"}"#.to_owned());
    let rest = attributes[0].value.as_ref().and_then(|value| value.value.as_ref());
    assert_eq!(rest, Some(&redacted));
    assert_eq!(attributes[1], attribute("other"));
}

#[test]
fn texts_in_a_body_of_several_values_are_redacted() {
    let array = |values| {
        let values = opentelemetry_proto::tonic::common::v1::ArrayValue { values };
        value(Value::ArrayValue(values))
    };
    let mut body = array(vec![text("bob@example.com"), array(vec![text("to eve@example.org")])]);
    let changed = redaction("email", "****").body(&mut body, &[]);
    assert_eq!(body, array(vec![text("****"), array(vec![text("to ****")])]));
    assert_eq!(changed, Redacted { values: 2, whole: 0 });
}
