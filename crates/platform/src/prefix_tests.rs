use super::*;

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

/// `{id}` stands for a request id; expected is the level and whether the id was found.
#[track_caller]
fn check(line: &str, expected: (Option<&str>, bool)) {
    let line = line.replace("{id}", ID);
    let prefix = prefix(&line);
    let level = prefix.severity.as_ref().map(|severity| severity.text.as_ref());
    assert_eq!((level, prefix.request_id == Some(ID)), expected, "{line:?}");
}

#[test]
fn prefixes_of_the_runtimes() {
    // Python
    check("[INFO]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", (Some("INFO"), true));
    check("[WARNING]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", (Some("WARN"), true));
    check("[CRITICAL]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", (Some("FATAL"), true));
    check("[DEBUG]\t2026-09-21T14:13:20.123Z\t\tin the init phase", (Some("DEBUG"), false));
    check("[ERROR] ValueError: no\nTraceback (most recent call last):", (Some("ERROR"), false));
    check("[ERROR]", (Some("ERROR"), false));
    // Node
    check("2026-09-21T14:13:20.123Z\t{id}\tINFO\torder 42", (Some("INFO"), true));
    check("2026-09-21T14:13:20.123Z\t{id}\tERROR\tInvoke Error \t{}", (Some("ERROR"), true));
    check("2026-09-21T14:13:20.123Z\tundefined\tWARN\tin the init phase", (Some("WARN"), false));
    // Java, log4j2 as AWS sets it up
    check("2026-09-21 14:13:20 {id} INFO  Handler - order 42", (Some("INFO"), true));
    check("2026-09-21 14:13:20,123 {id} ERROR Handler - order 42", (Some("ERROR"), true));
    check("2026-09-21 14:13:20.123 [main] WARN  c.e.Handler - order 42", (Some("WARN"), false));
    check("14:13:20.123 [main] ERROR c.e.Handler -- order 42", (Some("ERROR"), false));
    check("14:13:20.123 [pool-1 thread-2] INFO  c.e.Handler - x", (Some("INFO"), false));
    check("2026-09-21T14:13:20.123Z  INFO 8 --- [main] c.e.Application : x", (Some("INFO"), false));
    check("[INFO] order 42", (Some("INFO"), false));
    // .NET
    check("2026-09-21T14:13:20.123Z\t{id}\tinfo\torder 42", (Some("INFO"), true));
    check("2026-09-21T14:13:20.123Z\t{id}\tfail\torder 42", (Some("ERROR"), true));
    check("2026-09-21T14:13:20.123Z\t{id}\tcrit\torder 42", (Some("FATAL"), true));
    check("2026-09-21T14:13:20.123Z\t\twarn\tin the init phase", (Some("WARN"), false));
    check("2026-09-21T14:13:20.123Z\t{id}\ttrce\tx", (Some("TRACE"), true));
    check("2026-09-21T14:13:20.123Z\t{id}\tdbug\tx", (Some("DEBUG"), true));
    // Ruby
    check("I, [2026-09-21T14:13:20.123456 #8]  INFO {id} -- : order 42", (Some("INFO"), true));
    check("E, [2026-09-21T14:13:20.123456 #8] ERROR {id} -- app: x -- y", (Some("ERROR"), true));
    check("F, [2026-09-21T14:13:20.123456 #8] FATAL -- : no id", (Some("FATAL"), false));
    check(
        "W, [2026-09-21T14:13:20.123456 #8]  WARN  -- : in the init phase",
        (Some("WARN"), false),
    );
    check("A, [2026-09-21T14:13:20.123456 #8]   ANY {id} -- : x", (Some("INFO"), true));
    // Rust, tracing-subscriber
    check("2026-09-21T14:13:20.123456Z  WARN orders: order 42", (Some("WARN"), false));
    check("2026-09-21T14:13:20.123456Z TRACE orders: order 42", (Some("TRACE"), false));
}

#[test]
fn a_level_is_read_where_it_stands_and_nowhere_else() {
    check("", (None, false));
    check("plain", (None, false));
    check("there were no ERRORs", (None, false));
    check("ERROR this is a word", (None, false));
    check("[Error] not a level of a runtime", (None, false));
    check("[info]\t2026-09-21T14:13:20.123Z\t{id}\tx", (None, false));
    check("[1, 2, 3]", (None, false));
    check("[", (None, false));
    check("[]", (None, false));
    check("[INFO", (None, false));
    check("[INFO]\tno\t{id}x\tids", (Some("INFO"), false));
    check("2026-09-21T14:13:20.123Z\t{id}\tno level, only ERROR in the text", (None, true));
    check("2026-09-21T14:13:20.123Z order INFO", (None, false));
    check("2026-09-21", (None, false));
    check("2026-09-21T14:13:20.123Z", (None, false));
    check("2026-09-2x INFO", (None, false));
    check("2026 INFO", (None, false));
    check("99 bottles INFO", (None, false));
    check("2026-09-21 14:13:20 14:13:20 14:13:20 INFO", (None, false));
    // Of .NET, Ruby and logback only the form as a whole is a prefix.
    check("2026-09-21T14:13:20.123Z\t{id}\tinfo", (None, true));
    check("2026-09-21T14:13:20.123Z {id} info x", (None, true));
    check("2026-09-21T14:13:20.123Z\tsomebody\tinfo\tx", (None, false));
    check("I, [2026-09-21T14:13:20.123456 #8]  INFO {id} : x", (None, false));
    check("I, [yesterday #8]  INFO {id} -- : x", (None, false));
    check("I, for one, [2026-09-21] INFO -- x", (None, false));
    check("Error, [2026-09-21T14:13:20 #8] ERROR -- : x", (None, false));
    check("Did, [x", (None, false));
    check("14:13 [main] INFO x", (None, false));
    check("99 [bottles] INFO x", (None, false));
    check("14:13:20.123 [main] Information", (None, false));
}
