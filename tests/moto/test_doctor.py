"""`lambda-otlp doctor` for a running function, a stopped pipeline, and a stack with a subscriber."""

import json

import pytest
from aws import ACCOUNT, REGION, function_arn, function_resource, logs
from batches import FUNCTION, log_batch, put, subscribe

BUCKET = "on-failure-of-stopped"


@pytest.fixture
def group(moto, now_ms):
    """A log group that leads to the forwarder, which runs nowhere."""
    moto.reset()
    moto.create_function(FUNCTION)
    batch = log_batch("text-mixed")
    subscribe(moto, batch)
    put(moto, batch, now_ms)
    return batch["logGroup"]


def configure(moto, **variables):
    moto.lambda_.update_function_configuration(FunctionName=FUNCTION, Timeout=60, Environment={"Variables": variables})


def read_by_redrive(moto, queue, enabled):
    """Has the redrive function read this queue; returns the id of the mapping."""
    moto.create_function("redrive")
    source = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    mapping = moto.lambda_.create_event_source_mapping(
        EventSourceArn=source, FunctionName="redrive", BatchSize=1, Enabled=enabled
    )
    return mapping["UUID"]


def verdict(checks, name):
    """Returns the worst verdict of the checks with this name."""
    found = [check["verdict"] for check in checks if check["name"] == name]
    return next((verdict for verdict in ["failed", "warning", "ok"] if verdict in found), None)


def has(checks, name, verdict, *parts):
    found = [
        check
        for check in checks
        if check["name"] == name and check["verdict"] == verdict and all(part in check["text"] for part in parts)
    ]
    assert len(found) == 1, f"{name} is not {verdict} with {parts}: {json.dumps(checks, indent=1)}"


def test_doctor_of_a_deployed_function(moto, group, backend):
    doctor = ["doctor", "--function", FUNCTION, "--log-group", group]

    def run():
        return moto.run(*doctor, LAMBDA_OTLP_ENDPOINT=backend.base)

    code, checks = run()
    assert (code, verdict(checks, "permission")) == (1, "failed"), checks
    moto.allow_logs(FUNCTION)
    _, checks = run()
    for name in ["permission", "subscription", "endpoint"]:
        assert verdict(checks, name) == "ok", (name, checks)

    # As deployed, and without a backend in this shell: settings and backend are the function's.
    queue = moto.create_queue("waiting")
    of_backend = {"LAMBDA_OTLP_ENDPOINT": backend.base, "LAMBDA_OTLP_BACKEND": "otlp"}
    configure(moto, **of_backend, LAMBDA_OTLP_RETRY_QUEUE_URL=queue)
    read_by_redrive(moto, "waiting", enabled=True)
    before = len(backend.requests)
    code, checks = moto.run(*doctor, "--canary", LAMBDA_OTLP_ENDPOINT="")
    for name in ["settings", "queue", "subscription"]:
        assert verdict(checks, name) == "ok", (name, checks)
    assert (code, verdict(checks, "canary")) == (0, "ok"), checks
    assert len(backend.requests) >= before + 3, "a log record, a span and a metric"

    # The remedy for refused credentials names the function's secret, not variables of this shell.
    moto.ssm.put_parameter(Name="/credentials", Value="Basic x", Type="SecureString")
    configure(moto, **of_backend, LAMBDA_OTLP_SECRET="ssm:/credentials", LAMBDA_OTLP_RETRY_QUEUE_URL=queue)
    backend.status = 401
    _, checks = moto.run(*doctor, "--canary", LAMBDA_OTLP_ENDPOINT="")
    has(checks, "credentials", "failed", "`aws ssm put-parameter --overwrite --type SecureString --name /credentials --value")
    backend.status = 200
    # Another backend has no email and password.
    has(checks, "credentials", "failed", "'HEADER: VALUE'")
    configure(moto, **of_backend, LAMBDA_OTLP_RETRY_QUEUE_URL=queue)

    # A policy of the account that leads to the forwarder too, and then alone.
    document = {"DestinationArn": function_arn(FUNCTION), "FilterPattern": ""}
    policy = {
        "policyName": "all",
        "policyType": "SUBSCRIPTION_FILTER_POLICY",
        "policyDocument": json.dumps(document),
        "selectionCriteria": 'LogGroupName NOT IN ["/lambda-otlp/x/forwarder"]',
    }
    logs.account_policies = [policy]
    assert verdict(run()[1], "subscription") == "failed"
    moto.logs.delete_subscription_filter(logGroupName=group, filterName="lambda-otlp")
    assert verdict(run()[1], "subscription") == "ok"


def test_doctor_checks_the_destinations_of_the_forwarders_rules(moto, group, backend):
    collector = f'[destination.collector]\nendpoint = "{backend.base}"\nprofile = "otlp"\nsecret = "ssm:/collector"\n'
    moto.ssm.put_parameter(Name="/rules", Value=collector, Type="String")
    moto.ssm.put_parameter(Name="/collector", Value="api-key:KEY", Type="SecureString")

    def doctor(rules, **shell):
        configure(moto, LAMBDA_OTLP_ENDPOINT=backend.base, LAMBDA_OTLP_BACKEND="otlp", LAMBDA_OTLP_RULES=rules)
        return moto.run("doctor", "--function", FUNCTION, "--canary", LAMBDA_OTLP_ENDPOINT="", **shell)[1]

    found = doctor("ssm:/rules")
    has(found, "secret", "ok", "collector: can be read", "becomes `api-key: …`")
    assert [headers["api-key"] for headers in backend.requests] == [None] * 6 + ["KEY"] * 6
    backend.status = 401
    has(doctor("ssm:/rules"), "credentials", "failed", "collector: answered 401", "ssm put-parameter", "--name /collector ")
    moto.ssm.delete_parameter(Name="/collector")
    has(doctor("ssm:/rules"), "secret", "failed", "collector: cannot read ssm:/collector: not found")
    backend.status = 200
    # A file of the package, which is read only if the shell names a copy.
    has(doctor("rules.toml"), "rules", "warning", "rules.toml is in the function's package", "LAMBDA_OTLP_RULES=rules.toml")
    has(doctor("rules.toml", LAMBDA_OTLP_RULES="ssm:/rules"), "secret", "failed", "collector: cannot read ssm:/collector")
    has(doctor("ssm:/none"), "rules", "failed", "ssm:/none: not found")


def test_doctor_of_a_stopped_pipeline_names_each_remedy(moto, group, backend, now_ms):
    retry = moto.create_queue("retry")
    dead = moto.create_queue("dead")
    configure(
        moto,
        LAMBDA_OTLP_ENDPOINT=backend.base,
        LAMBDA_OTLP_RETRY_QUEUE_URL=retry,
        LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL=dead,
    )
    uuid = read_by_redrive(moto, "retry", enabled=False)
    on_failure = {"OnFailure": {"Destination": f"arn:aws:s3:::{BUCKET}"}}
    moto.lambda_.put_function_event_invoke_config(FunctionName=FUNCTION, DestinationConfig=on_failure)
    moto.create_bucket(BUCKET)
    moto.lambda_.put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=0)
    for queue in [dead, retry]:
        moto.sqs.send_message(QueueUrl=queue, MessageBody="{}")
    moto.s3.put_object(Bucket=BUCKET, Key="one", Body="{}")
    log = f"/aws/lambda/{FUNCTION}"
    error = {"level": "ERROR", "message": "not delivered, returned to Lambda"}
    info = {"level": "INFO", "message": "it was no ERROR"}
    moto.write_lines(log, [json.dumps(error), json.dumps(info)], now_ms)

    doctor = ["doctor", "--function", FUNCTION, "--log-group", group]
    code, found = moto.run(*doctor)
    assert code == 1
    has(found, "concurrency", "failed", FUNCTION, "delete-function-concurrency")
    has(found, "event source", "failed", "redrive does not read retry", f"--enabled --uuid {uuid}`")
    has(found, "queue", "warning", "dead: 1 messages", f"`lambda-otlp redrive --from {dead} --to {retry}`")
    has(found, "queue", "warning", "retry: 1 messages")
    has(found, "bucket", "warning", "1 events", f"`lambda-otlp redrive --bucket {BUCKET} --to {retry}`")
    has(found, "log", "failed", log, "1 errors in the last 1h", "not delivered, returned to Lambda")

    moto.lambda_.delete_function_concurrency(FunctionName=FUNCTION)
    for queue in [retry, dead]:
        moto.sqs.purge_queue(QueueUrl=queue)
    moto.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)
    _, mended = moto.run(*doctor)
    for name in ["concurrency", "event source", "queue"]:
        assert verdict(mended, name) == "ok", (name, mended)


def test_doctor_checks_that_the_redrive_function_reads_status_events(moto, group, backend):
    retry = moto.create_queue("retry")
    moto.create_queue("executions")
    configure(moto, LAMBDA_OTLP_ENDPOINT=backend.base, LAMBDA_OTLP_RETRY_QUEUE_URL=retry)
    read_by_redrive(moto, "retry", enabled=True)
    doctor = ["doctor", "--function", FUNCTION, "--log-group", group]
    _, off = moto.run(*doctor)
    assert "executions" not in json.dumps(off)

    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:executions"
    moto.lambda_.update_function_configuration(
        FunctionName="redrive", Environment={"Variables": {"LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN": arn}}
    )
    code, unread = moto.run(*doctor)
    assert code == 1
    has(unread, "event source", "failed", "no function reads executions, so there are no traces of executions", arn)

    mapping = {"EventSourceArn": arn, "FunctionName": "redrive", "BatchSize": 1}
    uuid = moto.lambda_.create_event_source_mapping(**mapping, Enabled=False)["UUID"]
    _, disabled = moto.run(*doctor)
    has(disabled, "event source", "failed", "redrive does not read executions", f"--enabled --uuid {uuid}`")
    moto.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)
    _, mended = moto.run(*doctor)
    has(mended, "event source", "ok", "redrive reads executions")


def test_doctor_of_a_pattern_names_the_remedy_of_each_log_group(moto, group, backend):
    configure(moto, LAMBDA_OTLP_ENDPOINT=backend.base)
    moto.allow_logs(FUNCTION)
    moto.logs.create_log_group(logGroupName="/aws/lambda/unsubscribed")
    _, found = moto.run("doctor", "--function", FUNCTION, "--log-group", "/aws/lambda/*")
    has(found, "subscription", "ok", "/aws/lambda/*: 1 of 2 log groups lead to the forwarder")
    remedy = f"`lambda-otlp subscribe --destination {function_arn(FUNCTION)} --include /aws/lambda/unsubscribed --yes`"
    has(found, "subscription", "failed", "/aws/lambda/unsubscribed", "no filter leads to the forwarder", remedy)
    _, found = moto.run("doctor", "--function", FUNCTION, "--log-group", "/nowhere/*", "--log-group", "/missing")
    has(found, "subscription", "failed", "/nowhere/*: no log group matches in region eu-west-1", "invoke a function")
    has(found, "subscription", "failed", "/missing: does not exist in region eu-west-1", "invoke the function")


def test_doctor_of_a_stack_includes_its_subscriber(moto, backend, now_ms):
    moto.reset()
    names = {"ForwarderFunction": FUNCTION, "SubscriberFunction": "subscriber"}
    moto.create_stack("o2", {key: function_resource(name) for key, name in names.items()})
    configure(moto, LAMBDA_OTLP_ENDPOINT=backend.base)
    error = {"level": "ERROR", "message": "some log groups could not be subscribed"}
    moto.write_lines("/aws/lambda/subscriber", [json.dumps(error)], now_ms)
    code, found = moto.run("doctor", "--stack", "o2")
    assert code == 1
    has(found, "log", "failed", "/aws/lambda/subscriber", "some log groups could not be subscribed")


def test_doctor_follows_the_stacks_parameters_and_outputs(moto, backend):
    moto.reset()
    dead = moto.create_queue("dead-of-o2")
    retry = moto.create_queue("retry-of-o2")
    redrive = function_arn("redrive-of-o2")
    parameters = {
        "LogGroups": "/aws/lambda/*",
        "ExcludedLogGroups": "*-dev,/aws/lambda/own",
        "SubscribeTags": "team=shop",
        "Collect": "telemetry",
    }
    template = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {"ForwarderFunction": function_resource(FUNCTION)},
        "Outputs": {"OnFailureBucket": {"Value": "bucket-of-o2"}, "RedriveFunctionArn": {"Value": redrive}},
    }
    moto.cloudformation.create_stack(
        StackName="o2",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    moto.allow_logs(FUNCTION)
    configure(
        moto,
        LAMBDA_OTLP_ENDPOINT=backend.base,
        LAMBDA_OTLP_RETRY_QUEUE_URL=retry,
        LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL=dead,
    )
    moto.sqs.delete_queue(QueueUrl=dead)
    for name, tags in [("shop", {"team": "shop"}), ("shop-dev", {"team": "shop"}), ("search", {"team": "search"})]:
        moto.logs.create_log_group(logGroupName=f"/aws/lambda/{name}", tags=tags)
    place = f"--region {REGION}"
    doctor = ["doctor", "--stack", "o2", "--region", REGION, "--log-group", "/aws/lambda/*"]
    code, found = moto.run(*doctor)
    assert code == 1
    has(found, "subscription", "ok", "/aws/lambda/*: 0 of 3 log groups lead to the forwarder; the stack leaves out 2")
    subscribe = f"`lambda-otlp subscribe --stack o2 {place} --include /aws/lambda/shop --collect telemetry --yes`"
    has(found, "subscription", "failed", "/aws/lambda/shop: no filter leads", subscribe)
    has(found, "backend", "skipped", f"not checked: `lambda-otlp doctor --canary --stack o2 {place}`")
    has(found, "bucket", "warning", '"Destination":"arn:aws:s3:::bucket-of-o2"', place)
    has(found, "event source", "failed", f"--function-name {redrive} --event-source-arn arn:aws:sqs:", f"{place}`")
    has(found, "queue", "failed", "dead-of-o2 does not exist", "`aws sqs create-queue --queue-name dead-of-o2", f"{place}`")
    _, found = moto.run("doctor", "--stack", "o2", "--log-group", "/aws/lambda/shop-dev", "--log-group", "/aws/lambda/search")
    has(found, "subscription", "skipped", "/aws/lambda/shop-dev: not forwarded, because ExcludedLogGroups rules it out")
    has(found, "subscription", "skipped", "/aws/lambda/search: not forwarded, because it does not have the tags of SubscribeTags")

    # A filter of another product.
    moto.create_function("audit")
    other = {"filterName": "audit", "filterPattern": "", "destinationArn": function_arn("audit")}
    moto.logs.put_subscription_filter(logGroupName="/aws/lambda/shop", **other)
    _, found = moto.run("doctor", "--stack", "o2", "--log-group", "/aws/lambda/shop")
    remedy = "`lambda-otlp subscribe --stack o2 --include /aws/lambda/shop --collect telemetry --beside-others --yes`"
    has(found, "subscription", "failed", remedy)

    # Without the stack, nothing is checked.
    code, found = moto.run("doctor", "--stack", "none")
    assert (code, [check["name"] for check in found]) == (64, ["function"])


def test_what_cloudwatch_writes_is_not_forwarded_to_it(moto, group):
    records = "/lambda-otlp-records"
    headers = f"x-aws-log-group={records},x-aws-log-stream=records"
    endpoint = {"LAMBDA_OTLP_ENDPOINT": f"https://xray.{REGION}.amazonaws.com/", "LAMBDA_OTLP_BACKEND": "otlp"}
    configure(moto, **endpoint, LAMBDA_OTLP_HEADERS=headers)
    moto.allow_logs(FUNCTION)
    for name in ["aws/spans", records]:
        moto.create_log_stream(name, "records")

    def doctor():
        return moto.run("doctor", "--function", FUNCTION, "--log-group", "*", LAMBDA_OTLP_ENDPOINT="")[1]

    assert verdict(doctor(), "subscription") == "ok"
    # `subscribe` leaves both out, and the other log group in.
    selected = ["subscribe", "--destination", function_arn(FUNCTION), "--include", "*"]
    _, printed = moto.run(*selected, "--yes")
    actions = {entry["log_group"]: f"{entry['action']}: {entry['reason']}" for entry in printed["entries"]}
    assert [actions["aws/spans"], actions[records]] == ["skip: of the delivery path itself"] * 2, actions
    # Somebody adds filters by hand.
    for name in ["aws/spans", records]:
        moto.logs.put_subscription_filter(
            logGroupName=name, filterName="by-hand", filterPattern="", destinationArn=function_arn(FUNCTION)
        )
        has(doctor(), "subscription", "failed", f"{name}: filter by-hand", "whose backend writes", "delete-subscription-filter")
    # Of another region, they are not what this backend writes.
    configure(moto, LAMBDA_OTLP_ENDPOINT="https://xray.us-east-1.amazonaws.com/", LAMBDA_OTLP_HEADERS=headers)
    assert verdict(doctor(), "subscription") == "ok"
