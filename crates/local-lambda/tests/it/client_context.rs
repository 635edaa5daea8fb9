//! The client context of an invocation.

use crate::puppets::{EXTENSION, FUNCTION, Puppets, function};
use base64::Engine as _;
use lambda_otlp_local_lambda::{ApiClient, ClientContext};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_context_reaches_the_runtime() {
    const CONTEXT: &str = "{\"custom\": {\n\"traceparent\": \"é\"}}";
    const DELIVERED: &str = "{\"custom\":{\"traceparent\":\"é\"}}";
    let puppets = Puppets::of(function("exec sleep 1000")).await;
    let context = ClientContext::parse(CONTEXT.as_bytes()).unwrap();
    let running = puppets.lambda.begin_invocation_with(FUNCTION, "{}", Some(context)).unwrap();
    let api = puppets.api().await;
    let identifier = api.register(EXTENSION, "[]").await;
    let _waits = api.extension_next(&identifier);
    let event = api.runtime_next().await.unwrap();
    assert_eq!(event.header("lambda-runtime-client-context"), Some(DELIVERED));
    api.respond(&event, "1").await;
    let next = api.runtime_next();
    assert!(running.finished().await.unwrap().is_success());

    let endpoint = puppets.lambda.endpoint().to_string();
    let invoke = |client_context: String| {
        let endpoint = endpoint.clone();
        tokio::task::spawn_blocking(move || {
            let mut client = ApiClient::connect(&endpoint).unwrap();
            let path = format!("/2015-03-31/functions/{FUNCTION}/invocations");
            client.call("POST", &path, &[("X-Amz-Client-Context", &client_context)], b"{}").unwrap()
        })
    };
    for wrong in ["no base64", "W10="] {
        assert_eq!(invoke(wrong.to_owned()).await.unwrap().status, 400, "{wrong}");
    }
    let invoked = invoke(base64::engine::general_purpose::STANDARD.encode(CONTEXT));
    let event = next.await.unwrap();
    assert_eq!(event.header("lambda-runtime-client-context"), Some(DELIVERED));
    api.respond(&event, "2").await;
    let without = api.runtime_next();
    assert_eq!(invoked.await.unwrap().body, b"2");

    puppets.lambda.wait_for_invocations().await;
    let _last = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    assert_eq!(without.await.unwrap().header("lambda-runtime-client-context"), None);
}
