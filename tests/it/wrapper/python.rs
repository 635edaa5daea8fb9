//! The wrapper and the layer's modules under Python.

use super::{layer, run_by, told_by};
use lambda_otlp_tests::{python_path, skip, workspace};
use simulator::packages::{cache, python_environment};
use std::process::Output;

/// Runs Python through the wrapper, with a module `shop` beside it; nothing where there is no Python.
fn python(variables: &[(&str, &str)], shop: &str, program: &str) -> Option<Output> {
    let (layer, task) = (layer(), tempfile::tempdir().unwrap());
    let python = python_path()?;
    std::fs::write(task.path().join("shop.py"), shop).unwrap();
    std::fs::write(task.path().join("sitecustomize.py"), "print('sitecustomize of others')")
        .unwrap();
    let program = format!("import sys; sys.path.insert(0, '{}')\n{program}", task.path().display());
    let mut all = vec![("_HANDLER", "shop.handler"), ("PYTHONDONTWRITEBYTECODE", "1")];
    all.extend_from_slice(variables);
    let wrapper = layer.path().join("lambda-otlp-handler");
    let others = task.path().to_str().unwrap().to_owned();
    let all = all.into_iter().map(|(name, value)| (name, value.replace("TASK", &others)));
    let all: Vec<_> = all.collect();
    let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Some(run_by(&wrapper, &all, &[python.to_str().unwrap(), "-c", &program]))
}

#[test]
fn a_python_function_without_the_packages_runs_uninstrumented() {
    let program = "import os, shop; print(os.environ.get('PYTHONPATH')); print(shop.handler(1, 2))";
    let shop = "def handler(event, context):\n    return event + context\n";
    let Some(output) = python(&[], shop, program) else { return };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("lambda-otlp-handler: not instrumented: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "None\n3\n");

    let output = python(&[("PYTHONPATH", "TASK")], shop, program).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let [others, path, result] = lines.as_slice() else { panic!("{told}") };
    assert_eq!((*others, *result), ("sitecustomize of others", "3"));
    assert!(!path.contains("lambda-otlp"), "children of the function are not instrumented: {path}");
}

#[test]
fn a_python_function_with_its_own_sdk_is_left_alone() {
    let shop = "import sys\ndef unused():\n    import opentelemetry.sdk\n\
                def handler(event, context):\n    return 3\n";
    let program = "import shop; print(shop.handler(1, 2))";
    let Some(output) = python(&[], shop, program) else { return };
    assert_eq!(output.stdout, b"3\n");
    expect_test::expect![[r"
        lambda-otlp-handler: the function is not instrumented, because it sets up OpenTelemetry itself: shop imports opentelemetry.sdk; to instrument it, remove that setup, or set LAMBDA_OTLP_INSTRUMENT=off to keep it
    "]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
}

#[test]
fn python_handlers_keep_their_result_and_are_flushed_in_time() {
    let Some(told) = told_by("python", "handlers.py", &[]) else { return };
    expect_test::expect![[r#"
        value: begun, flushed, flushed, 3
        failure: begun, charged, current error.type=ValueError, flushed, flushed, ValueError declined in ['charge']
        failure in C: begun, current error.type=TypeError, flushed, flushed, TypeError str.join() takes exactly one argument (2 given) in []
        status: begun, current http.response.status_code=502, current error.type=502, current error: None, flushed, flushed, {'statusCode': 502}
        status of the client: begun, current http.response.status_code=404, flushed, flushed, {'statusCode': 404, 'batchItemFailures': []}
        status as text: begun, current http.response.status_code=503, current error.type=503, current error: None, flushed, flushed, {'statusCode': '503'}
        no status: begun, flushed, flushed, {'statusCode': '5xx'}
        failed messages: begun, current error.type=batch_item_failures, current aws.lambda.batch_item_failures=1, current error: 1 of the batch's messages failed; Lambda delivers them again, flushed, flushed, {'batchItemFailures': [{'itemIdentifier': '1'}]}
        one parameter: begun, current error.type=TypeError, flushed, flushed, TypeError <lambda>() takes 1 positional argument but 2 were given in []
        exit: begun, charged, current error.type=SystemExit, current error: SystemExit: 3, flushed, flushed, SystemExit 3 in ['leave']
        calls itself: begun, flushed, flushed, 0
        odd event: suppressed, 3
        broken instrumentation: begun, charged, flushed, flushed, 3
        watched: watched, begun, let go, flushed, flushed, 3
        watched failure: watched, begun, charged, current error.type=ValueError, root error.type=ValueError, let go, flushed, flushed, ValueError declined in ['charge']
        watched status: watched, begun, root http.response.status_code=502, current error.type=502, current error: None, root error.type=502, root error: None, let go, flushed, flushed, {'statusCode': 502}
        watched exit: watched, begun, charged, current error.type=SystemExit, current error: SystemExit: 3, root error.type=SystemExit, root error: SystemExit: 3, let go, left, flushed, flushed, SystemExit 3 in ['leave']
        exit, fast start: watched, charged, current error.type=SystemExit, current error: SystemExit: 3, root error.type=SystemExit, root error: SystemExit: 3, let go, left, flushed within 1 s, SystemExit 3 in ['leave']
        watched odd event: watched, suppressed, let go, 3
        watched calls itself: watched, begun, let go, flushed, flushed, 0
        broken watch: begun, flushed, flushed, 3
        result: begun, flushed, flushed, 3
        nothing is kept: True
        application with state: [('first', True), ('second', True)], True, True, True
        queue: 16384, of the function's own: None
        hidden until the function is loaded: ['opentelemetry.good'], False
        too old: None, False
        before the first flush: 0.9
        after an export: 0.9
        after one that failed at once: 0.01
        after one that had nothing to export: 0.01
        after one that is accepted again: 0.9
        after an exception: 0.01
        after an exporter that reports nothing: 0.9
        with a timeout of 2: 1.8
        with a timeout of 10000: 9.0
        slow flush: begun, 3
        in time: True
        slow flush again: begun, 3
        in some milliseconds: True
        no time left: begun, 3
        at once: True
    "#]]
    .assert_eq(&told);
}

#[test]
fn python_instrumentation_adapts_to_installed_packages() {
    let Some(told) = told_by("python", "start.py", &[]) else { return };
    expect_test::expect![[r"
        one library after another: None, httpx2 begins, httpx2 is loaded, httpx begins, httpx is loaded
        after a broken one: None, broken begins, broken is loaded, cannot instrument broken, so its calls have no spans: RuntimeError('no such function'), httpx begins, httpx is loaded
        beside another distribution: distro
        asked for another distribution: aws_distro
        asked for one that is missing: distro, OTEL_PYTHON_DISTRO names other_distro, which is not installed; using distro
        says nothing: {}
        http/protobuf: {}
        grpc: {'OTEL_EXPORTER_OTLP_PROTOCOL': 'http/protobuf'}, OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but the function has no exporter for it; using http/protobuf: install the exporter, or remove the variable
        http/json for traces: {'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL': 'http/protobuf'}, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is http/json, but the function has no exporter for it; using http/protobuf: install the exporter, or remove the variable
        times: {}
        a time of 0: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got 0; using 1
        a time of -1: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got -1; using 1
        a time of nan: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got nan; using 1
        a time of inf: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got inf; using 1
        a time of soon: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got soon; using 1
        a file: {'OTEL_CONFIG_FILE': ''}, OTEL_CONFIG_FILE is ignored, because opentelemetry-configuration is not installed; the other OTEL_… variables apply
        grpc with its exporter: {}
        restored environments have different ids: True
        a comment: None
        the API: None
        another package: None
        the SDK: opentelemetry.sdk.trace
        in a method: opentelemetry.instrumentation.redis
        no Python: None
        no SDK: None
        another provider: its tracer provider is ddtrace.opentelemetry.OfAnother
        an SDK that somebody has loaded: one of its modules imports opentelemetry.sdk
        an SDK that a library has loaded: sentry_sdk imports opentelemetry.sdk
        left alone: None, the function is not instrumented, because it sets up OpenTelemetry itself: sentry_sdk imports opentelemetry.sdk; to instrument it, remove that setup, or set LAMBDA_OTLP_INSTRUMENT=off to keep it
    "]].assert_eq(&told);
}

#[test]
fn the_python_fast_start_requires_default_settings() {
    let Some(told) = told_by("python", "fast.py", &[]) else { return };
    expect_test::expect![[r"
        finds searched: True, True
        finds missing: False, False
        imports missing: ModuleNotFoundError
        imports missing: ModuleNotFoundError
        finds broken: True, True
        imports broken: ValueError
        imports broken: ValueError
        imported: searched
        nothing else: fast to 127.0.0.1:4318 every 5 s, cumulative
        delta: fast to 127.0.0.1:4318 every 5 s, delta
        an instrumentation's: fast to 127.0.0.1:4318 every 5 s, cumulative
        another protocol: the SDK, because OTEL_EXPORTER_OTLP_PROTOCOL is set
        another backend: the SDK, because OTEL_EXPORTER_OTLP_ENDPOINT is not the extension
        another backend for traces: the SDK, because OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set
        a console: the SDK, because OTEL_TRACES_EXPORTER is set
        logs: the SDK, because OTEL_LOGS_EXPORTER is set
        limits: the SDK, because OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is set
        a delay: fast to 127.0.0.1:4318 every 0.1 s, cumulative
        no delay: the SDK, because OTEL_BSP_SCHEDULE_DELAY is soon
        propagators: fast to 127.0.0.1:4318 every 5 s, cumulative
        a propagator of the function: the SDK, because OTEL_PROPAGATORS names b3
        an empty one: fast to 127.0.0.1:4318 every 5 s, cumulative
        the layer's packages: fast
        a library: fast
        packages of the function: /task has packages of OpenTelemetry
        an API: fast
        an old API: /task has opentelemetry-api 1.29.0
        a later API: /task has opentelemetry-api 2.0.0
        an API without a version: /task has opentelemetry-api 
        an instrumentation of the function: /task has openinference-1 for OpenTelemetry
        an archive: /task on the path is an archive
        library~=1.0: True
        library ~= 1.44: True
        library >= 1.0.0, < 3.0.0: True
        library~=2.0: False
        library < 1.44: False
        library != 2: False
        other >= 1: False
        accepted: True, True, bodies ['body 0', 'body 1'], connections 1
        has no room at first: True, True, bodies ['body 0', 'body 0', 'body 1'], connections 1
        has no room: False, bodies ['body 0'], connections 1
        refused: True, True, bodies ['body 0', 'body 1'], connections 1, dropped a request: the extension answered 400
        closed before the answer: False, bodies ['body 0'], connections 1
        closed twice, then not: False, False, bodies ['body 0', 'body 0'], connections 2
        answers late: False, True, ['late', 'next'], 0
        is not there: False, [b'first 1', b'third'], dropped a request: the extension does not answer, and the queue of 16 MiB is full
        no time: False
        'é': 0a02c3a9
        True: 1001
        False: 1000
        0: 1800
        -1: 18ffffffffffffffffff01
        1099511627776: 18808080808020
        1180591620717411303424: 0a1631313830353931363230373137343131333033343234
        1.5: 21000000000000f83f
        b'raw': 3a03726177
        None: 
        ['a', 1]: 2a090a030a01610a021801
        {'k': {'n': 2}}: 32120a100a016b120b32090a070a016e12021802
        '\ud800': 0a013f
        a span: 0aba010a180a160a0c736572766963652e6e616d6512060a0473686f70129d010a060a0173120131128f010a10000000000000000000000000000000ab120800000000000000cd1a036b3d76220800000000000000cd2a016e30023901000000000000004102000000000000004a070a01611202180150015a0c0903000000000000001201656a210a10000000000000000000000000000000ab120800000000000000cd350003000070ac027a0612026e6f18028501000300001a0175
        beside one of no time: True, b'', the span 'early' is dropped, because it cannot be encoded, the span 'early' is dropped, because it cannot be encoded
    "]]
    .assert_eq(&told);
}

#[test]
fn the_python_fast_start_exports_the_same_telemetry_as_the_sdk() {
    let Some(python) = python_path() else { return };
    let requirements = workspace().join("extension/layer/python/requirements.txt");
    let folder = cache().unwrap().join("layer-of-tests/python");
    if let Err(error) = python_environment(&python, &folder, &[requirements]) {
        return skip(&format!("{error:#}"));
    }
    let libraries = folder.join("lib").read_dir().unwrap().next().unwrap().unwrap().path();
    let packages = libraries.join("site-packages");
    let Some(told) = told_by("python", "columns.py", &[&packages]) else { return };
    expect_test::expect![[r#"
        all: 60 lines
            -the SDK is loaded: True
            +the SDK is loaded: False
        cumulative, baggage: 90 lines
            -the SDK is loaded: True
            +the SDK is loaded: False
        a parent of X-Ray: 3 lines
            -the SDK is loaded: True
            +the SDK is loaded: False
        a callback that flushes: 0 lines
            +{"resource": {"attributes": [{"key": "service.instance.id", "value": "instance 0"}, {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "telemetry.auto.version", "value": {"stringValue": "0.66b1"}}, {"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.1"}}]}}
            +{"attributes": [{"key": "cloud.account.id", "value": {"stringValue": "123456789012"}}, {"key": "cloud.resource_id", "value": {"stringValue": "arn:aws:lambda:eu-west-1:123456789012:function:shop"}}, {"key": "faas.invocation_id", "value": {"stringValue": "8476a536-e9f4-11e8-9739-2dfe598c3fcd"}}, {"key": "http.response.status_code", "value": {"intValue": "200"}}], "endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_SERVER", "name": "shop", "scope": {"schemaUrl": "https://opentelemetry.io/schemas/1.11.0", "scope": {"name": "opentelemetry.instrumentation.aws_lambda", "version": "0.66b1"}}, "startTimeUnixNano": "time", "status": {}}
            +{"gauge": {"dataPoints": [{"asInt": "1", "timeUnixNano": "time"}]}, "name": "flushed", "scope": {"schemaUrl": "https://example.com/1", "scope": {"name": "shop", "version": "1.2"}}}
            +{"gauge": {"dataPoints": [{"asInt": "1", "timeUnixNano": "time"}]}, "name": "flushed", "scope": {"schemaUrl": "https://example.com/1", "scope": {"name": "shop", "version": "1.2"}}}
            +{'statusCode': 200, 'saw': None}
            +the SDK is loaded: False
        a forked process: 0 lines
            +{"resource": {"attributes": [{"key": "service.instance.id", "value": "instance 0"}, {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "telemetry.auto.version", "value": {"stringValue": "0.66b1"}}, {"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.1"}}]}}
            +{"resource": {"attributes": [{"key": "service.instance.id", "value": "instance 1"}, {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "telemetry.auto.version", "value": {"stringValue": "0.66b1"}}, {"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.1"}}]}}
            +{"attributes": [{"key": "cloud.account.id", "value": {"stringValue": "123456789012"}}, {"key": "cloud.resource_id", "value": {"stringValue": "arn:aws:lambda:eu-west-1:123456789012:function:shop"}}, {"key": "faas.invocation_id", "value": {"stringValue": "8476a536-e9f4-11e8-9739-2dfe598c3fcd"}}, {"key": "http.response.status_code", "value": {"intValue": "200"}}], "endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_SERVER", "name": "shop", "scope": {"schemaUrl": "https://opentelemetry.io/schemas/1.11.0", "scope": {"name": "opentelemetry.instrumentation.aws_lambda", "version": "0.66b1"}}, "startTimeUnixNano": "time", "status": {}}
            +{"description": "counts", "name": "counter", "scope": {"schemaUrl": "https://example.com/1", "scope": {"name": "shop", "version": "1.2"}}, "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [{"asInt": "1", "exemplars": "exemplars", "startTimeUnixNano": "time", "timeUnixNano": "time"}], "isMonotonic": true}, "unit": "1"}
            +{"description": "counts", "name": "counter", "scope": {"schemaUrl": "https://example.com/1", "scope": {"name": "shop", "version": "1.2"}}, "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [{"asInt": "5", "exemplars": "exemplars", "startTimeUnixNano": "time", "timeUnixNano": "time"}], "isMonotonic": true}, "unit": "1"}
            +{"endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_INTERNAL", "name": "forks", "parentSpanId": "shop", "scope": {"schemaUrl": "https://example.com/1", "scope": {"attributes": [{"key": "a", "value": {"intValue": "1"}}], "name": "shop", "version": "1.2"}}, "startTimeUnixNano": "time", "status": {}}
            +{"endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_INTERNAL", "name": "of the child", "parentSpanId": "forks", "scope": {"schemaUrl": "https://example.com/1", "scope": {"attributes": [{"key": "a", "value": {"intValue": "1"}}], "name": "shop", "version": "1.2"}}, "startTimeUnixNano": "time", "status": {}}
            +{'statusCode': 200, 'saw': 3}
            +the SDK is loaded: False
        a web framework: 0 lines
            +{"resource": {"attributes": [{"key": "service.instance.id", "value": "instance 0"}, {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "telemetry.auto.version", "value": {"stringValue": "0.66b1"}}, {"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.1"}}]}}
            +{"attributes": [{"key": "cloud.account.id", "value": {"stringValue": "123456789012"}}, {"key": "cloud.resource_id", "value": {"stringValue": "arn:aws:lambda:eu-west-1:123456789012:function:shop"}}, {"key": "faas.invocation_id", "value": {"stringValue": "8476a536-e9f4-11e8-9739-2dfe598c3fcd"}}, {"key": "http.response.status_code", "value": {"intValue": "200"}}], "endTimeUnixNano": "time", "flags": 768, "kind": "SPAN_KIND_SERVER", "name": "shop", "parentSpanId": "t61rcWkgMzE=", "scope": {"schemaUrl": "https://opentelemetry.io/schemas/1.11.0", "scope": {"name": "opentelemetry.instrumentation.aws_lambda", "version": "0.66b1"}}, "startTimeUnixNano": "time", "status": {}, "traceState": "k=v"}
            +{"endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_INTERNAL", "name": "request", "parentSpanId": "shop", "scope": {"scope": {"name": "fastapi"}}, "startTimeUnixNano": "time", "status": {}, "traceState": "k=v"}
            +{"endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_INTERNAL", "name": "request", "parentSpanId": "shop", "scope": {"scope": {"name": "fastapi"}}, "startTimeUnixNano": "time", "status": {}, "traceState": "k=v"}
            +{"endTimeUnixNano": "time", "flags": 256, "kind": "SPAN_KIND_INTERNAL", "name": "sends", "parentSpanId": "shop", "scope": {"schemaUrl": "https://example.com/1", "scope": {"attributes": [{"key": "a", "value": {"intValue": "1"}}], "name": "shop", "version": "1.2"}}, "startTimeUnixNano": "time", "status": {}, "traceState": "k=v"}
            +{"endTimeUnixNano": "time", "flags": 768, "kind": "SPAN_KIND_INTERNAL", "name": "request", "parentSpanId": "sends", "scope": {"scope": {"name": "fastapi"}}, "startTimeUnixNano": "time", "status": {}, "traceState": "k=v"}
            +{'statusCode': 200, 'saw': [(True, ['u']), (True, ['u']), (False, ['u'])]}
            +the SDK is loaded: False
        odd variables: 2 lines
            -the SDK is loaded: True
            +the SDK is loaded: False
            +lambda-otlp-handler: OTEL_RESOURCE_ATTRIBUTES: 'nothing' is ignored, because it is not of the form name=value
        another propagator: 0 lines, cannot be imported: Propagator b3 not found. It is either misspelled or not installed.
        no telemetry: 0 lines
        the SDK, late: 3 lines
            -{'statusCode': 200, 'saw': ((False, False, True), [('seen', 'shop', 'shop')])}
            +{'statusCode': 200, 'saw': ((True, True, True), [('seen', 'shop', 'shop')])}
        a snapshot: 10 lines
        a restored environment: 17 lines
            +{"resource": {"attributes": [{"key": "service.instance.id", "value": "instance 1"}, {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "telemetry.auto.version", "value": {"stringValue": "0.66b1"}}, {"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.1"}}]}}
            +intervals begin at the restore: True
            -the SDK is loaded: True
            +the SDK is loaded: False
        an id of the function: 13 lines
            +intervals begin at the restore: True
            -the SDK is loaded: True
            +the SDK is loaded: False
        an API of the function: 44 lines
            -the SDK is loaded: True
            +the SDK is loaded: False
    "#]].assert_eq(&told);
}

#[test]
fn open_spans_of_a_timed_out_python_invocation_are_exported() {
    let files = tempfile::tempdir().unwrap();
    let Some(told) = told_by("python", "cut_off.py", &[files.path()]) else { return };
    expect_test::expect![[r#"
        times out: ['/v1/traces partial ["root error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True", "open error: the invocation was about to time out {\'url\': \'a\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        what was left open before is not among the next one's: ['/v1/traces partial ["next error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        ends in time: ['/v1/traces partial ["next error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        beside another: ['/v1/traces partial ["second error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True", "below error: the invocation was about to time out {\'lambda_otlp.partial\': True} True"]', 'flushed']
        leaves: [True, None, '/v1/traces partial ["of a thread error: the process exited before the span ended {\'lambda_otlp.partial\': True} True"]']
        computes: ['/v1/traces partial ["root error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        is refused: ['/v1/traces partial', 'cannot export the open spans', 'flushed']
        is not sampled: ['flushed']
        is told of no deadline: []
        forks: 0
        elsewhere: [None, None, None, None, None, None]
        here: [('127.0.0.1', 4318), ('localhost', 43180)]
        ms ahead: [200, 128, 100, 100, 100, 50]
        records: [b'v1 3da1f2dc-3222-475e-9205-e2e6c6318895 000000000000000000000000000000ab 00000000000000cd\r', b'v1 short                                000000000000000000000000000000ab 00000000000000cd\r']
        what a link names: precious
    "#]]
    .assert_eq(&told);
}
