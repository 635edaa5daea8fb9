//! Messages reach a queue with SQS's protocol once, or an error names the missing ones and the reason.

use lambda_otlp_aws::{AWS, SQS, SqsQueue, SqsSettings};
use local_lambda::queue::{Queue, QueueResponse, QueueServer, Refusal};
use settings::{Reader, Setting, Table, Variable};
use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;
use url::Url;

const QUEUE_URL: Setting<Url> = Setting::url("QUEUE_URL", "The queue's URL.");
const LATE: &str = "queue retry was not called: the deadline has passed";
const QUEUE: &[Variable] = &[QUEUE_URL.row()];

fn sqs(url: &str) -> SqsQueue {
    sqs_with(url, &[])
}

fn sqs_with(url: &str, others: &[(&str, &str)]) -> SqsQueue {
    let own = [
        (QUEUE_URL.name(), url),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDFORWARDER"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    let all = own.iter().chain(others);
    let variables: HashMap<String, String> =
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut reader = Reader::new(&variables, Table::new(&[SQS, AWS, settings::PROXY, QUEUE]));
    let settings = SqsSettings::read(&mut reader, QUEUE_URL);
    assert_eq!(reader.finish(), []);
    SqsQueue::new(settings.unwrap(), || UNIX_EPOCH + Duration::from_secs(1_785_500_000))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

async fn server() -> QueueServer {
    QueueServer::start(Queue::new("retry")).await.unwrap()
}

/// Sends `one`, `two`, `three` to a queue with these answers: returns each result in words, the queue's content, and the number
/// of requests.
async fn sent(answers: &[QueueResponse]) -> (Vec<String>, Vec<String>, usize) {
    let server = server().await;
    server.queue().script(answers.iter().cloned());
    let bodies = ["one", "two", "three"];
    let results = sqs(&server.queue_url()).send_messages(&bodies, Duration::ZERO, soon()).await;
    let words = results.iter().map(|result| match result {
        Ok(()) => "sent".to_owned(),
        Err(error) if error.is_ambiguous() => "ambiguous".to_owned(),
        Err(error) => {
            let text = error.to_string().replace("queue retry refused with ", "");
            text.split(": ").next().unwrap().to_owned()
        }
    });
    (words.collect(), server.queue().bodies(), server.requests().len())
}

#[tokio::test]
async fn messages_are_sent_in_order_with_the_functions_credentials() {
    let server = server().await;
    let expected: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = expected.iter().map(String::as_str).collect();
    let results = sqs(&server.queue_url()).send_messages(&bodies, Duration::ZERO, soon()).await;
    assert_eq!(results, vec![Ok(()); 25]);
    assert_eq!(server.queue().bodies(), expected);
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| request.entries).collect::<Vec<_>>(), [10, 10, 5]);
    for request in requests {
        assert_eq!(request.action, "SendMessageBatch");
        assert_eq!(request.security_token.as_deref(), Some("token"));
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDFORWARDER/";
        assert!(request.authorization.starts_with(scope), "{}", request.authorization);
        assert!(request.authorization.contains("/eu-central-1/sqs/aws4_request"));
    }
}

#[tokio::test]
async fn queue_responses_decide_retry_and_result_of_each_message() {
    let throttled = QueueResponse::refuse(400, "RequestThrottled");
    let broken = QueueResponse::refuse(503, "ServiceUnavailable");
    let denied = QueueResponse::refuse(403, "AccessDeniedException");
    let second = |status, code: &str| {
        QueueResponse::RefuseEntries(vec![1], Refusal::new(status, code, "scripted"))
    };
    let check =
        async |answers: &[QueueResponse], results: [&str; 3], held: &[&str], requests: usize| {
            let (found, bodies, count) = sent(answers).await;
            assert_eq!(found, results, "{answers:?}");
            assert_eq!(bodies, held, "{answers:?}");
            assert_eq!(count, requests, "{answers:?}");
        };
    let all = ["one", "two", "three"];
    check(&[], ["sent"; 3], &all, 1).await;
    // Temporary refusals: two retries.
    check(std::slice::from_ref(&throttled), ["sent"; 3], &all, 2).await;
    check(&[throttled.clone(), broken.clone()], ["sent"; 3], &all, 3).await;
    check(&[throttled.clone(), throttled, broken], ["ServiceUnavailable"; 3], &[], 3).await;
    // Permanent refusals: no retry.
    check(&[denied], ["AccessDeniedException"; 3], &[], 1).await;
    // One of them.
    let some = ["sent", "InvalidMessageContents", "sent"];
    check(&[second(400, "InvalidMessageContents")], some, &["one", "three"], 1).await;
    check(&[second(500, "InternalError")], ["sent"; 3], &["one", "three", "two"], 2).await;
    let gone = QueueResponse::refuse(400, "AWS.SimpleQueueService.NonExistentQueue");
    let some = ["sent", "NonExistentQueue", "sent"];
    check(&[second(500, "InternalError"), gone], some, &["one", "three"], 2).await;
    // Unknown results: no retry, because it could duplicate.
    check(&[QueueResponse::DropRequest], ["ambiguous"; 3], &[], 1).await;
    check(&[QueueResponse::DropAnswer], ["ambiguous"; 3], &all, 1).await;
    // A proxy that timed out, and one that refused.
    check(&[QueueResponse::refuse(504, "")], ["ambiguous"; 3], &[], 1).await;
    check(&[QueueResponse::refuse(403, "")], ["status 403"; 3], &[], 1).await;
}

#[tokio::test]
async fn a_request_contains_at_most_one_mebibyte_of_messages() {
    let server = server().await;
    let mebibyte = 1024 * 1024;
    let sizes = [mebibyte, 10, mebibyte - 10, 5, mebibyte + 1, 7];
    let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
    let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
    let results = sqs(&server.queue_url()).send_messages(&bodies, Duration::ZERO, soon()).await;
    let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        results[4].as_ref().unwrap_err().to_string(),
        "message of 1048577 bytes is larger than the 1048576 bytes that queue retry accepts"
    );
    assert!(!errors[0].is_ambiguous());
    let held: Vec<usize> = server.queue().bodies().iter().map(String::len).collect();
    assert_eq!(held, [mebibyte, 10, mebibyte - 10, 5, 7]);
    let entries: Vec<usize> = server.requests().iter().map(|request| request.entries).collect();
    assert_eq!(entries, [1, 2, 2]);
}

#[tokio::test]
async fn a_message_delay_is_whole_seconds_up_to_15_minutes() {
    let server = server().await;
    let queue = sqs(&server.queue_url());
    assert_eq!(queue.send_messages(&["soon"], Duration::from_millis(1), soon()).await, [Ok(())]);
    assert!(server.queue().receive(10).is_empty());
    let server = self::server().await;
    let queue = sqs(&server.queue_url());
    let delay = Duration::from_hours(1);
    assert_eq!(queue.send_messages(&["later"], delay, soon()).await, [Ok(())]);
    assert!(server.queue().receive(10).is_empty());
    // SQS delays by a quarter of an hour at most.
    let visible_in = server.queue().next_visible_in().unwrap();
    assert!(visible_in <= Duration::from_mins(15) && visible_in > Duration::from_mins(14));
}

struct RefusedMessage<'a> {
    status: u16,
    code: &'static str,
    text: &'static str,
    expected: &'a str,
}

#[tokio::test]
async fn queue_errors_state_the_code_and_the_remedy() {
    let arn = "arn:aws:sqs:eu-central-1:123456789012:retry";
    for RefusedMessage { status, code, text, expected } in [
        RefusedMessage {
            status: 403,
            code: "AccessDenied",
            text: "User is not authorized\nto perform",
            expected: &format!(
                "AccessDenied: User is not authorized to perform: allow sqs:SendMessage on {arn} in the function's role and the queue's policy"
            ),
        },
        RefusedMessage {
            status: 400,
            code: "AWS.SimpleQueueService.NonExistentQueue",
            text: "no",
            expected: "NonExistentQueue: no: there is no queue retry of account 123456789012 in eu-central-1, check its URL",
        },
        RefusedMessage {
            status: 400,
            code: "KMS.AccessDeniedException",
            text: "no",
            expected: "KMS.AccessDeniedException: no: the function's role needs kms:GenerateDataKey and kms:Decrypt on the queue's key, and the key must be enabled",
        },
        RefusedMessage {
            status: 403,
            code: "ExpiredToken",
            text: "",
            expected: "ExpiredToken: the credentials in the environment are not valid",
        },
    ] {
        let server = server().await;
        server.queue().script([QueueResponse::Refuse(Refusal::new(status, code, text))]);
        let results =
            sqs(&server.queue_url()).send_messages(&["one"], Duration::ZERO, soon()).await;
        let text = results[0].as_ref().unwrap_err().to_string();
        assert_eq!(text, format!("queue retry refused with {expected}"));
    }
    let server = server().await;
    let elsewhere = format!("{}/123456789012/other", server.endpoint());
    let results = sqs(&elsewhere).send_messages(&["one"], Duration::ZERO, soon()).await;
    let error = results[0].as_ref().unwrap_err().to_string();
    assert!(error.starts_with("queue other refused with NonExistentQueue: "), "{error}");
    // Nothing listens there.
    drop(server);
    let results = sqs(&elsewhere).send_messages(&["one"], Duration::ZERO, soon()).await;
    let error = results[0].as_ref().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("queue other did not answer: cannot reach 127.0.0.1"), "{text}");
    assert!(!error.is_ambiguous(), "{text}");
}

#[tokio::test]
async fn an_error_states_whether_the_queue_was_called_and_answered() {
    let server = server().await;
    server.queue().script([QueueResponse::refuse(502, "")]);
    let queue = sqs(&server.queue_url());
    let results = queue.send_messages(&["one"], Duration::ZERO, soon()).await;
    let error = results[0].as_ref().unwrap_err();
    let text = "queue retry answered without the fate of the message: status 502";
    assert_eq!(error.to_string(), text);
    assert!(error.is_ambiguous());
    let endpoint = format!("{}/?a=1", server.endpoint());
    let queue = sqs_with(&server.queue_url(), &[("AWS_ENDPOINT_URL_SQS", endpoint.as_str())]);
    let results = queue.send_messages(&["one"], Duration::ZERO, soon()).await;
    let error = results[0].as_ref().unwrap_err();
    let text = "queue retry was not called: an AWS endpoint must not have a query";
    assert_eq!(error.to_string(), text);
    assert!(!error.is_ambiguous());
}

#[tokio::test]
async fn a_hanging_queue_is_abandoned_at_the_deadline() {
    let server = server().await;
    server.queue().script([QueueResponse::Hang, QueueResponse::Hang]);
    let queue = sqs(&server.queue_url());
    let bodies = ["x"; 11];
    let deadline = Instant::now() + Duration::from_millis(300);
    let results = queue.send_messages(&bodies, Duration::ZERO, deadline).await;
    assert!(results[..10].iter().all(|result| result.as_ref().unwrap_err().is_ambiguous()));
    // The second request was never made.
    assert_eq!(results[10].as_ref().unwrap_err().to_string(), LATE);
    assert_eq!(server.requests().len(), 1);
    let deadline = Instant::now() + Duration::from_millis(300);
    let postponed = queue.change_visibility("receipt", Duration::ZERO, deadline).await;
    assert!(postponed.unwrap_err().is_ambiguous());
}

#[tokio::test]
async fn no_request_is_made_after_the_deadline() {
    let server = server().await;
    let queue = sqs(&server.queue_url());
    let results = queue.send_messages(&["one"], Duration::ZERO, Instant::now()).await;
    assert_eq!(results[0].as_ref().unwrap_err().to_string(), LATE);
    let postponed = queue.change_visibility("receipt", Duration::ZERO, Instant::now()).await;
    assert_eq!(postponed.unwrap_err().to_string(), LATE);
    assert_eq!(queue.send_messages(&[], Duration::ZERO, soon()).await, []);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn change_visibility_sets_the_time_until_redelivery() {
    let server = server().await;
    let queue = sqs(&server.queue_url());
    assert_eq!(queue.send_messages(&["one"], Duration::ZERO, soon()).await, [Ok(())]);
    let received = server.queue().receive(1);
    let handle = received[0].receipt_handle.as_str();
    server.queue().script([QueueResponse::refuse(503, "ServiceUnavailable")]);
    assert_eq!(queue.change_visibility(handle, Duration::from_hours(2), soon()).await, Ok(()));
    let visible_in = server.queue().next_visible_in().unwrap();
    assert!(visible_in <= Duration::from_hours(2) && visible_in > Duration::from_mins(119));
    // A longer timeout than SQS allows is clamped.
    assert_eq!(queue.change_visibility(handle, Duration::from_hours(48), soon()).await, Ok(()));
    assert_eq!(queue.change_visibility(handle, Duration::ZERO, soon()).await, Ok(()));
    assert_eq!(server.queue().receive(1)[0].receive_count, 2);
    let error = queue.change_visibility("gone", Duration::ZERO, soon()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "queue retry refused with ReceiptHandleIsInvalid: no such receipt"
    );
    server.queue().script([QueueResponse::refuse(403, "AccessDeniedException")]);
    let error =
        queue.change_visibility(handle, Duration::ZERO, soon()).await.unwrap_err().to_string();
    assert!(error.contains("allow sqs:ChangeMessageVisibility on arn:aws:sqs:"), "{error}");
}
