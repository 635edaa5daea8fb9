use super::own_lines::OwnLines;
use super::*;
use crate::test_spans::{Span, traces};
use std::io::ErrorKind;
use std::sync::{Condvar, Mutex};
use wire::Limits;

/// A pipe whose reader can be slow, or gone.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    is_full: bool,
    /// Each of these goes wrong in turn.
    troubles: Vec<Trouble>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Error(ErrorKind),
    /// Takes only so many bytes.
    Part(usize),
}

impl Pipe {
    fn troubled(troubles: &[Trouble]) -> Self {
        let pipe = Self::default();
        pipe.0.0.lock().unwrap().troubles = troubles.iter().rev().copied().collect();
        pipe
    }

    fn fill(&self, is_full: bool) {
        self.0.0.lock().unwrap().is_full = is_full;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
    }

    /// Items of each line.
    fn items(&self) -> Vec<usize> {
        let items = |line| {
            let reading = wire::read_line(line, &Limits::default()).unwrap();
            reading.decoded.iter().map(|line| line.request.items()).sum()
        };
        self.text().lines().map(items).collect()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let trouble = {
            let state = self.0.0.lock().unwrap();
            let mut state = self.0.1.wait_while(state, |state| state.is_full).unwrap();
            state.troubles.pop()
        };
        let bytes = match trouble {
            Some(Trouble::Error(kind)) => return Err(kind.into()),
            Some(Trouble::Part(length)) => &bytes[..length],
            None => bytes,
        };
        self.0.0.lock().unwrap().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(pipe: &Pipe, json_level: Option<&str>) -> (LineOutput, Arc<Counts>) {
    start_behind(pipe, false, json_level)
}

fn start_behind(
    pipe: &Pipe,
    is_behind_cut_line: bool,
    json_level: Option<&str>,
) -> (LineOutput, Arc<Counts>) {
    let lines = Lines {
        max_bytes: 60 * 1024,
        compression_level: 6,
        json_level: json_level.map(str::to_owned),
    };
    let counts = Arc::new(Counts::default());
    let told = Arc::clone(&counts);
    let output = LineOutput::start(&lines, "fallback", pipe.clone(), is_behind_cut_line, told);
    (output.unwrap(), counts)
}

fn spans(number: usize) -> Request {
    traces(&vec![Span::default(); number])
}

#[tokio::test]
async fn a_line_says_its_service_and_under_json_its_level() {
    let pipe = Pipe::default();
    assert!(start(&pipe, None).0.write(spans(1)).await.is_ok());
    assert!(pipe.text().contains(r#""source":"orders""#), "{}", pipe.text());
    assert!(!pipe.text().contains("timestamp"));
    let pipe = Pipe::default();
    assert!(start(&pipe, Some("WARN")).0.write(spans(1)).await.is_ok());
    assert!(pipe.text().contains(r#""level":"WARN""#) && pipe.text().contains("timestamp"));
}

#[tokio::test]
async fn a_pipe_that_takes_parts_gets_the_whole() {
    let troubles = [
        Trouble::Part(10),
        Trouble::Error(ErrorKind::WouldBlock),
        Trouble::Error(ErrorKind::Interrupted),
    ];
    let pipe = Pipe::troubled(&troubles);
    let (output, _) = start(&pipe, None);
    assert_eq!(output.write(spans(2)).await.map(|written| written.items), Ok(2));
    assert_eq!(pipe.items(), [2]);
}

#[tokio::test]
async fn a_broken_pipe_refuses_one_request_and_the_thread_lives() {
    let pipe = Pipe::troubled(&[Trouble::Error(ErrorKind::BrokenPipe)]);
    let (output, _) = start(&pipe, None);
    assert_eq!(output.write(spans(1)).await, Err(Refused));
    assert_eq!(output.write(spans(3)).await.map(|written| written.items), Ok(3));
    assert_eq!(pipe.items(), [3]);
    assert_eq!(output.wait_idle(Duration::from_secs(9)), 0);
}

#[tokio::test]
async fn what_comes_behind_a_line_that_was_cut_off_is_no_part_of_it() {
    let pipe = Pipe::default();
    pipe.clone().write_all(b"{\"__otel_otlp_stdout\":\"0.").unwrap();
    let (output, _) = start_behind(&pipe, true, None);
    for items in [1, 2] {
        assert!(output.write(spans(items)).await.is_ok());
    }
    let text = pipe.text();
    let lines: Vec<_> =
        text.lines().map(|line| wire::read_line(line, &Limits::default())).collect();
    let [_, Some(first), Some(second)] = &lines[..] else { panic!("{text}") };
    assert_eq!([first.decoded.len(), second.decoded.len()], [1, 1]);
}

#[tokio::test]
async fn a_full_pipe_is_waited_for_as_long_as_ever_and_what_is_left_is_told() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    for _ in 0..3 {
        assert!(output.offer(spans(1)).is_ok());
    }
    while output.progress.current().is_none() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    assert_eq!(output.wait_idle(Duration::from_mins(1)), 3);
    assert!(begun.elapsed() < Duration::from_secs(30));
    pipe.fill(false);
    assert_eq!(output.wait_idle(Duration::from_mins(1)), 0);
}

#[tokio::test]
async fn spans_that_had_not_ended_share_no_line_with_others() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    // The first is being written, the others gather behind it.
    let (first, second, partial, last, ()) = tokio::join!(
        output.write(spans(1)),
        output.write(spans(2)),
        output.write_partial(spans(3)),
        output.write(spans(4)),
        async { pipe.fill(false) }
    );
    assert!([first, second, partial, last].iter().all(Result::is_ok));
    let text = pipe.text();
    let lines = text.lines().filter_map(|line| wire::read_line(line, &Limits::default()));
    let lines = lines.flat_map(|reading| reading.decoded);
    let (partial, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.is_partial);
    let items = |lines: &[wire::DecodedLine]| -> Vec<usize> {
        lines.iter().map(|line| line.request.items()).collect()
    };
    assert_eq!(items(&partial), [3]);
    assert_eq!(items(&others).iter().sum::<usize>(), 1 + 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_stays_full_costs_one_request_its_time_and_the_others_none() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    let write = async |items| {
        let begun = tokio::time::Instant::now();
        let is_written = output.write(spans(items)).await.is_ok();
        (is_written, begun.elapsed())
    };
    assert!(!output.is_stuck());
    let (is_written, waited) = write(1).await;
    assert!(!is_written && waited >= FULL_PIPE_TIMEOUT / 2, "{waited:?}");
    for _ in 0..100 {
        assert_eq!(write(2).await, (false, Duration::ZERO));
    }
    assert!(output.is_stuck());
    // As soon as somebody reads again everything is as it was.
    pipe.fill(false);
    while output.is_stuck() {
        tokio::task::yield_now().await;
    }
    assert!(write(3).await.0);
    assert_eq!(pipe.items(), [1, 3]);
}

#[tokio::test]
async fn our_own_lines_wait_for_a_full_pipe_and_are_not_left_out() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    let mut waiting = Vec::new();
    let returned = loop {
        match output.offer(spans(1)) {
            Ok(written) => waiting.push(written),
            Err(request) => break request,
        }
    };
    assert_eq!(returned.items(), 1, "what has no room comes back");
    assert!(waiting.len() >= QUEUE, "{}", waiting.len());
    let items = waiting.len();
    // Nobody waits for their answers, and they are written nevertheless.
    waiting.drain(..items - 1);
    pipe.fill(false);
    assert!(waiting.pop().unwrap().await.is_ok());
    assert_eq!(pipe.items().iter().sum::<usize>(), items);
}

#[tokio::test]
async fn at_the_end_the_line_that_was_begun_becomes_whole_and_no_other_begins() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, _) = start(&pipe, None);
    let begun = output.offer(spans(2)).unwrap();
    while output.progress.current().is_none() {
        tokio::task::yield_now().await;
    }
    let behind = output.offer(spans(3)).unwrap();
    output.end(Duration::from_millis(1)).await;
    assert!(output.pending() > 0, "it has waited so long and no longer");
    tokio::join!(output.end(Duration::from_mins(1)), async { pipe.fill(false) });
    assert_eq!(begun.await.map(|written| written.items), Ok(2));
    assert!(behind.await.is_err());
    assert_eq!(output.write(spans(4)).await, Err(Refused));
    assert_eq!(pipe.items(), [2]);
}

#[tokio::test]
async fn what_is_given_up_is_counted_but_for_the_line_that_was_begun() {
    let pipe = Pipe::default();
    pipe.fill(true);
    let (output, counts) = start(&pipe, None);
    let mut own = OwnLines::new(output.clone(), Arc::clone(&counts));
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

#[tokio::test]
async fn an_item_that_no_line_can_hold_is_told_to_its_sender_alone() {
    // Deflate makes nothing of these.
    let mut state = 1_u64;
    let noise = (0..400_000).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state % 251).unwrap()
    });
    let mut bytes = Vec::new();
    wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| span.bytes(1000, &noise.collect::<Vec<u8>>()));
        });
    });
    let pipe = Pipe::default();
    let (output, counts) = start(&pipe, None);
    let written = output.write(Request::trusted(wire::SignalKind::Traces, bytes)).await.unwrap();
    assert_eq!((written.items, written.dropped_items), (0, 1));
    assert_eq!(output.write(spans(1)).await.map(|written| written.dropped_items), Ok(0));
    assert_eq!(counts.get(Count::TooLarge), 1);
}
