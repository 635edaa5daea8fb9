use super::*;

fn send(queue: &Queue, body: &str, delay: Duration) -> Result<(), String> {
    match queue.send_batch(&[body.to_owned()], delay) {
        BatchResult::Answered(results) => match &results[0] {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal.code.clone()),
        },
        BatchResult::Refused(refusal) => Err(refusal.code),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_reappears_after_its_visibility_timeout_and_expires() {
    let queue = Queue::new("q").retention(Duration::from_mins(10));
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
    tokio::time::advance(Duration::from_mins(8)).await;
    assert!(queue.is_empty());
    assert_eq!(queue.taken(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_an_in_flight_message_is_postponed_up_to_twelve_hours() {
    let queue = Queue::new("q");
    send(&queue, "a", Duration::ZERO).unwrap();
    let handle = queue.receive(1)[0].receipt_handle.clone();
    tokio::time::advance(Duration::from_secs(10)).await;
    let most = MAX_VISIBILITY_TIMEOUT.checked_sub(Duration::from_secs(10)).unwrap();
    queue.postpone(&handle, most).unwrap();
    let beyond = queue.postpone(&handle, most + Duration::from_secs(1)).unwrap_err();
    assert_eq!(beyond.code, "InvalidParameterValue");
    queue.postpone(&handle, Duration::ZERO).unwrap();
    let visible = queue.postpone(&handle, Duration::from_secs(1)).unwrap_err();
    assert_eq!(visible.code, "AWS.SimpleQueueService.MessageNotInflight");
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
        let code = send(&queue, refused, Duration::ZERO).unwrap_err();
        assert_eq!(code, "InvalidMessageContents", "{refused:?}");
    }
    let late = send(&queue, "a", Duration::from_mins(16)).unwrap_err();
    assert_eq!(late, "InvalidParameterValue");
    assert!(queue.is_empty());
}

#[tokio::test]
async fn scripted_queue_responses_are_used_in_order() {
    let queue = Queue::new("q");
    queue.script([QueueResponse::Lose, QueueResponse::Swallow, QueueResponse::Hang]);
    queue.script([QueueResponse::RefuseEntries(vec![0], Refusal::new(500, "InternalError", "x"))]);
    let mut results = Vec::new();
    for _ in 0..5 {
        results.push((send(&queue, "a", Duration::ZERO).err(), queue.len()));
    }
    let expected = [
        (Some("NoAnswer".to_owned()), 0),
        (Some("NoAnswer".to_owned()), 1),
        (Some("Hangs".to_owned()), 1),
        (Some("InternalError".to_owned()), 1),
        (None, 2),
    ];
    assert_eq!(results, expected);
}

#[tokio::test]
async fn a_message_carries_at_most_ten_attributes() {
    let queue = Queue::new("q");
    let attributes = |count: usize, value: &str| -> Value {
        let of_one =
            |number| (format!("a{number}"), json!({ "DataType": "String", "StringValue": value }));
        (0..count).map(of_one).collect()
    };
    let send = |attributes: Value| match queue
        .send_messages(&[("a".to_owned(), attributes)], Duration::ZERO)
    {
        BatchResult::Answered(results) => results.into_iter().next().unwrap().is_ok(),
        other => panic!("{other:?}"),
    };
    assert!(send(attributes(10, "x")) && send(Value::Null));
    assert!(!send(attributes(11, "x")) && !send(attributes(1, "")));
    let event = queue.lambda_event(&queue.receive(10));
    let of_first = &event["Records"][0]["messageAttributes"];
    assert_eq!(
        (of_first["a9"]["stringValue"].as_str(), of_first["a9"]["dataType"].as_str()),
        (Some("x"), Some("String"))
    );
    assert_eq!(event["Records"][1]["messageAttributes"], json!({}));
}
