//! The results of invocations: each is counted once, whichever lines state it.

use super::*;

#[test]
fn each_invocation_counts_with_exactly_one_result() {
    // In the newer notation the report states everything.
    check(&[START, REPORT], "all=1 ok=1");
    check(&["REPORT RequestId: A\tStatus: success"], "all=1 ok=1");
    check(&[START, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, REPORT_ERROR], "all=1 errors=1:Runtime.ExitError");
    check(&[START, REPORT_OOM], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&["REPORT RequestId: A\tStatus: failure"], "all=1 errors=1:_OTHER");

    // In the older one a separate line does, before or after the report.
    check(&[START, TIMED_OUT, REPORT], "all=1 timeouts=1");
    check(&[START, REPORT, TIMED_OUT], "all=1 timeouts=1");
    check(&[START, EXITED, REPORT], "all=1 errors=1:Runtime.ExitError");
    check(&[START, REPORT, EXITED], "all=1 errors=1:Runtime.ExitError");
    check(&[START, KILLED, REPORT], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, REPORT, KILLED], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");

    // If both are present, the status of the report wins.
    check(&[START, TIMED_OUT, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, REPORT_TIMEOUT, TIMED_OUT], "all=1 timeouts=1");
    check(&[START, EXITED, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, KILLED, REPORT_OOM], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, REPORT_OOM, KILLED], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, TIMED_OUT, TIMED_OUT, EXITED, REPORT], "all=1 timeouts=1");

    // The report came in another delivery, or never.
    check(&[START, TIMED_OUT], "timeouts=1");
    check(&[KILLED], "errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&["RequestId: A Process exited before completing request"], "errors=1:Runtime.ExitError");
    check(&[START], "");
}

#[test]
fn each_attempt_of_an_invocation_is_counted() {
    const REPORT_B: &str = "REPORT RequestId: B\tDuration: 5 ms";
    check(&[REPORT, REPORT_B], "all=2 ok=2");
    check(&[TIMED_OUT, REPORT_B, REPORT], "all=2 ok=1 timeouts=1");
    check(&[REPORT_B, TIMED_OUT], "all=1 ok=1 timeouts=1");

    // Lambda's retries of an asynchronous invocation keep its request id.
    check(&[START, REPORT_ERROR, START, REPORT], "all=2 errors=1:Runtime.ExitError ok=1");
    check(&[START, TIMED_OUT, REPORT, START, TIMED_OUT, REPORT], "all=2 timeouts=2");
    check(
        &[START, KILLED, REPORT_OOM, START, KILLED, REPORT_OOM],
        "all=2 errors=2:Runtime.OutOfMemory out_of_memory=2",
    );
    check(&[START, REPORT, START, REPORT_TIMEOUT], "all=2 ok=1 timeouts=1");
    check(&[REPORT, REPORT], "all=2 ok=2");
    check(&[START, TIMED_OUT, START, REPORT], "all=1 ok=1 timeouts=1");
}

#[test]
fn only_the_report_counts_a_cold_start() {
    check(&["REPORT RequestId: A\tInit Duration: 5 ms"], "all=1 coldstarts=1 ok=1");
    check(&["REPORT RequestId: A\tRestore Duration: 5 ms"], "all=1 coldstarts=1 ok=1");
    check(&["INIT_REPORT Init Duration: 5 ms Phase: init Status: error"], "");
    check(&["RESTORE_REPORT Restore Duration: 5 ms"], "");
}

#[test]
fn unknown_error_types_count_as_other() {
    for (said, counted) in [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Extension.Crash", "Extension.Crash"),
        ("Function.Invented7391", "_OTHER"),
        ("runtime.exiterror", "_OTHER"),
    ] {
        let report = format!("REPORT RequestId: A\tStatus: error\tError Type: {said}");
        check(&[&report], &format!("all=1 errors=1:{counted}"));
    }
}
