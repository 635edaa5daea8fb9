//! Statuses and error types of the Extensions API and the Telemetry API.

use crate::puppets::{EXTENSION, FUNCTION, Puppets, function, refusal, subscription, text};
use lambda_otlp_local_lambda::free_port;

const REGISTER: &str = "/2020-01-01/extension/register";
const NEXT: &str = "/2020-01-01/extension/event/next";
const INIT_ERROR: &str = "/2020-01-01/extension/init/error";
const TELEMETRY: &str = "/2022-07-01/telemetry";
const NAME: &str = "Lambda-Extension-Name";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";
const UNKNOWN: &str = "0d6a1c3e-7f0b-4a57-9f6e-2d1c1b8a9f10";

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_have_the_codes_of_aws() {
    let puppets = Puppets::of(function("exec sleep 1000")).await;
    let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    let api = puppets.api().await;
    for (method, path, headers, body, expected) in [
        ("POST", REGISTER, &[][..], "{}", "403 Extension.InvalidExtensionName"),
        ("POST", REGISTER, &[(NAME, EXTENSION)], "{\"events\":", "403 InvalidRequestFormat"),
        ("POST", REGISTER, &[(NAME, EXTENSION)], "1", "403 InvalidRequestFormat"),
        (
            "POST",
            REGISTER,
            &[(NAME, EXTENSION)],
            r#"{"events":["INVOKED"]}"#,
            "403 Extension.InvalidEventType",
        ),
        (
            "POST",
            REGISTER,
            &[(NAME, "internal")],
            r#"{"events":["SHUTDOWN"]}"#,
            "403 Extension.InvalidEventType",
        ),
        ("GET", NEXT, &[], "", "403 Extension.MissingExtensionIdentifier"),
        ("GET", NEXT, &[(IDENTIFIER, "1")], "", "403 Extension.InvalidExtensionIdentifier"),
        ("GET", NEXT, &[(IDENTIFIER, UNKNOWN)], "", "403 Extension.UnknownExtensionIdentifier"),
        ("PUT", TELEMETRY, &[], "{}", "403 Extension.MissingExtensionIdentifier"),
        (
            "PUT",
            TELEMETRY,
            &[(IDENTIFIER, UNKNOWN)],
            &subscription(19_001),
            "403 Extension.UnknownExtensionIdentifier",
        ),
        ("POST", INIT_ERROR, &[(IDENTIFIER, UNKNOWN)], "{}", "403 Extension.MissingHeader"),
    ] {
        let answer = api.call(method, path, headers, body).await;
        assert_eq!(refusal(&answer), expected, "{method} {path} {headers:?} {body}");
    }
    // Half a mebibyte is no error, two are.
    let long = |bytes: usize| format!("{}{}", " ".repeat(bytes), r#"{"events":["INVOKED"]}"#);
    for (bytes, expected) in
        [(1 << 19, "403 Extension.InvalidEventType"), (2 << 20, "403 InvalidRequestFormat")]
    {
        let answer = api.call("POST", REGISTER, &[(NAME, EXTENSION)], &long(bytes)).await;
        assert_eq!(refusal(&answer), expected, "{bytes} bytes");
    }

    let identifier = api.register(EXTENSION, r#"["INVOKE","SHUTDOWN"]"#).await;
    let again = api.call("POST", REGISTER, &[(NAME, EXTENSION)], r#"{"events":[]}"#).await;
    assert_eq!(refusal(&again), "403 Extension.InvalidExtensionState");
    let mut answers = Vec::new();
    let port = free_port();
    for body in ["{}", &subscription(9001), &subscription(port), &subscription(port)] {
        let answer = api.subscribe(&identifier, body).await;
        answers.push(format!("{} {}", refusal(&answer), text(&answer).starts_with('"')));
    }
    assert_eq!(
        answers,
        ["400 ValidationError false", "400 ValidationError false", "200 true", "200 true"]
    );

    let extension_event = api.extension_next(&identifier);
    let event = api.runtime_next().await.unwrap();
    // Init is over.
    assert!(text(&extension_event.await.unwrap()).contains("INVOKE"));
    let late = api.subscribe(&identifier, &subscription(free_port())).await;
    assert_eq!(refusal(&late), "403 Telemetry.SubscriptionClosed");
    let late = api.call("POST", REGISTER, &[(NAME, "late")], r#"{"events":["INVOKE"]}"#).await;
    assert_eq!(refusal(&late), "403 Extension.RegistrationClosed");
    let kind = [(IDENTIFIER, identifier.as_str()), ("Lambda-Extension-Function-Error-Type", "E.e")];
    let late = api.call("POST", INIT_ERROR, &kind, "{}").await;
    assert_eq!(refusal(&late), "403 Extension.InvalidExtensionState");

    // One call waits; the other is refused.
    let mut waits = api.extension_next(&identifier);
    let mut other = api.extension_next(&identifier);
    let refused = tokio::select! {
        answer = &mut waits => answer,
        answer = &mut other => answer,
    };
    assert_eq!(refusal(&refused.unwrap()), "403 Extension.InvalidExtensionState");
    assert_eq!(api.respond(&event, "1").await.status, 202);
    let _next = api.runtime_next();
    assert!(running.finished().await.unwrap().is_success());
}
