//! Statuses and error types of the Extensions API and the Telemetry API.

use crate::puppets::{
    EXTENSION, FUNCTION, PuppetApi, Puppets, function, refusal, subscription, text,
};
use lambda_otlp_local_lambda::{ApiResponse, free_port};

#[derive(Debug, Clone, Copy)]
struct Endpoint {
    method: &'static str,
    path: &'static str,
}

const REGISTER: Endpoint = Endpoint { method: "POST", path: "/2020-01-01/extension/register" };
const NEXT: Endpoint = Endpoint { method: "GET", path: "/2020-01-01/extension/event/next" };
const INIT_ERROR: Endpoint = Endpoint { method: "POST", path: "/2020-01-01/extension/init/error" };
const TELEMETRY: Endpoint = Endpoint { method: "PUT", path: "/2022-07-01/telemetry" };
const NAME: &str = "Lambda-Extension-Name";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";
const UNKNOWN: &str = "0d6a1c3e-7f0b-4a57-9f6e-2d1c1b8a9f10";

async fn call(
    api: &PuppetApi,
    endpoint: Endpoint,
    headers: &[(&str, &str)],
    body: &str,
) -> ApiResponse {
    api.call(endpoint.method, endpoint.path, headers, body).await
}

struct RefusedCall<'a> {
    endpoint: Endpoint,
    headers: Vec<(&'static str, &'static str)>,
    body: &'a str,
    expected: &'static str,
}

/// Makes calls of an environment whose only extension has not registered yet.
async fn check_refused_calls(api: &PuppetApi) {
    let by_name = |name| vec![(NAME, name)];
    let by_identifier = |identifier| vec![(IDENTIFIER, identifier)];
    let subscription_of_unknown = subscription(19_001);
    for RefusedCall { endpoint, headers, body, expected } in [
        RefusedCall {
            endpoint: REGISTER,
            headers: vec![],
            body: "{}",
            expected: "403 Extension.InvalidExtensionName",
        },
        RefusedCall {
            endpoint: REGISTER,
            headers: by_name(EXTENSION),
            body: "{\"events\":",
            expected: "403 InvalidRequestFormat",
        },
        RefusedCall {
            endpoint: REGISTER,
            headers: by_name(EXTENSION),
            body: "1",
            expected: "403 InvalidRequestFormat",
        },
        RefusedCall {
            endpoint: REGISTER,
            headers: by_name(EXTENSION),
            body: r#"{"events":["INVOKED"]}"#,
            expected: "403 Extension.InvalidEventType",
        },
        RefusedCall {
            endpoint: REGISTER,
            headers: by_name("internal"),
            body: r#"{"events":["SHUTDOWN"]}"#,
            expected: "403 Extension.InvalidEventType",
        },
        RefusedCall {
            endpoint: NEXT,
            headers: vec![],
            body: "",
            expected: "403 Extension.MissingExtensionIdentifier",
        },
        RefusedCall {
            endpoint: NEXT,
            headers: by_identifier("1"),
            body: "",
            expected: "403 Extension.InvalidExtensionIdentifier",
        },
        RefusedCall {
            endpoint: NEXT,
            headers: by_identifier(UNKNOWN),
            body: "",
            expected: "403 Extension.UnknownExtensionIdentifier",
        },
        RefusedCall {
            endpoint: TELEMETRY,
            headers: vec![],
            body: "{}",
            expected: "403 Extension.MissingExtensionIdentifier",
        },
        RefusedCall {
            endpoint: TELEMETRY,
            headers: by_identifier(UNKNOWN),
            body: &subscription_of_unknown,
            expected: "403 Extension.UnknownExtensionIdentifier",
        },
        RefusedCall {
            endpoint: INIT_ERROR,
            headers: by_identifier(UNKNOWN),
            body: "{}",
            expected: "403 Extension.MissingHeader",
        },
    ] {
        let answer = call(api, endpoint, &headers, body).await;
        assert_eq!(refusal(&answer), expected, "{endpoint:?} {headers:?} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_have_the_codes_of_aws() {
    let puppets = Puppets::of(function("exec sleep 1000")).await;
    let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    let api = puppets.api().await;
    check_refused_calls(&api).await;
    // Half a mebibyte is no error, two are.
    let long = |bytes: usize| format!("{}{}", " ".repeat(bytes), r#"{"events":["INVOKED"]}"#);
    for (bytes, expected) in
        [(1 << 19, "403 Extension.InvalidEventType"), (2 << 20, "403 InvalidRequestFormat")]
    {
        let answer = call(&api, REGISTER, &[(NAME, EXTENSION)], &long(bytes)).await;
        assert_eq!(refusal(&answer), expected, "{bytes} bytes");
    }

    let identifier = api.register(EXTENSION, r#"["INVOKE","SHUTDOWN"]"#).await;
    let again = call(&api, REGISTER, &[(NAME, EXTENSION)], r#"{"events":[]}"#).await;
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
    let late_subscription = api.subscribe(&identifier, &subscription(free_port())).await;
    assert_eq!(refusal(&late_subscription), "403 Telemetry.SubscriptionClosed");
    let late_registration =
        call(&api, REGISTER, &[(NAME, "late")], r#"{"events":["INVOKE"]}"#).await;
    assert_eq!(refusal(&late_registration), "403 Extension.RegistrationClosed");
    let failure =
        [(IDENTIFIER, identifier.as_str()), ("Lambda-Extension-Function-Error-Type", "E.e")];
    let late_failure = call(&api, INIT_ERROR, &failure, "{}").await;
    assert_eq!(refusal(&late_failure), "403 Extension.InvalidExtensionState");

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
