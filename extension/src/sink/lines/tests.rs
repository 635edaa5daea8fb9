use super::backlog::Backlog;
use super::*;
use crate::test_log::TestLog;
use crate::test_pipe::{Pipe, Trouble};
use crate::test_spans::{one_item, span, spans, traces};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use wire::compact::Context;
use wire::{Limits, SignalKind};

fn start(pipe: &Pipe, json_level: Option<&str>) -> (LineOutput, Arc<Counts>) {
    let format = json_level.map(|_| ("AWS_LAMBDA_LOG_FORMAT", "JSON"));
    let level = json_level.map(|level| ("AWS_LAMBDA_LOG_LEVEL", level));
    started_with(pipe, format.into_iter().chain(level))
}

fn started_with<'a>(
    pipe: &Pipe,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> (LineOutput, Arc<Counts>) {
    let variables = variables.into_iter();
    let source: BTreeMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let counts = Arc::new(Counts::default());
    let config = Config::from_source(&source);
    let output = LineOutput::start(&config, pipe.clone(), Arc::clone(&counts));
    (output.unwrap(), counts)
}

/// A log record with the account of the function.
fn record() -> Request {
    one_item(SignalKind::Logs, |record| {
        record.message(5, |body| body.string(1, "of 123456789012 in eu-west-1"));
    })
}

async fn write(output: &LineOutput, request: Request) -> Result<usize, Refused> {
    output.write(request, false).await
}

#[tokio::test]
async fn a_line_carries_its_service_and_in_json_its_level() {
    let pipe = Pipe::default();
    assert!(write(&start(&pipe, None).0, spans(1)).await.is_ok());
    assert!(pipe.text().contains(r#""source":"orders""#), "{}", pipe.text());
    assert!(!pipe.text().contains("timestamp"));
    let pipe = Pipe::default();
    assert!(write(&start(&pipe, Some("WARN")).0, spans(1)).await.is_ok());
    assert!(pipe.text().contains(r#""level":"WARN""#) && pipe.text().contains("timestamp"));
}

#[tokio::test]
async fn no_line_is_longer_than_the_variable_allows() {
    // Ids that do not compress.
    let id = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    let spans: Vec<_> = (1..=400).map(|number| span(id(number))).collect();
    for format in ["standard", "compact"] {
        let pipe = Pipe::default();
        let variables = [("LAMBDA_OTLP_MAX_LINE_BYTES", "1024"), ("LAMBDA_OTLP_LINE", format)];
        let (output, _) = started_with(&pipe, variables);
        assert_eq!(write(&output, traces(spans.clone())).await, Ok(0));
        let text = pipe.text();
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 1024), "{text}");
    }
}

/// A subscription selects spilled lines by a filter for JSON, which matches no piece of a line that Lambda splits.
#[tokio::test]
async fn a_spilled_line_arrives_as_one_log_event() {
    let most_bytes = 64 * 1024;
    // Text that hardly compresses.
    let word = |number: u64| format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text: Vec<String> = (1..=20_000).map(word).collect();
    let text = text.concat();
    let large =
        || one_item(SignalKind::Logs, |record| record.message(5, |body| body.string(1, &text)));
    let pipe = Pipe::default();
    let (output, counts) = started_with(&pipe, [("LAMBDA_OTLP_MAX_LINE_BYTES", "250KiB")]);
    for (spill, fits) in [(true, true), (false, false), (true, true)] {
        assert_eq!(output.write(large(), spill).await, Ok(0));
        let last = pipe.text().lines().last().map(str::len).unwrap();
        assert_eq!(last < most_bytes, fits, "{spill}: {last}");
    }
    assert_eq!(counts.get(Count::Truncated), 2);
}

#[tokio::test]
async fn partial_and_interrupted_writes_are_continued() {
    let troubles = [
        Trouble::Part(10),
        Trouble::Error(ErrorKind::WouldBlock),
        Trouble::Error(ErrorKind::Interrupted),
        Trouble::Flush(ErrorKind::WouldBlock),
        Trouble::Flush(ErrorKind::Interrupted),
    ];
    let pipe = Pipe::troubled(&troubles);
    let (output, _) = start(&pipe, None);
    assert_eq!(write(&output, spans(2)).await, Ok(0));
    assert_eq!(pipe.items(), [2]);
}

#[tokio::test]
async fn a_broken_pipe_or_panic_refuses_only_one_request() {
    for trouble in [Trouble::Error(ErrorKind::BrokenPipe), Trouble::Panic(0)] {
        let pipe = Pipe::troubled(&[trouble]);
        let (output, _) = start(&pipe, None);
        assert_eq!(write(&output, spans(1)).await, Err(Refused));
        assert_eq!(write(&output, spans(3)).await, Ok(0));
        assert_eq!(pipe.text().trim_start().lines().count(), 1);
        output.end(Duration::from_mins(1)).await;
        assert_eq!(output.pending.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_truncated_line_is_ended_before_the_next_one() {
    let broken = Trouble::Error(ErrorKind::BrokenPipe);
    for troubles in [
        &[Trouble::Part(20), broken][..],
        &[Trouble::Part(20), Trouble::Panic(0)],
        &[Trouble::Panic(20)],
    ] {
        let pipe = Pipe::troubled(troubles);
        let (output, _) = start(&pipe, None);
        assert_eq!(write(&output, spans(9)).await, Err(Refused));
        for items in [1, 2] {
            assert!(write(&output, spans(items)).await.is_ok());
        }
        let text = pipe.text();
        let lines: Vec<_> =
            text.lines().map(|line| wire::read_line(line, &Limits::default())).collect();
        let [_, Some(first), Some(second)] = &lines[..] else { panic!("{text}") };
        assert_eq!([first.decoded.len(), second.decoded.len()], [1, 1]);
    }
}

#[tokio::test]
async fn lost_items_are_counted_and_acknowledged_ones_logged() {
    const LOST: &str = "acknowledged items are lost: neither the backend nor stdout accepted them";
    let (log, _guard) = TestLog::begin();
    let broken = &[Trouble::Error(ErrorKind::BrokenPipe)][..];
    for (is_spilled, troubles, lost, messages) in [
        (true, broken, 3, &[LOST][..]),
        (true, &[], 0, &[]),
        (false, broken, 3, &[]),
        (false, &[], 0, &[]),
    ] {
        let (output, counts) = start(&Pipe::troubled(troubles), None);
        let new = if is_spilled { Backlog::spilled } else { Backlog::own };
        let mut backlog = new(output, Arc::clone(&counts));
        backlog.write(vec![spans(3)]);
        backlog.wait_written(Duration::from_mins(1)).await;
        let count = if is_spilled { Count::SpillLost } else { Count::PlatformLost };
        assert_eq!(counts.get(count), lost, "{is_spilled}");
        assert_eq!(log.take(), messages, "{is_spilled}");
    }
}

#[tokio::test]
async fn the_sink_waits_for_its_own_lines_before_the_environment_may_freeze() {
    let (pipe, counts) = (Pipe::default(), Arc::default());
    pipe.fill(true);
    let config = Config::from_source(&BTreeMap::new());
    let mut sink = crate::sink::Sink::open(&config, pipe.clone(), &counts).unwrap();
    sink.xray(vec![spans(3)]);
    sink.write(vec![spans(2)]);
    tokio::join!(sink.wait_written(Duration::from_mins(1)), async { pipe.fill(false) });
    assert_eq!(pipe.items().iter().sum::<usize>(), 3 + 2);
}

#[tokio::test]
async fn own_requests_share_a_compact_line_and_spills_stay_standard() {
    let pipe = Pipe::default();
    let variables = [("LAMBDA_OTLP_LINE", "compact"), ("AWS_REGION", "eu-west-1")];
    let (output, counts) = started_with(&pipe, variables);
    output.set_account("123456789012");
    let (spans, record) = (spans(2), record());
    let mut own = Backlog::own(output.clone(), Arc::clone(&counts));
    own.write(vec![record.clone(), spans.clone()]);
    own.wait_written(Duration::from_mins(1)).await;
    let text = pipe.text();
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.starts_with(r#"{"_otelc":""#), "{line}");
    let read = |account| {
        let delivery = Context { function: "orders", account, log_stream: "any", region: "" };
        let reading = wire::read_line_of(line, &delivery, &Limits::default()).unwrap();
        reading.decoded
    };
    assert_eq!(read("123456789012"), [spans, record.clone()]);
    assert_eq!(read("000000000000"), []);
    assert_eq!((counts.get(Count::Lines), counts.get(Count::Written)), (1, 3));

    // A subscription filter selects spilled lines by their key.
    assert_eq!(output.write(record, true).await, Ok(0));
    let spilled = pipe.text().lines().last().map(str::to_owned).unwrap();
    assert!(spilled.contains(r#""spill":true"#), "{spilled}");
    assert_eq!(counts.get(Count::Spilled), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_pipe_refuses_later_requests_without_delay() {
    let (log, _guard) = TestLog::begin();
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    drop(output.queue(vec![spans(1)], false));
    while output.progress.current().is_none() {
        tokio::task::yield_now().await;
    }
    let timed = async |items| {
        let begun = tokio::time::Instant::now();
        let is_written = write(&output, spans(items)).await.is_ok();
        (is_written, begun.elapsed())
    };
    assert!(!output.is_stuck());
    assert_eq!(timed(2).await, (false, FULL_PIPE_TIMEOUT));
    assert_eq!(log.take(), ["stdout is blocked: telemetry is refused until Lambda reads it"]);
    for _ in 0..100 {
        assert_eq!(timed(2).await, (false, Duration::ZERO));
    }
    assert!(output.is_stuck());
    // Writing resumes with the reader.
    pipe.fill(false);
    while output.is_stuck() {
        tokio::task::yield_now().await;
    }
    assert!(timed(3).await.0);
    assert_eq!(pipe.items(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_slowly_read_pipe_refuses_no_request() {
    const LINES: usize = 8;
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    for line in 1..LINES {
        // Spilled and other requests share no line.
        drop(output.queue(vec![spans(1)], line % 2 == 1));
    }
    let reader = async {
        loop {
            let current = loop {
                match output.progress.current() {
                    Some(current) => break current,
                    None => tokio::task::yield_now().await,
                }
            };
            tokio::time::sleep(FULL_PIPE_TIMEOUT / 3).await;
            pipe.take_one_line();
            while output.progress.current() == Some(current) {
                tokio::task::yield_now().await;
            }
        }
    };
    let written = tokio::select! {
        written = write(&output, spans(2)) => written,
        () = reader => unreachable!("it reads for ever"),
    };
    assert!(written.is_ok() && !output.is_stuck());
    assert_eq!(pipe.items(), [1, 1, 1, 1, 1, 1, 1, 2]);
}

#[tokio::test]
async fn abandoned_items_are_counted_except_those_of_the_current_line() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, counts) = start(&pipe, None);
    let mut own = Backlog::own(output.clone(), Arc::clone(&counts));
    own.write(vec![spans(1)]);
    while output.progress.current().is_none() {
        tokio::task::yield_now().await;
    }
    own.write((0..QUEUE + 2).map(|_| spans(2)).collect());
    own.wait_written(Duration::from_millis(1)).await;
    tokio::join!(own.give_up(), async { pipe.fill(false) });
    assert_eq!(pipe.items(), [1]);
    assert_eq!(counts.get(Count::PlatformLost), 2 * (QUEUE as u64 + 2));
}
