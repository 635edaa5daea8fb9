//! The wrapper and the layer's modules under Node.

use super::{layer, run_by, told_by, wrapper};
use lambda_otlp_tests::node_path;
use std::process::{Command, Output};

#[test]
fn unexported_node_spans_are_written_at_process_exit() {
    let (folder, files) = (wrapper().with_file_name("node"), tempfile::tempdir().unwrap());
    let version = format!("const VERSION = \"{}\";", env!("CARGO_PKG_VERSION"));
    assert!(std::fs::read_to_string(folder.join("lines.cjs")).unwrap().contains(&version));
    let Some(told) = told_by("node", "last_words.cjs", &[files.path()]) else { return };
    expect_test::expect![[r#"
        exits: [3,[{"source":"shop","endpoint":"/v1/traces","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","base64":true}],"[\"root\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"open\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true},[],true] [\"open later\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true},[],true] [\"of a listener\",null,{},[],true] [\"of an earlier one\",null,{},[],true] [\"ended\",null,{},[],true]","true"]
        throws: [1,1,"[\"root\",\"nobody catches this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true] [\"open\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true},[],true]","true"]
        throws what nobody can look at: [129,1,"[\"root\",\"the process ended with exit code 129\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        rejects: [128,1,"[\"root\",\"nobody handles this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true]","true"]
        rejects, as Node ends by itself: [1,1,"[\"root\",\"nobody handles this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true]","true"]
        waits for nothing: [0,1,"[\"root\",\"the process ended with exit code 0\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        goes on after a rejection: [0,1,"[\"next\",\"the process ended with exit code 0\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"root\",null,{},[],true]","true,true"]
        ends between invocations: [0,0,"","false"]
        what is on its way is not written again: [1,1,"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"ended\",null,{},[],true]","true"]
        what did not get on its way is written: [1,1,"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"not sent\",null,{},[],true]","true"]
        what is still unsent after the wait is written: [1,1,"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"not sent\",null,{},[],true]","true","lambda-otlp-handler: info: the extension has not accepted 1 spans in time"]
        was about to time out: [1,1,"[\"began later\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true},[],true]","false"]
        writes JSON logs: [1,[{"source":"shop","endpoint":"/v1/traces","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","level":"ERROR","base64":true,"timestamp":24}],"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        has much: [1,true,1,3002,3002,["lambda-otlp-handler: cannot write all spans at process exit: Error: 1 of 3003 spans are too large for an OTLP line, or stdout is blocked"],"true"]
        nobody reads: [1,true,1,"true",true]
    "#]].assert_eq(&told);
}

const CALLS: &str = "const { handler } = require(`${process.env.LAMBDA_TASK_ROOT}/shop.js`); \
                     console.log(process.env.NODE_OPTIONS, handler(1, 2))";

/// Runs Node through the wrapper, with a module `shop` as the handler's and these files beside it. `NODE_OPTIONS` begins with
/// `options`. Returns nothing if there is no Node.
fn node_with(files: &[(&str, &str)], options: &str, shop: &str) -> Option<Output> {
    node_calling(files, &[("NODE_OPTIONS", options)], shop, CALLS)
}

/// The same with these variables, and with a program in the runtime's place.
fn node_calling(
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
    shop: &str,
    program: &str,
) -> Option<Output> {
    let (layer, task) = (layer(), tempfile::tempdir().unwrap());
    let node = node_path()?;
    for (path, text) in files.iter().chain(&[("shop.js", shop)]) {
        let path = task.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = task.path().to_str().unwrap();
    let given: Vec<_> =
        variables.iter().map(|(name, value)| (*name, value.replace("TASK", root))).collect();
    let mut variables = vec![("_HANDLER", "shop.handler"), ("LAMBDA_TASK_ROOT", root)];
    variables.extend(given.iter().map(|(name, value)| (*name, &**value)));
    let wrapper = layer.path().join("lambda-otlp-handler");
    Some(run_by(&wrapper, &variables, &[node.to_str().unwrap(), "-e", program]))
}

fn node(shop: &str) -> Option<Output> {
    node_with(&[], "--no-warnings", shop)
}

const ADDS: &str = "exports.handler = (event, context) => event + context;";

/// The one line that the layer says of the function, which runs as without it.
fn said_once(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.starts_with("lambda-otlp-handler: "), "{said}");
    assert!(output.stdout.ends_with(b" 3\n"), "{said}");
    said
}

#[test]
fn a_node_function_without_the_packages_runs_uninstrumented() {
    let Some(output) = node(ADDS) else { return };
    assert_eq!(output.stdout, b"--no-warnings 3\n", "children are not instrumented");
    assert!(said_once(output).contains("missing from the function and its layers"));
}

#[test]
fn only_handler_threads_of_managed_node_instances_are_instrumented() {
    // As Lambda's runtime client does (aws-lambda-ric 4, `WorkerManager`). The second thread is one of the function's own.
    let program = format!(
        "const {{ Worker }} = require('worker_threads'); \
         const own = `new (require('worker_threads').Worker)('', {{ eval: true }})`; \
         const code = {CALLS:?} + '; ' + own; \
         const env = {{ ...process.env, _HANDLER: 'shop.handler' }}; \
         new Worker(code, {{ eval: true, env, execArgv: [] }})"
    );
    // Without a handler, the main thread says nothing.
    let variables =
        [("NODE_OPTIONS", "--no-warnings"), ("AWS_LAMBDA_MAX_CONCURRENCY", "10"), ("_HANDLER", "")];
    let Some(output) = node_calling(&[], &variables, ADDS, &program) else { return };
    assert_eq!(output.stdout, b"--no-warnings 3\n", "children are not instrumented");
    assert!(said_once(output).contains("missing from the function and its layers"));
}

#[test]
fn a_node_function_with_another_tracer_is_left_alone() {
    let check = |tracing: &str, package: &str, expected: &str| {
        let package = format!("node_modules/{package}/index.js");
        let files = [("tracing.js", tracing), (&package, "")];
        let output = node_with(&files, "--require TASK/tracing.js", ADDS)?;
        let said = said_once(output);
        assert!(said.contains(": info: ") && said.contains(expected), "{said}");
        assert!(said.contains("LAMBDA_OTLP_INSTRUMENT=off"), "{said}");
        Some(())
    };
    let registered = "globalThis[Symbol.for('opentelemetry.js.api.1')] = { trace: {} };";
    if check(registered, "none", "a tracer provider of its own").is_none() {
        return;
    }
    let sentry = format!("require('@sentry/node'); {registered}");
    check(&sentry, "@sentry/node", "it loads @sentry/node,");
    check("require('dd-trace');", "dd-trace", "it loads dd-trace,");
    let instruments = "require('@opentelemetry/instrumentation');";
    check(
        instruments,
        "@opentelemetry/instrumentation",
        "it loads @opentelemetry/instrumentation,",
    );
}

#[test]
fn a_tracer_named_in_a_comment_does_not_stop_instrumentation() {
    let shop = format!("// Not NodeSDK, require('@opentelemetry/sdk-node') or dd-trace.\n{ADDS}");
    let Some(output) = node(&shop) else { return };
    assert!(
        said_once(output).contains("OpenTelemetry's packages are missing"),
        "they were looked for"
    );
}

#[test]
fn an_outdated_node_package_is_reported() {
    let names = [
        ("@opentelemetry/api", "1.9.0"),
        ("@opentelemetry/context-async-hooks", "2.0.0"),
        ("@opentelemetry/core", "2.10.1"),
        ("@opentelemetry/exporter-trace-otlp-http", "0.205.0"),
        ("@opentelemetry/instrumentation", "0.205.0"),
        ("@opentelemetry/resources", "2.0.0"),
        ("@opentelemetry/sdk-trace-base", "1.27.0"),
    ];
    let files = names.map(|(name, version)| {
        let description = format!(r#"{{ "name": "{name}", "version": "{version}" }}"#);
        (format!("node_modules/{name}/package.json"), description)
    });
    let mains = names.map(|(name, _)| (format!("node_modules/{name}/index.js"), String::new()));
    let files: Vec<_> = files.iter().chain(&mains).map(|(path, text)| (&**path, &**text)).collect();
    let Some(output) = node_with(&files, "--no-warnings", ADDS) else { return };
    let said = said_once(output);
    assert!(said.contains("@opentelemetry/sdk-trace-base is 1.27.0, but 2.0.0 or later"), "{said}");
}

#[test]
fn a_missing_node_handler_file_is_reported() {
    let Some(node) = node_path() else { return };
    let layer = layer();
    let root = layer.path().to_str().unwrap();
    let variables = [("_HANDLER", "dist/shop.handler"), ("LAMBDA_TASK_ROOT", root)];
    let wrapper = layer.path().join("lambda-otlp-handler");
    let output =
        run_by(&wrapper, &variables, &[node.to_str().unwrap(), "-e", "console.log('', 3)"]);
    assert!(said_once(output).contains("no file found for the handler dist/shop.handler"));
}

#[test]
fn a_node_invocation_links_to_the_senders_of_its_messages() {
    let Some(told) = told_by("node", "messages.cjs", &[]) else { return };
    expect_test::expect![[r#"
        a batch of two: pubsub "orders process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":2} a of m1, b of m2
        two messages of one sender: pubsub "orders process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":2} a of m1, a of m2
        one message: pubsub "orders process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.message.id":"m1"} a of m1
        a notification in a queue: pubsub "orders process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.message.id":"m1"} c of m1
        a notification: pubsub "news process" {"messaging.system":"aws.sns","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"news","messaging.message.id":"n"} 
        a notification without attributes: pubsub "news process" {"messaging.system":"aws.sns","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"news","messaging.message.id":"n"} 
        odd messages: pubsub "multiple_sources process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.batch.message_count":4} d of m4
        a large batch: pubsub "orders process" {"messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":200} 128
        a stream: pubsub "clicks process" {"messaging.system":"aws_kinesis","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"clicks","messaging.batch.message_count":2} 
        kafka: pubsub "views process" {"messaging.system":"kafka","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"views","messaging.batch.message_count":2} e of undefined
        odd kafka: pubsub "views process" {"messaging.system":"kafka","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"views"} 
        a bucket: datasource "uploads process" {"messaging.system":"aws_s3","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"uploads"} 
        a bus: pubsub "shop.orders process" {"messaging.system":"aws_eventbridge","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"shop.orders","messaging.message.id":"e1"} 
        a schedule: undefined "undefined" {} 
        an unknown source: undefined "undefined" {} 
        {"Records":[null]}: undefined "undefined" {} 
        {"Records":5}: undefined "undefined" {} 
        {"Records":[]}: undefined "undefined" {} 
        null: undefined "undefined" {} 
        5: undefined "undefined" {} 
        wait, a batch: orders wait, 9000 ms
        wait, a batch with odd times: orders wait, 1000 ms
        wait, a request: HTTP wait, 1000 ms
        wait, an event: shop wait, 1000 ms
        wait, a request at object: none
        wait, an event at object: none
        wait, a request at object: none
        wait, an event at object: none
        wait, a request at object: none
        wait, an event at object: none
        wait, a request at string: none
        wait, an event at string: none
        wait, a request at number: none
        wait, an event at number: none
        wait, a request at number: none
        wait, an event at number: none
        wait, a request at number: none
        wait, an event at number: none
        wait, a request at number: none
        wait, an event at number: none
        wait, a request at number: none
        wait, an event at number: none
    "#]]
    .assert_eq(&told);
}

#[test]
fn node_handlers_keep_their_result_and_are_flushed_before_it() {
    let Some(told) = told_by("node", "handlers.cjs", &[]) else { return };
    expect_test::expect![[r#"
        promise: begun shop, ended, flushed, 3
        messages: begun shop, begun consumer orders process, ended, ended, flushed, 3
        odd route: begun shop, ended, flushed, 3
        several values of a header: called by a, begun shop, ended, flushed, 3
        failed messages: begun shop, begun consumer orders process, failed, failed, failed, error.type=Error, ended, ended, flushed, error no
        returned messages: begun shop, begun consumer orders process, aws.lambda.batch_item_failures=1, error.type=batch_item_failures, failed, failed, ended, ended, flushed, 3
        no returned messages: begun shop, ended, flushed, 3
        status as text: begun shop, http.response.status_code=503, error.type=503, failed, ended, flushed, 3
        status: begun shop, http.response.status_code=502, error.type=502, failed, ended, flushed, 3
        rejection: begun shop, failed, failed, error.type=Error, ended, flushed, error no
        throw: begun shop, failed, failed, error.type=Error, ended, flushed, error no
        value: begun shop, ended, flushed, 3
        value beside a callback: begun shop, ended, flushed, null
        async function that never settles: begun shop, failed, failed, error.type=Error, ended, flushed, null
        promise that never settles: begun shop, ended, flushed, null
        callback: begun shop, ended, flushed, 3
        failed callback: begun shop, failed, failed, error.type=Error, ended, flushed, error no
        callback of a promise: begun shop, ended, flushed, 3
        callback before the promise: begun shop, ended, flushed, 3
        callback before an error: begun shop, ended, flushed, 3
        callback of the arguments: begun shop, ended, flushed, 3
        context: begun shop, ended, flushed, 3
        failed context: begun shop, failed, failed, error.type=Error, ended, flushed, error no
        thrown null: begun shop, ended, flushed, undefined
        thenable: begun shop, ended, flushed, 3
        status that throws: begun shop, failed, failed, error.type=Error, ended, flushed, 3
        error without a text: begun shop, failed, ended, flushed, error no
        calls itself: begun shop, ended, flushed, 3
        keeps a count: begun shop, ended, flushed, 3
        stream: begun shop, ended, flushed, stream shop
        stream with a status: begun shop, http.response.status_code=503, error.type=503, failed, ended, flushed, undefined
        watched: begun shop, watched, let go, answered ended, ended, flushed, 3
        watched rejection: begun shop, watched, let go, failed, failed, error.type=Error, answered ended, ended, flushed, error no
        watched callback: begun shop, watched, let go, answered ended, ended, flushed, 3
        watched value beside a callback: begun shop, watched, let go, answered ended, ended, flushed, null
        watched calls itself: begun shop, watched, let go, answered ended, ended, flushed, 3
        broken watch: begun shop, ended, flushed, 3
        no time left: begun shop, ended, 3
        failed flush: begun shop, ended, 3
        no span: 3
        queue: 16384, batch: 512
        queue of "8": 8, batch: 8
        queue of "0": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got 0; using 16384, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got 0; using 512
        queue of "-5": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got -5; using 16384, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got -5; using 512
        queue of "0.5": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got 0.5; using 16384, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got 0.5; using 512
        queue of "few": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got few; using 16384, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got few; using 512
        queue of "": 16384, batch: 512
        dropped: lambda-otlp-handler: dropped 3 spans: the queue of 16384 spans is full
        exports: in vain after its time, in vain after some milliseconds, taken at once, in vain after its time
        enabled undefined: [AwsInstrumentation, HttpInstrumentation, UndiciInstrumentation]
        enabled "": [AwsInstrumentation, HttpInstrumentation, UndiciInstrumentation]
        enabled " ": [AwsInstrumentation, HttpInstrumentation, UndiciInstrumentation]
        enabled "http": [HttpInstrumentation]
        enabled "other": []
    "#]]
    .assert_eq(&told);
}

#[test]
fn open_spans_of_a_timed_out_node_invocation_are_exported() {
    let files = tempfile::tempdir().unwrap();
    let Some(told) = told_by("node", "cut_off.cjs", &[files.path()]) else { return };
    expect_test::expect![[r#"
        times out: ["suppressed root error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true | open error: the invocation was about to time out {\"url\":\"a\",\"lambda_otlp.partial\":true} true","flushed"]
        the span itself goes on: [false,{"url":"a"}]
        ends in time: ["suppressed next error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true","flushed"]
        beside another: ["suppressed second error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true | of the second error: the invocation was about to time out {\"lambda_otlp.partial\":true} true","flushed"]
        is not sampled: [[],0]
        is told of no deadline: []
        known at most, and when the invocation is over: [1024,1]
        requests that are answered end: [true,true,false,false,false]
        has no exporter: ["lambda-otlp-handler: cannot export the open spans: Error: no exporter","flushed"]
        records: ["v1 3da1f2dc-3222-475e-9205-e2e6c6318895 abababababababababababababababab 00000000000000cd\r","v1 short                                abababababababababababababababab 00000000000000cd\r"]
        what a link names: precious
    "#]]
    .assert_eq(&told);
}

#[test]
fn node_spans_are_sent_as_protobuf_and_retried_on_503() {
    let Some(told) = told_by("node", "wire.cjs", &[]) else { return };
    expect_test::expect![[r"
        a span: 0a670a180a160a0c736572766963652e6e616d6512060a0473686f7012480a060a0173120131123b0a10000000000000000000000000000000ab120800000000000000cd2a016e30033905002a36fe9c971741ffc9c471fe9c97177a008501010100001a01751a0172
        all of it: 0ad6010a180a160a0c736572766963652e6e616d6512060a0473686f7012b6010a060a017312013112a8010a10000000000000000000000000000000ab120800000000000000cd1a036b3d76220800000000000000cd2a016e30033905002a36fe9c971741ffc9c471fe9c97174a070a01611202180150015a150903000000000000001201651a070a0161120218016a320a10000000000000000000000000000000ab120800000000000000cd1a036b3d7622070a01621202180228ac02350103000070027a0612026e6f18028501010300001a01751a0172
        text: 14 bytes, 12040a02c3a97a008501010100001a01751a0172
        empty: 13 bytes, 12020a007a008501010100001a01751a0172
        true: 12 bytes, 120210017a008501010100001a01751a0172
        false: 13 bytes, 120210007a008501010100001a01751a0172
        zero: 12 bytes, 120218007a008501010100001a01751a0172
        minus: 22 bytes, 120b18ffffffffffffffffff017a008501010100001a
        large: 18 bytes, 1207188080808080207a008501010100001a01751a01
        larger: 22 bytes, 120a188080808080808080107a008501010100001a01
        least: 22 bytes, 120b18808080808080808080017a008501010100001a
        tooLarge: 23 bytes, 120921000000000000e0437a008501010100001a0175
        half: 19 bytes, 120921000000000000f83f7a008501010100001a0175
        list: 21 bytes, 120b2a090a030a01610a0218017a008501010100001a
        map: 30 bytes, 121432120a100a016e120b32090a070a016d12021802
        raw: 13 bytes, 12043a0201027a008501010100001a01751a0172
        null: 10 bytes, 12007a008501010100001a01751a0172
        undefined: 15 bytes, 12007a008501010100001a01751a0172
        lone: 15 bytes, 12050a03efbfbd7a008501010100001a01751a0172
        beside wrong ones: true
        a thousand: 188920 bytes, the last true
        accepted: 0  [/v1/traces application/x-protobuf true]
        has no room at first: 0  [/v1/traces application/x-protobuf true, /v1/traces application/x-protobuf true]
        refused: 1 the extension answered 400 [/v1/traces application/x-protobuf true]
        closes: 1 socket hang up [/v1/traces application/x-protobuf true]
        closes a connection that was used before: 0  [/v1/traces application/x-protobuf true]
        closes a connection that was used before: 0  [/v1/traces application/x-protobuf true, /v1/traces application/x-protobuf true, /v1/traces application/x-protobuf true]
        never answers: 1 the export timed out [/v1/traces application/x-protobuf true]
        a broken span: 1 true
    "]]
    .assert_eq(&told);
}

#[test]
fn a_node_es_module_sees_later_assigned_exports() {
    let task = tempfile::tempdir().unwrap();
    let Some(told) = told_by("node", "modules.cjs", &[task.path()]) else { return };
    assert_eq!(told, "replaced connected, seen in a circle: orders\n");
}

#[test]
fn an_outdated_node_version_parses_the_script_and_is_reported() {
    let start = wrapper().with_file_name("node/start.cjs");
    let source = std::fs::read_to_string(&start).unwrap();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    for new in ["=>", "const ", "let ", "`", "?.", "??", "node:", "catch {"] {
        assert!(!code.clone().any(|line| line.contains(new)), "{new}");
    }
    let script = "Object.defineProperty(process.versions, 'node', { value: '12.22.12' }); \
                  process.env.NODE_OPTIONS = '--no-warnings --require=/opt/lambda-otlp/node/start.cjs'; \
                  require(process.argv[1]); console.log(process.env.NODE_OPTIONS)";
    let Some(node) = node_path() else { return };
    let output = Command::new(node).args(["-e", script]).arg(&start).output().unwrap();
    assert_eq!(output.stdout, b"--no-warnings\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("12.22.12"), "{said}");
}
