use super::*;

fn batches(json: &str, chunk_bytes: usize) -> Result<Vec<LogBatch>, String> {
    let limits = SourceLimits { chunk_bytes, inflated_bytes: 10_000 };
    let mut batches = Vec::new();
    let gzip = wire::gzip::compress(6, json.as_bytes());
    read_gzip("it", &gzip, &Origin::default(), &limits, &mut |batch| {
        batches.push(batch);
        true
    })
    .map_err(|error| error.to_string())?;
    Ok(batches)
}

const TWO: &str = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",
    "subscriptionFilters":["f"],"logEvents":[
    {"id":"1","timestamp":5,"message":"one\n"},
    {"id":2,"timestamp":6,"message":"two","extractedFields":{"k":"v"}}]}"#;

#[test]
fn log_events_before_their_envelope_form_one_batch() {
    let late = r#"{"logEvents":[{"id":"1","timestamp":5,"message":"one"},
        {"id":"2","timestamp":6,"message":"two"}],"logStream":"s","owner":"1","logGroup":"g"}"#;
    let batches = batches(late, 1).unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].origin.log_group, "g");
    assert_eq!(batches[0].events.len(), 2);
}

#[test]
fn an_oversized_delivery_yields_no_batches() {
    let large = TWO.replace("two", &"x".repeat(20_000));
    let gzip = wire::gzip::compress(6, large.as_bytes());
    let limits = SourceLimits { chunk_bytes: 1, inflated_bytes: 10_000 };
    let mut batches = 0;
    let read = read_gzip("it", &gzip, &Origin::default(), &limits, &mut |_| {
        batches += 1;
        true
    });
    assert!(matches!(read, Err(SourceError::TooLarge { .. })), "{read:?}");
    assert_eq!(batches, 0);
}

#[test]
fn a_lone_surrogate_becomes_replacement_characters() {
    let json = TWO.replace("two", "bad \\ud800 x");
    let all = batches(&json, 1000).unwrap();
    assert_eq!(all[0].events[0].message, "one\n");
    assert_eq!(
        all[0].events[1].message.trim_end_matches('x').trim_end(),
        "bad \u{fffd}\u{fffd}\u{fffd}"
    );
}

#[test]
fn control_messages_and_empty_deliveries_yield_batches() {
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"",
        "logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL"}]}"#;
    assert_eq!(batches(control, 10).unwrap()[0].message_type, MessageType::Control);
    let empty = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[]}"#;
    let empty = batches(empty, 10).unwrap();
    assert_eq!((empty.len(), empty[0].events.len()), (1, 0));
}

#[test]
fn invalid_deliveries_are_rejected_with_a_reason() {
    let check = |json: &str, expected: &str| {
        let error = batches(json, 10).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check("{}", "missing field `logGroup`");
    check(r#"{"logGroup":"g"}"#, "missing field `logEvents`");
    check("[]", "expected the JSON object that CloudWatch Logs sends");
    check(r#"{"logGroup":"g","logEvents":[{"id":"#, "EOF while parsing");
    check(
        r#"{"logGroup":"g","logEvents":"a customer's text"}"#,
        "invalid type: string …, expected",
    );
    check(
        &format!("{{\"logGroup\":\"{}\"}}", "g".repeat(20_000)),
        "it inflates to 20015 bytes, more than the limit of 10000",
    );
    let error = decode_base64("`awslogs.data`", "!").unwrap_err();
    assert_eq!(error.to_string(), "`awslogs.data` is not base64");
}

/// Account, region, log group and messages of each batch.
#[track_caller]
fn check(json: &str, expected: &str) {
    let shown = |chunk_bytes| {
        let batches = batches(json, chunk_bytes).unwrap_or_else(|error| panic!("{error}"));
        let shown = batches.into_iter().map(|LogBatch { origin, events, .. }| {
            let Origin { account, region, log_group, .. } = origin;
            let messages: Vec<_> = events.into_iter().map(|event| event.message).collect();
            format!("{account} {region} {log_group}: {}", messages.join(","))
        });
        shown.collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(shown(1000), expected);
}

#[test]
fn concatenated_json_objects_are_separate_deliveries() {
    let other = r#"{"owner":"2","logGroup":"h","logStream":"s","logEvents":[{"id":"3","timestamp":7,"message":"three"}]}"#;
    check(&format!("{TWO}{other}\n"), "1  g: one\n,two | 2  h: three");
    check(&format!("{TWO}\n\n{other}{other}"), "1  g: one\n,two | 2  h: three | 2  h: three");
    let error = batches(&format!("{TWO}{{\"logGroup\":"), 1000).unwrap_err();
    assert!(error.contains("EOF while parsing"), "{error}");
    let error = batches(&format!("{TWO} x"), 1000).unwrap_err();
    assert!(error.contains("expected value"), "{error}");
}

#[test]
fn extracted_fields_override_account_and_region() {
    let with = |fields: &str| TWO.replace(r#"{"k":"v"}"#, fields);
    check(&with(r#"{"k":"v","@x":{"y":[1]}}"#), "1  g: one\n,two");
    check(
        &with(r#"{"@aws.account":"2","@aws.region":"us-west-2"}"#),
        "1  g: one\n | 2 us-west-2 g: two",
    );
    check(&with(r#"{"@aws.region":"us-west-2"}"#), "1  g: one\n | 1 us-west-2 g: two");
    check(&with(r#"{"@aws.account":7}"#), "1  g: one\n,two");
    check(&with("null"), "1  g: one\n,two");
    check(&with("7"), "1  g: one\n,two");
}
