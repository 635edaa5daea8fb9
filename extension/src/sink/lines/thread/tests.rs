use super::*;
use wire::SignalKind;

/// Returns how many of these requests share each line. They have these bytes, items and marks.
fn together(requests: &[(usize, usize, Marks)]) -> Vec<usize> {
    let (sender, mut queue) = mpsc::channel(requests.len());
    for (bytes, items, marks) in requests {
        let job = Job {
            requests: vec![Request::counted(SignalKind::Traces, vec![0; *bytes], *items)],
            written: oneshot::channel().0,
            begun: Arc::default(),
            keep: true,
            marks: *marks,
            pending: Pending::begin(&Arc::default()),
        };
        assert!(sender.try_send(job).is_ok());
    }
    let mut shared = Vec::new();
    let mut next = None;
    while let Some(first) = next.take().or_else(|| queue.try_recv().ok()) {
        let jobs;
        (jobs, next) = collect(first, &mut queue);
        shared.push(jobs.len());
    }
    shared
}

#[test]
fn requests_share_lines_within_limits_of_bytes_and_items() {
    let check = |requests: &[(usize, usize)], expected: &[usize]| {
        let requests: Vec<_> =
            requests.iter().map(|(bytes, items)| (*bytes, *items, Marks::default())).collect();
        assert_eq!(together(&requests), expected, "{requests:?}");
    };
    check(&[(10_000, 1); 3], &[3]);
    // 32 KiB each, and 256 KiB together.
    check(&[(SHARED_BYTES, 1); 9], &[8, 1]);
    check(&[(SHARED_BYTES - 1, 1); 9], &[8, 1]);
    check(&[(1, 1), (SHARED_BYTES + 1, 1), (1, 1), (1, 1)], &[1, 1, 2]);
    // 10,000 items.
    check(&[(1, 5000); 3], &[2, 1]);
    check(&[(1, 4000); 3], &[2, 1]);
    let (spill, own) = (Marks { spill: true, partial: false }, Marks::default());
    assert_eq!(together(&[(1, 1, own), (1, 1, own), (1, 1, spill)]), [2, 1]);
}
