use super::*;

fn send(queue: &Queue, body: &str, delay: Duration) -> Result<(), Refusal> {
    match queue.send_batch(&[body.to_owned()], delay) {
        BatchResult::Answered(mut results) => results.remove(0).map(drop),
        BatchResult::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_reappears_after_its_visibility_timeout_and_expires() {
    let queue = Queue::new("q");
    send(&queue, "a", Duration::from_mins(2)).unwrap();
    assert!(queue.receive(10).is_empty());
    assert_eq!(queue.next_visible_in(), Some(Duration::from_mins(2)));
    tokio::time::advance(Duration::from_mins(2)).await;
    assert_eq!(queue.receive(10)[0].receive_count, 1);
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(queue.receive(10).is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    let again = queue.receive(10);
    assert_eq!(again[0].receive_count, 2);
    assert_eq!(queue.delete("0-1").unwrap_err().code, "ReceiptHandleIsInvalid");
    tokio::time::advance(RETENTION).await;
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_an_in_flight_message_is_postponed_up_to_twelve_hours() {
    let queue = Queue::new("q");
    send(&queue, "a", Duration::ZERO).unwrap();
    let handle = queue.receive(1)[0].receipt_handle.clone();
    tokio::time::advance(Duration::from_secs(10)).await;
    let most = MAX_VISIBILITY_TIMEOUT.checked_sub(Duration::from_secs(10)).unwrap();
    let refused = |delay| match queue.postpone(&handle, delay) {
        PostponeResult::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(queue.postpone(&handle, most), PostponeResult::Postponed);
    assert_eq!(refused(most + Duration::from_secs(1)), "InvalidParameterValue");
    assert_eq!(queue.postpone(&handle, Duration::ZERO), PostponeResult::Postponed);
    assert_eq!(refused(Duration::from_secs(1)), "AWS.SimpleQueueService.MessageNotInflight");
}

#[tokio::test(start_paused = true)]
async fn a_scripted_request_to_postpone_is_carried_out_or_not() {
    let queue = Queue::new("q");
    send(&queue, "a", Duration::ZERO).unwrap();
    let handle = queue.receive(1)[0].receipt_handle.clone();
    let hidden = Duration::from_mins(5);
    let scripted = |response: QueueResponse| {
        queue.script([response]);
        queue.postpone(&handle, hidden)
    };
    let first = queue.next_visible_in();
    assert_eq!(scripted(QueueResponse::DropRequest), PostponeResult::NoAnswer);
    assert_eq!(scripted(QueueResponse::Hang), PostponeResult::Hangs);
    assert_eq!(queue.next_visible_in(), first);
    assert_eq!(scripted(QueueResponse::DropAnswer), PostponeResult::NoAnswer);
    assert_eq!(queue.next_visible_in(), Some(hidden));
}

#[tokio::test]
async fn the_queue_enforces_the_limits_of_sqs() {
    let queue = Queue::new("q");
    let check = |bodies: &[String], expected: &str| match queue.send_batch(bodies, Duration::ZERO) {
        BatchResult::Refused(refusal) => {
            assert!(refusal.code.ends_with(expected), "{refusal:?}");
        }
        other => panic!("{other:?}"),
    };
    check(&[], "EmptyBatchRequest");
    check(&vec!["a".to_owned(); 11], "TooManyEntriesInBatchRequest");
    check(&["a".repeat(MAX_MESSAGE_BYTES), "b".to_owned()], "BatchRequestTooLong");
    for refused in ["", "\u{0}", "\u{fffe}", "\u{ffff}"] {
        let refusal = send(&queue, refused, Duration::ZERO).unwrap_err();
        assert_eq!(refusal.code, "InvalidMessageContents", "{refused:?}");
    }
    let late = send(&queue, "a", Duration::from_mins(16)).unwrap_err();
    assert_eq!(late.code, "InvalidParameterValue");
    assert!(queue.is_empty());
}

#[tokio::test]
async fn lambda_gets_the_attributes_of_a_message() {
    let queue = Queue::new("q");
    let attributes = json!({ "a": { "DataType": "String", "StringValue": "x" } });
    let with_attributes = SentMessage { body: "1".to_owned(), attributes };
    let without = SentMessage { body: "2".to_owned(), attributes: Value::Null };
    queue.send_messages(&[with_attributes, without], Duration::ZERO);
    let event = queue.lambda_event(&queue.receive(10));
    let attributes = [0, 1].map(|at| &event["Records"][at]["messageAttributes"]);
    assert_eq!(attributes[0]["a"]["stringValue"], "x");
    assert_eq!(attributes[0]["a"]["dataType"], "String");
    assert_eq!(*attributes[1], json!({}));
}
