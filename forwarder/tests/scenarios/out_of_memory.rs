//! Messages of runtimes that run out of memory.

use crate::support::{deliver, sum};

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

fn out_of_memory(messages: &[&str]) -> f64 {
    let delivered = deliver(messages);
    delivered.metrics().filter(|metric| metric.name == "aws.lambda.out_of_memory").map(sum).sum()
}

const OUT_OF_MEMORY: [&str; 13] = [
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
    "FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory\n 1: 0xb7b3e0 node::Abort() [node]\n",
    "\n<--- Last few GCs --->\n\n[8:0x6bf0]     1200 ms: Mark-sweep 90.1 (94.2) -> 89.9 (94.2) MB\n\n\n<--- JS stacktrace --->\n\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
    "2020-06-09T15:02:26.150Z 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 FATAL ERROR: CALL_AND_RETRY_LAST Allocation failed - JavaScript heap out of memory\n\n",
    "java.lang.OutOfMemoryError: Java heap space\n\tat java.base/java.util.Arrays.copyOf(Arrays.java:3537)\n",
    "Exception in thread \"main\" java.lang.OutOfMemoryError: GC overhead limit exceeded\n",
    "Requested array size exceeds VM limit: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: Requested array size exceeds VM limit\n",
    "Terminating due to java.lang.OutOfMemoryError: Metaspace\n",
    "[FATAL] failed to allocate memory\n",
    "failed to allocate memory (NoMemoryError)",
    "/var/task/shop.rb:3:in 'String#*': failed to allocate memory (NoMemoryError)\n",
    "<internal:kernel>:187:in 'loop': failed to allocate memory (NoMemoryError)\n",
    "fatal error: runtime: out of memory\n",
];

#[test]
fn running_out_of_memory_counts_once_per_invocation() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let exit = format!(
        "RequestId: {ID} Error: Runtime exited with error: signal: aborted\nRuntime.ExitError\n"
    );
    let killed = format!(
        "RequestId: {ID} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"
    );
    let end = format!("END RequestId: {ID}\n");
    let plain = format!("REPORT RequestId: {ID}\tDuration: 1.00 ms\t\n");
    let of_memory = format!(
        "REPORT RequestId: {ID}\tDuration: 1.00 ms\tStatus: error\tError Type: Runtime.OutOfMemory\n"
    );
    let count = |expected: f64, messages: &[&str]| {
        assert!((out_of_memory(messages) - expected).abs() < 0.1, "{expected} of {messages:#?}");
    };
    for text in OUT_OF_MEMORY {
        let delivered = deliver(&[text]);
        let level = delivered.records().next().unwrap().severity_number;
        assert!(level >= 17, "{text}");
        count(1.0, &[text]);
        count(1.0, &[&start, text, &end, &plain]);
        count(1.0, &[&start, text, &exit, &end, &of_memory]);
        count(1.0, &[&start, text, text, &killed, &end, &of_memory]);
        // The invocation began in an earlier delivery; its last lines name the request.
        count(1.0, &[text, &exit, &end, &of_memory]);
        count(1.0, &[text, &end, &of_memory]);
        // Two attempts at one request, and two invocations.
        count(2.0, &[&start, text, &end, &plain, &start, text, &end, &plain]);
        let of_other = |text: &str| text.replace(ID, OTHER);
        count(2.0, &[text, &of_other(&start), &of_other(text)]);
        count(2.0, &[text, &of_other(&start), &of_other(&end), &of_other(&of_memory)]);
    }
    count(1.0, &[&start, &killed, &end, &plain]);
}

#[test]
fn logged_text_about_memory_does_not_count_as_out_of_memory() {
    for text in OUT_OF_MEMORY {
        let text = text.trim();
        let in_json = serde_json::json!({"level": "ERROR", "message": text}).to_string();
        for logged in [
            format!("caught: {text}"),
            format!("2026-09-21T14:13:20.500Z\t{ID}\tERROR\t{text}"),
            format!("[ERROR]\t2026-09-21T14:13:20.500Z\t{ID}\t{text}"),
            format!("2026-09-21T14:13:20.500Z ERROR shop: {text}"),
            format!("[ERROR] {text}"),
            in_json,
        ] {
            assert!(out_of_memory(&[&logged]).abs() < 0.1, "{logged}");
        }
    }
    for text in [
        "FATAL ERROR: the disk is full",
        "FATAL ERROR: the user says JavaScript heap out of memory, is that true?",
        // The thread limit is reached, not the memory limit.
        "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory",
        "java.lang.OutOfMemoryErrors are no fun",
        "<--- Last few GCs --->\n\nthe order is out of memory",
        "Java heap space: 5 MB",
        "failed to allocate memory for order 7",
        "[FATAL] failed to allocate memory for order 7",
        "/orders failed to allocate memory (NoMemoryError)",
        "<internal:x> failed to allocate memory (NoMemoryError)",
        "2026-09-21 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 fatal error: out of memory",
        "2026-09-21T14:13:20.123Z 8f507cfc-c7a1-4d2e-8c3b-somebody1234 fatal error: out of memory",
        "fatal error: runtime: out of memory is what Go prints",
        "no stock: java.lang.OutOfMemoryError",
    ] {
        assert!(out_of_memory(&[text]).abs() < 0.1, "{text}");
    }
}
