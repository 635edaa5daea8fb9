use super::*;

/// function, version, service, Lambda or not
#[track_caller]
fn check(log_group: &str, log_stream: &str, expected: (Option<&str>, Option<&str>, &str, bool)) {
    let source =
        Source { account: "123456789012", region: Some("eu-west-1"), log_group, log_stream };
    let identity = Identity::of(&source);
    let actual = (
        identity.function_name.as_deref(),
        identity.function_version.as_deref(),
        identity.service_name.as_str(),
        identity.is_lambda,
    );
    assert_eq!(actual, expected, "{log_group} {log_stream}");
}

#[test]
fn group_and_stream_name_the_function() {
    const HEX: &str = "2f399eb14537447da05ab2a2e39309de";
    let stream = |middle: &str| format!("2021/06/28/{middle}{HEX}");
    let orders = Some("orders");
    let latest = Some("$LATEST");

    check("/aws/lambda/orders", &stream("[$LATEST]"), (orders, latest, "orders", true));
    check("/aws/lambda/orders", &stream("[12]"), (orders, Some("12"), "orders", true));
    check(
        "/aws/lambda/Or-der_S",
        &stream("[12]"),
        (Some("Or-der_S"), Some("12"), "Or-der_S", true),
    );
    check("/aws/lambda/us-east-1.orders", &stream("[3]"), (orders, Some("3"), "orders", true));
    check("/team/shared", &stream("orders[$LATEST]"), (orders, latest, "orders", true));
    check("/team/shared", "2021/06/28/orders[7][a-b]", (orders, Some("7"), "orders", true));
    check("/aws/lambda/shared", &stream("orders[1]"), (orders, Some("1"), "orders", true));
    check("/aws/lambda/team/shared", &stream("orders[1]"), (orders, Some("1"), "orders", true));

    // A group under the prefix whose stream is not an environment's.
    check("/aws/lambda/orders", "replayed", (orders, None, "orders", true));
    check("/aws/lambda/team/shared", "replayed", (None, None, "shared", true));
    check("/aws/lambda/", "", (None, None, "lambda", true));

    // Not Lambda's.
    check("/aws/apigateway/welcome", "x", (None, None, "welcome", false));
    check("API-Gateway-Execution-Logs_a1b2/prod", "5f", (None, None, "prod", false));
    check("syslog", "i-123", (None, None, "syslog", false));
    check("/", "", (None, None, "unknown_service", false));
    check("", "", (None, None, "unknown_service", false));

    // Nearly a Lambda stream.
    check("/g/s", "2021-06-28-[1]abc", (None, None, "s", false));
    check("/g/s", "2021/06/28/[1]", (None, None, "s", false));
    check("/g/s", "2021/06/28/[]abc", (None, None, "s", false));
    check("/g/s", "2021/06/28/[prod]abc", (None, None, "s", false));
    check("/g/s", "2021/06/28/or ders[1]abc", (None, None, "s", false));
    check("/g/s", "2021/06/2é/[1]abc", (None, None, "s", false));
    check("/g/s", "2021/06/28", (None, None, "s", false));
}

#[test]
fn what_the_envelope_does_not_say_is_not_written() {
    let source = Source { account: "", region: None, log_group: "", log_stream: "" };
    let identity = Identity::of(&source);
    let expected = vec![string("service.name", "unknown_service"), string("cloud.provider", "aws")];
    assert_eq!(identity.log_resource().attributes, expected);
    assert_eq!(identity.metric_resource().attributes, expected);
}
