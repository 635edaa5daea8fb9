//! Matches and non-matches of the presets. «…» marks a match.

use super::*;

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

#[test]
fn email() {
    check(
        "email",
        &[
            "«bob@example.com»",
            "mail to «Bob.O_Neil+tag@mail.example.co.uk».",
            "<«bob@example.com»>,<«eve@example.org»>",
            "user=«bob@example.com»&x=1",
            "?to=«bob%40example.com»",
            "mailto:«bob@example.com»",
            "«jürgen@müller.de»",
            "«bob@xn--mller-kva.example»",
            "https://root:«pass@o2.example.com»/x",
            "«git@github.com»:a/b.git", // a known false positive
            "o'«brien@example.com»",    // a known rest
            r"to\n«bob@example.com»",
            // Without a match.
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
            "from «10.1.2.3»",
            "«10.1.2.3»:443",
            "client:«10.1.2.3».",
            "[«2001:db8::1»]:443",
            "«fe80::1»%eth0",
            "«::1»",
            "«::ffff:10.1.2.3»",
            "host/«10.1.2.3»:80",
            "x_forwarded_for=«1.2.3.4», «5.6.7.8»",
            "version «1.2.3.4»", // a known false positive
            "«face::1»",         // a known false positive
            "«10.1.2.3»:error",
            "«10.1.2.3»:443:denied",
            "«10.1.2.3»:dead",
            "«10.1.2.3»..«10.1.2.9»",
            "«10.1.2.3»-«10.1.2.9»",
            "«10.1.2.3»:«10.1.2.4»",
            "«10.1.2.3»_x",
            "x_«10.1.2.3»",
            "«10.1.2.3»:«10.1.2.4»:«10.1.2.5»:«10.1.2.6»:«10.1.2.7»:«10.1.2.8»:«10.1.2.9»",
            "«10.1.2.3:2001:db8::1»",
            "client:«2001:db8::1»:error",
            "«2001:db8::1».",
            "«1:2:3:4:5:6:7:8:443»",
            "app.py:«42:2001:db8:aaaa:1:2:3:4:5» failed",
            "«12:30:45:2001:db8:aaaa:2:3:4:5:6»",
            "«1:2:3:4:5:6:7:8»:error",
            "«::ffff:10.1.2.3:443»",
            "«2001:db8:0:1:2:3:10.1.2.3:443»",
            "«2001:db8:0:1:2:3:4:5»",
            "«2001:db8:0:1:2:3:10.1.2.3»",
            "peer«::1»",
            "«10.1.2.3».443",
            "«10.0.0.0»/8",
            // Known false positives.
            "«1.2.3.4.5»",
            "v«1.2.3.4»",
            "Chrome/«120.0.0.0» Safari",
            "«::1».2.3",
            "«a::b1::c»",
            "h264«::1»",
            "std«::f64»::abs",
            "shop«::f64»: overflow",
            "arn:aws:s3:«::e2e»-tests",
            "arn:aws-cn:s3:«::2026»/x",
            // Without a match.
            "1.2.3",
            "256.1.1.1",
            "12:30:45",
            "12:30:45.123",
            "00:1a:2b:3c:4d:5e",
            "std::fmt::add",
            "Face::Add",
            "a::b",
            "::",
            "ip-10-1-2-3.ec2.internal", // not recognised
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
            "«4111111111111111»",
            "card «4111 1111 1111 1111» exp 12/30",
            "«4111-1111-1111-1111» 123",
            "«5555555555554444»,",
            "«2223003122003222»",
            "«378282246310005»",
            "«3782 822463 10005»",
            "«6011111111111117»",
            "«3530111333300000»",
            "«30569309025904»",
            "«6200000000000005»",
            "pan_«4222222222222»",
            "0.«4111111111111111»", // possibly part of a number
            "«4111111111111111».5",
            "7 «4111 1111 1111 1111»",
            "pan=«4111+1111+1111+1111»&x=1",
            r#"{"pan":"«4111111111111111»"}"#,
            // Without a match.
            "a4111111111111111 4111111111111111f",
            "4111111111111112",     // wrong check digit
            "1234567890123452",     // right check digit, no scheme
            "1732099200000",        // milliseconds
            "1732099200000000000",  // nanoseconds
            "41111111111111111111", // 20 digits
            "4111.1111.1111.1111",  // not recognised
            "411111111111",         // 12 digits
            "0000000000000000",
            "2026-11-20 10:59:30",
        ],
    );
    let number = (r#"{"pan": 4111111111111111, "n": 7}"#, r#"{"pan": 0, "n": 7}"#);
    check_one(&redaction("card", "****"), number.0, number.1);
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
            r"\033[31m«AKIAIOSFODNN7EXAMPLE»\033[0m",
            r"\e[31m«AKIAIOSFODNN7EXAMPLE»\e[0m",
            r"aws_secret_access_key = «wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLEKEY»",
            r"aws_secret_access_key = «wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLEKE\/»",
            "«AKIAIOSFODNN7EXAMPLE»",
            "key=«ASIAIOSFODNN7EXAMPLE»;",
            "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
            "ReadOnlyCredentials(secret_key='«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»')",
            r#"SecretAccessKey: "«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»""#,
            "AWS_SESSION_TOKEN=«IQoJb3JpZ2luX2VjEXAMPLE//x»",
            "?X-Amz-Security-Token=«IQoJb3JpZ2luX2Vj%2F%2F»&x=1",
            r#"{"SecretAccessKey":"«short»","AccessKeyId":"«AKIAIOSFODNN7EXAMPLE»"}"#,
            r#"{"aws-secret-key":"«short»","h":{"secret-access-key":["«short»"]}}"#,
            r#"{"awsSecretKey":"«short»","session-token":"«short»"}"#,
            r#"{"Secret Access Key":"«short»","x_amz_security_token":["«short»"]}"#,
            "Secret access key: «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
            "<SecretAccessKey>«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»</SecretAccessKey><SessionToken>«IQoJb3JpZ2luX2VjEXAMPLE//x»</SessionToken>",
            "map[X-Amz-Security-Token:«[IQoJb3JpZ2luX2VjEXAMPLE//x]»]",
            // Without a match.
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
            "Authorization: Bearer «abcdef0123456789»",
            "bearer «mF_9.B5f-4.1JqM+/~x==»",
            "forbearer 0123456789-bearer «abcdef0123456789»",
            "authorization: Basic «cm9vdDpwYXNz»",
            r#"{"authorization":"«abc»","x":"y"}"#,
            r#"{"h":{"Authorization":["«abc»"]}}"#,
            r#"{"authorization":[["«a»"],"«b»"],"c":["d"]}"#,
            "{ authorization: «{ note: don't }», b: 1 }",
            "{'authorization': «{'a': 'b}', 'c': ['d']}», 'n': 1}",
            r#"m="{\"authorization\":\"«s3c»" user="\"bob\"""#,
            r#"x {\"authorization\":«{\"a\":\"b}\",\"c\":\"d\\\"]\"}»,\"n\":1}"#,
            r#"\"authorization\": \"«Basic cm9vdDpwYXNz»\""#,
            "map[Accept:[*/*] Authorization:«[Basic cm9vdDpwYXNz]»]",
            "Authorization:[Basic «cm9vdDpwYXNz»]",
            "authorization=Basic+«cm9vdDpwYXNz»&a=1",
            "?h=Bearer+«abcdef0123456789»",
            "authorization => Basic «cm9vdDpwYXNz»",
            "[(b'authorization', b'Basic «cm9vdDpwYXNz»')]",
            r#"["Authorization","Basic «cm9vdDpwYXNz»"] x"#,
            r#"Authorization: Digest «username="bob", nc=00000001, response="6629fae4"» x"#,
            r#"Authorization: Token «token="cm9vdDpwYXNz"» x"#,
            "Authorization: AWS4-HMAC-SHA256 «Credential=x/s3, SignedHeaders=host;range, Signature=fe5f80f7»",
            "Authorization: ApiKey «cm9vdDpwYXNz»",
            // Without a match.
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
    check(
        "jwt",
        &[
            "«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl»",
            "token=«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl»;",
            "«eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.»",
            "x«eyJhbGciOiJIUzI1NiJ9.x.y»",
            "«eyJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn»",
            // Without a match.
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJ.eyJ.x",
        ],
    );
}
