"""The subscriber with 500 log groups, tags, pages, throttling and filters of others, through a stack's life; and the same from
the command line. The tests build on each other.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aws import ACCOUNT, REGION, ROLE, SUBSCRIBER, function_arn, function_resource, functions, logs

OURS = "lambda-otlp/forwarder"
# All of them below /aws/lambda/; every other one has the tag.
GROUPS = [f"/aws/lambda/f-{number:03}" for number in range(500)]
TAG = {"team": "shop"}
INFREQUENT_ACCESS = GROUPS[0]
WITH_ONE_OTHER = GROUPS[2]
WITH_TWO_OTHERS = GROUPS[4]
OTHERS = {WITH_ONE_OTHER: ["a"], WITH_TWO_OTHERS: ["a", "b"]}
OWN = ["/lambda-otlp/stack/forwarder", "/aws/lambda/forwarder"]
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/logs"

SPILLED = "{ $.spill IS TRUE }"

FIRST = {
    "name": "subscriber",
    "include": "/aws/lambda/*",
    "exclude": "",
    "collect": "all",
    "stream": "",
    "role": "",
}
SECOND = {**FIRST, "name": "subscriber-updated", "include": "/aws/lambda/f-0*", "exclude": "*9*", "collect": "telemetry"}
THIRD = {**SECOND, "name": "subscriber-stream", "stream": STREAM, "role": ROLE}


def properties(wanted):
    """Returns the properties of the custom resource."""
    return {
        "Include": wanted["include"],
        "Tags": "team=shop",
        "Destination": function_arn("forwarder"),
        "KinesisStream": wanted["stream"],
        "KinesisRole": wanted["role"],
        "Collect": wanted["collect"],
    }


@pytest.fixture(scope="module")
def answers():
    """Answers to CloudFormation, and the URL for them."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            server.answers.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers = []
    server.url = f"http://127.0.0.1:{server.server_port}/answer?X-Amz-Signature=x"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def stand(aws, answers):
    for function in ["forwarder", "audit"]:
        aws.create_function(function)
    aws.allow_logs("forwarder")
    aws.retry_queue = aws.create_queue("retry")
    aws.kinesis.create_stream(StreamName="logs", ShardCount=1)
    for wanted in [FIRST, SECOND, THIRD]:
        variables = {
            "LAMBDA_OTLP_DESTINATION": function_arn("forwarder"),
            "LAMBDA_OTLP_INCLUDE": wanted["include"],
            "LAMBDA_OTLP_EXCLUDE": wanted["exclude"],
            "LAMBDA_OTLP_TAGS": "team=shop",
            "LAMBDA_OTLP_COLLECT": wanted["collect"],
            "LAMBDA_OTLP_KINESIS_STREAM": wanted["stream"],
            "LAMBDA_OTLP_KINESIS_ROLE": wanted["role"],
            "LAMBDA_OTLP_RETRY_QUEUE_URL": aws.retry_queue,
            "AWS_ENDPOINT_URL": aws.endpoint,
        }
        functions.start(wanted["name"], SUBSCRIBER, variables, timeout="10m")
    for number, group in enumerate(GROUPS):
        aws.logs.create_log_group(logGroupName=group, tags=TAG if number % 2 == 0 else {})
    for group in OWN:
        aws.logs.create_log_group(logGroupName=group, tags=TAG)
    for group, names in OTHERS.items():
        for name in names:
            aws.logs.put_subscription_filter(
                logGroupName=group, filterName=name, filterPattern="", destinationArn=function_arn("audit")
            )
    logs.infrequent_access = INFREQUENT_ACCESS
    logs.throttled_of = 10
    logs.take_calls()
    return aws


def filters(aws, group):
    found = logs.throttled_of
    logs.throttled_of = None
    described = aws.logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    logs.throttled_of = found
    return {each["filterName"]: each for each in described}


def subscribed(aws):
    """Returns how many log groups have our filter. No other filter may be gone or new."""
    count = 0
    for group in GROUPS:
        names = filters(aws, group)
        count += OURS in names
        assert sorted(names.keys() - {OURS}) == OTHERS.get(group, []), group
    for group in OWN:
        assert not filters(aws, group)
    logs.take_calls()
    return count


def calls(**expected):
    """There were only these calls, each so often and once more for each that was throttled."""
    made, throttled = logs.take_calls()
    assert made.keys() <= expected.keys() and sum(made.values()) == sum(expected.values()) + throttled, made
    assert throttled > 0


def request(answers, wanted, kind, **more):
    """Sends CloudFormation's request; returns the sums in the answer."""
    event = {
        "RequestType": kind,
        "ResponseURL": answers.url,
        "RequestId": kind,
        "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/o2/1",
        "LogicalResourceId": "Subscriptions",
        "ResourceProperties": properties(wanted),
        **more,
    }
    functions[wanted["name"]].invoke(event)
    [answer] = answers.answers
    answers.answers.clear()
    assert (answer["Status"], answer["PhysicalResourceId"], answer["RequestId"]) == ("SUCCESS", "o2-Subscriptions", kind), answer
    return answer["Data"]


def update(answers, before, after):
    return request(answers, after, "Update", PhysicalResourceId="o2-Subscriptions", OldResourceProperties=properties(before))


def has(sums, **expected):
    assert {key: sums[key] for key in expected} == expected, sums


def command_line(aws, *arguments):
    code, report = aws.run(*arguments, "--destination", function_arn("forwarder"))
    assert code == 0, report
    return report


def test_a_dry_run_subscribes_nothing(stand):
    has(command_line(stand, "subscribe", "--include", "/aws/lambda/", "--tag", "team=shop"), added=247, skipped=254)
    assert "put_subscription_filter" not in logs.take_calls()[0]
    assert subscribed(stand) == 0


def test_the_stacks_creation_subscribes_each_eligible_log_group(stand, answers):
    sums = request(answers, FIRST, "Create")
    # 250 have the tag; three of them cannot be subscribed. The forwarder's own is the 501st.
    notable = (
        "another system's filter: 1 (/aws/lambda/f-002); class without subscription filters: 1 (/aws/lambda/f-000); "
        "two filters of other systems: 1 (/aws/lambda/f-004)"
    )
    has(sums, added=247, log_groups=501, notable=notable)
    calls(describe_log_groups=11, list_tags_for_resource=499, describe_subscription_filters=499, put_subscription_filter=247)
    assert subscribed(stand) == 247


def test_the_schedule_changes_nothing(stand):
    has(functions["subscriber"].invoke({"detail-type": "Scheduled Event"}), kept=247, added=0, updated=0)
    calls(describe_log_groups=11, list_tags_for_resource=499, describe_subscription_filters=499)


def test_a_new_log_group_is_subscribed_and_its_first_events_are_queued(stand, now_ms):
    group = "/aws/lambda/new"
    stream = "2026/11/21/[$LATEST]0"
    stand.create_log_stream(group, stream, tags=TAG)
    events = [{"timestamp": now_ms + number, "message": text} for number, text in enumerate(["one", "two"])]
    stand.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    detail = {"eventName": "CreateLogGroup", "requestParameters": {"logGroupName": group}}
    event = {"detail-type": "AWS API Call via CloudTrail", "detail": detail}
    has(functions["subscriber"].invoke(event), added=1, replayed_lines=2)
    [message] = stand.receive(stand.retry_queue)
    assert "data" in json.loads(message["Body"])["awslogs"]
    # The event may come twice.
    has(functions["subscriber"].invoke(event), kept=1, replayed_lines=0)


def test_an_update_changes_and_removes_filters(stand, answers):
    # Of f-000 to f-099 the even ones, without three that cannot be and five with a 9; the rest, and the new one, go.
    has(update(answers, FIRST, SECOND), updated=42, added=0, removed=206)
    assert subscribed(stand) == 42
    assert filters(stand, "/aws/lambda/f-010")[OURS]["filterPattern"].startswith('?"__otel_otlp_stdout"')
    logs.take_calls()
    has(update(answers, FIRST, SECOND), kept=42, removed=0)
    assert not {"put_subscription_filter", "delete_subscription_filter"} & logs.take_calls()[0].keys()


def test_a_filter_for_spilled_lines_stays_until_the_stack_forwarded_nothing_else(stand, answers):
    group, logs.throttled_of = "/aws/lambda/f-010", None

    def spill():
        stand.logs.put_subscription_filter(
            logGroupName=group, filterName=OURS, filterPattern=SPILLED, destinationArn=function_arn("forwarder")
        )

    spill()
    has(functions["subscriber-updated"].invoke({}), kept=42, updated=0)
    has(update(answers, FIRST, SECOND), kept=42, updated=0)
    assert filters(stand, group)[OURS]["filterPattern"] == SPILLED
    has(update(answers, {**FIRST, "collect": "spilled"}, SECOND), kept=41, updated=1)
    assert filters(stand, group)[OURS]["filterPattern"] != SPILLED
    logs.throttled_of = 10


@pytest.mark.parametrize(("before", "after"), [(SECOND, THIRD), (THIRD, SECOND)])
def test_filters_change_to_a_stream_and_back_in_place(stand, answers, before, after):
    logs.take_calls()
    has(update(answers, before, after), updated=42, added=0, removed=0)
    assert "delete_subscription_filter" not in logs.take_calls()[0]
    ours = filters(stand, "/aws/lambda/f-010")[OURS]
    assert ours["destinationArn"] == (after["stream"] or function_arn("forwarder"))
    assert ours.get("roleArn", "") == after["role"]
    has(update(answers, before, after), kept=42, updated=0)


def test_the_stacks_deletion_removes_our_filters(stand, answers):
    logs.take_calls()
    has(request(answers, SECOND, "Delete", PhysicalResourceId="o2-Subscriptions"), removed=42, failed=0)
    calls(describe_log_groups=2, describe_subscription_filters=99, delete_subscription_filter=42)
    assert subscribed(stand) == 0
    has(request(answers, SECOND, "Delete", PhysicalResourceId="o2-Subscriptions"), removed=0)


def test_the_command_line_subscribes_and_unsubscribes(stand):
    subscribe = ["subscribe", "--include", "/aws/lambda/f-1*", "--beside-others"]
    has(command_line(stand, *subscribe), added=100)
    assert subscribed(stand) == 0, "without --yes, the command only plans"
    subscribe.append("--yes")
    has(command_line(stand, *subscribe), added=100)
    has(command_line(stand, *subscribe), added=0, kept=100)
    assert subscribed(stand) == 100
    # Half of them have the tag. Without --prune, the others keep their filters.
    by_tag = ["subscribe", "--include", "/aws/lambda/f-1*", "--tag", "team=shop", "--yes"]
    has(command_line(stand, *by_tag), kept=50, removed=0)
    assert subscribed(stand) == 100
    has(command_line(stand, *by_tag, "--prune"), kept=50, removed=50)
    assert subscribed(stand) == 50
    has(command_line(stand, "unsubscribe", "--yes"), removed=50, failed=0)
    assert subscribed(stand) == 0


def test_the_destination_is_checked_before_the_first_log_group(stand):
    logs.take_calls()
    include = ["--include", "/aws/lambda/*", "--yes"]
    for arn, said in [
        (function_arn("none"), f"there is no function {function_arn('none')} in region {REGION}, account {ACCOUNT}"),
        (function_arn("forwarder").replace(REGION, "us-east-1"), "use --region us-east-1"),
        (function_arn("forwarder").replace(ACCOUNT, "999999999999"), f"but these credentials belong to account {ACCOUNT}"),
        (function_arn("audit"), f"`aws lambda add-permission --function-name {function_arn('audit')} --statement-id logs"),
    ]:
        assert said in stand.refuses("subscribe", "--destination", arn, *include)
    assert logs.take_calls() == ({}, 0)


def test_a_change_that_the_stacks_subscriber_reverts_is_named(stand):
    resources = {"ForwarderFunction": function_resource("o2-forwarder"), "SubscriberFunction": function_resource("o2-subscriber")}
    stand.create_stack("o2", resources)
    stand.allow_logs("o2-forwarder")
    variables = {
        "LAMBDA_OTLP_DESTINATION": function_arn("o2-forwarder"),
        "LAMBDA_OTLP_INCLUDE": "/aws/lambda/f-1*",
        "LAMBDA_OTLP_EXCLUDE": "/aws/lambda/f-11*",
    }
    stand.lambda_.update_function_configuration(FunctionName="o2-subscriber", Environment={"Variables": variables})

    def said(*arguments):
        return stand.says(*arguments, "--stack", "o2", "--yes")

    subscribed = said("subscribe", "--include", "/aws/lambda/f-10*,/aws/lambda/f-110,/aws/lambda/f-200")
    assert "the subscriber of stack o2 removes 1 filter within the hour" in subscribed
    # The subscriber keeps filters for spilled lines.
    assert "changes the pattern of 10 filters" in said("subscribe", "--include", "/aws/lambda/f-10*", "--collect", "telemetry")
    assert "changes the pattern" not in said("subscribe", "--include", "/aws/lambda/f-10*", "--collect", "spilled")
    assert "12 log groups: add 12, update 0, keep 0, remove 0, skip 0; 0 failed" in subscribed
    unsubscribed = said("unsubscribe", "--include", "/aws/lambda/f-1*,/aws/lambda/f-200")
    assert "the subscriber of stack o2 adds 10 removed filters again within the hour" in unsubscribed


def test_the_plan_names_other_lines_and_functions_in_direct_mode(stand):
    logs.throttled_of = None
    code = {"ZipFile": b"PK\x05\x06" + bytes(18)}
    layer = stand.lambda_.publish_layer_version(LayerName="lambda-otlp-arm64", Content=code)["LayerVersionArn"]
    direct = {"LAMBDA_OTLP_ENDPOINT": "https://o2.example.com/api/default"}
    for name, variables, layers in [
        ("direct", direct, [layer]),
        ("stdout", {**direct, "LAMBDA_OTLP_OUTPUT": "stdout"}, [layer]),
        ("without-layer", direct, []),
    ]:
        environment = {"Variables": variables}
        stand.lambda_.create_function(
            FunctionName=name, Runtime="python3.13", Handler="x.x", Role=ROLE, Code=code, Layers=layers, Environment=environment
        )
        stand.logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
    stand.logs.create_log_group(logGroupName="/shop/elsewhere")
    group = "/aws/lambda/direct"
    forwarder = function_arn("forwarder")
    stand.logs.put_subscription_filter(
        logGroupName=group, filterName=OURS, filterPattern="{ $.spill IS TRUE }", destinationArn=forwarder
    )
    groups = f"{group},/aws/lambda/stdout,/aws/lambda/without-layer"
    # Without --collect, the filter for spilled lines stays.
    said = stand.says("subscribe", "--destination", forwarder, "--include", groups)
    assert f"keep    {group}         forwards spilled lines only, as before; --collect changes that\n" in said
    assert "arrives twice" not in said
    said = stand.says("subscribe", "--destination", forwarder, "--include", groups, "--collect", "all")
    twice = "is in direct mode (LAMBDA_OTLP_ENDPOINT): its telemetry arrives twice"
    assert f"update  {group}         forwarded spilled before; direct {twice}\n" in said
    assert said.count(twice) == 1
    assert f"the lines of 1 filter change from spilled to all ({group}): to keep spilled, use --collect spilled for them" in said
    assert f"`lambda-otlp subscribe --destination {forwarder} --include {group} --collect spilled --yes`" in said
    _, report = stand.run("subscribe", "--destination", forwarder, "--include", group, "--collect", "all")
    assert report["entries"][0]["former_pattern"] == "{ $.spill IS TRUE }"

    # The functions of other log groups, and of many, come from the list.
    said = stand.says("subscribe", "--destination", forwarder, "--include", f"/shop/elsewhere,{group}", "--collect", "all")
    assert said.count(f"direct {twice}") == 1
    said = stand.says("subscribe", "--destination", forwarder, "--include", group, "--collect", "spilled")
    assert "keep 1" in said and "warning" not in said
