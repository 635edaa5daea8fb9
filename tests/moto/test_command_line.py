"""The command line: redrive from a queue and from a bucket, replay and tail of log groups."""

import base64
import gzip
import json
import re
import signal
import subprocess
import threading
import time

from aws import ACCOUNT, COMMAND_LINE, REGION, ROOT, function_resource
from batches import FUNCTION, log_batch, put, subscribe

BUCKET = "on-failure"
REASON = "answered 503"
MISSING = f"in region {REGION}, account {ACCOUNT}"


def parked(reason):
    """Returns a message of the forwarder's queues with an undecodable line (docs/guarantees.md)."""
    batch = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "/aws/lambda/orders",
        "logStream": "s",
        "subscriptionFilters": [],
        "logEvents": [{"id": "1", "timestamp": 1, "message": "{}"}],
    }
    message = {
        "v": "1.0",
        "content": "events",
        "destination": "default",
        "items": 1,
        "first_seen": "2026-09-21T14:13:21.000000000Z",
        "reason": reason,
        "origin": {"account": ACCOUNT, "region": REGION, "group": "/aws/lambda/orders", "stream": "s"},
        "encoding": "gzip",
        "body": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode(),
    }
    return json.dumps(message)


def bodies(aws, url):
    """Returns the bodies of up to ten messages that anyone may receive."""
    return [message["Body"] for message in aws.receive(url, seconds=0)]


def test_redrive_sends_the_selected_messages_of_a_queue_again(aws):
    dead = aws.create_queue("dead")
    retry = aws.create_queue("retry")
    for reason in [REASON, REASON, "answered 400"]:
        aws.sqs.send_message(QueueUrl=dead, MessageBody=parked(reason))
    redrive = ["redrive", "--from", dead, "--to", retry, "--reason", "503"]
    code, printed = aws.run(*redrive)
    assert (code, printed["redriven"][0]["messages"]) == (0, 2), printed
    assert (len(bodies(aws, retry)), len(bodies(aws, dead))) == (0, 3), "a dry run changes nothing"
    code, printed = aws.run(*redrive, "--yes")
    assert (code, printed["skipped"][0]["messages"]) == (0, 1), printed
    sent = bodies(aws, retry)
    left = bodies(aws, dead)
    assert (len(sent), len(left)) == (2, 1)
    for body in map(json.loads, sent):
        assert body["reason"] == REASON and body["first_seen"] > "2026-09-21T14:13:21", body


def test_redrive_sends_the_events_of_a_bucket_again(aws):
    retry = aws.create_queue("retry-of-bucket")
    aws.create_bucket(BUCKET)
    event = json.loads((ROOT / "tests/fixtures/events/awslogs-text-mixed.json").read_text())
    record = {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": event}
    for key, body in [("aws/lambda/one", json.dumps(record)), ("aws/lambda/other", "{}")]:
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    redrive = ["redrive", "--bucket", BUCKET, "--to", retry, "--yes"]
    code, printed = aws.run(*redrive)
    assert (code, printed["unreadable"][0]["messages"]) == (1, 1), printed
    ended = subprocess.run([COMMAND_LINE, *redrive], env=aws.variables, capture_output=True, text=True, timeout=60)
    assert f"update lambda-otlp and try again, or delete them; `aws s3 ls --recursive s3://{BUCKET}" in ended.stderr
    assert [json.loads(body) for body in bodies(aws, retry)] == [event]
    _, again = aws.run(*redrive)
    assert again["redriven"] == [], "the object is not deleted"


def test_redrive_refuses_swapped_queues_and_finds_those_of_a_stack(aws):
    dead = aws.create_queue("dead-of-stack")
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-of-stack"
    policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 1000})
    retry = aws.create_queue("retry-of-stack", RedrivePolicy=policy)
    aws.sqs.send_message(QueueUrl=retry, MessageBody=parked(REASON))
    # The pending message stays in its queue.
    for source in [["--from", retry], ["--bucket", BUCKET]]:
        assert f"use --to {retry}" in aws.refuses("redrive", *source, "--to", dead, "--yes")
    assert (len(bodies(aws, retry)), len(bodies(aws, dead))) == (1, 0)

    # CloudFormation truncates the stack's name in a function's name, which has at most 64 characters.
    stack = "lambda-otlp-of-a-team-with-a-very-long-name-production"
    function = "lambda-otlp-of-a-team-with-a-very-ForwarderFunction-1A2B3C4D5E6F"
    aws.create_stack(stack, {"ForwarderFunction": function_resource(function)})
    variables = {"LAMBDA_OTLP_RETRY_QUEUE_URL": retry, "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL": dead}
    aws.lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    aws.sqs.send_message(QueueUrl=dead, MessageBody=parked(REASON))
    code, printed = aws.run("redrive", "--stack", stack, "--yes")
    assert (code, printed["redriven"][0]["messages"]) == (0, 1), printed
    assert (len(bodies(aws, retry)), len(bodies(aws, dead))) == (2, 0)
    assert MISSING in aws.refuses("redrive", "--stack", "none")
    deleted = aws.refuses("unsubscribe", "--stack", "none", "--yes")
    assert "use --destination ARN instead of --stack" in deleted


def test_replay_sends_all_items_of_a_log_group(aws, backend, now_ms):
    aws.create_function(FUNCTION)
    batch = log_batch("text-mixed")
    subscribe(aws, batch)
    # The function does not run, so the replay sends all items.
    put(aws, batch, now_ms)
    replay = ["replay", batch["logGroup"], "--from", "1h"]
    variables = {"LAMBDA_OTLP_ENDPOINT": backend.base, "LAMBDA_OTLP_INGEST_WINDOW": "1000000h"}
    code, printed = aws.run(*replay, "--dry-run", **variables)
    assert (code, printed["events"], backend.requests) == (0, len(batch["logEvents"]), []), printed
    code, printed = aws.run(*replay, **variables)
    assert (code, printed["accepted"]) == (0, 30 + 8 + 15), printed
    assert backend.requests


def test_replay_uses_the_backend_and_rules_of_a_stack(aws, backend, now_ms):
    function = "forwarder-of-replay"
    group = "/aws/lambda/replayed"
    aws.create_stack("replay", {"ForwarderFunction": function_resource(function)})
    aws.write_lines(group, ["keep this", "drop this"], now_ms)
    rules = '[[rule]]\nname = "noise"\nmatch.body = { contains = "drop" }\ndrop = true\n'
    aws.ssm.put_parameter(Name="/rules", Value=rules, Type="String")
    aws.ssm.put_parameter(Name="/credentials", Value="Basic of-the-stack", Type="SecureString")
    variables = {"LAMBDA_OTLP_ENDPOINT": backend.base, "LAMBDA_OTLP_SECRET": "ssm:/credentials", "LAMBDA_OTLP_BACKEND": "otlp"}

    def configure(rules):
        environment = {"Variables": {**variables, "LAMBDA_OTLP_RULES": rules}}
        aws.lambda_.update_function_configuration(FunctionName=function, Environment=environment)

    replay = ["replay", group, "--from", "1h", "--stack", "replay"]
    configure("ssm:/rules")
    code, printed = aws.run(*replay)
    assert (code, printed["accepted"], printed["dropped"]) == (0, 1, 1), printed
    assert [headers["authorization"] for headers in backend.requests] == ["Basic of-the-stack"]
    configure("rules.toml")
    said = aws.refuses(*replay)
    assert "the rules of stack replay are the file rules.toml of its package" in said
    assert "LAMBDA_OTLP_RULES=rules.toml" in said
    # As deployed without the parameter Rules.
    configure("")
    code, printed = aws.run(*replay)
    assert (code, printed["accepted"], printed["dropped"]) == (0, 2, 0), printed

    aws.lambda_.delete_function(FunctionName=function)
    assert "was deleted outside of CloudFormation" in aws.refuses(*replay)
    assert "--destination ARN" in aws.refuses("unsubscribe", "--stack", "replay", "--yes")


def followed(aws, arguments, texts):
    """Follows log groups until each of these texts was printed, then ends `tail`. Returns the objects; each text is in one."""
    tail = subprocess.Popen(
        [COMMAND_LINE, "tail", *arguments, "--json"],
        env=aws.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(60, tail.kill)
    watchdog.start()
    printed = []
    while not all(any(text in line for line in printed) for text in texts):
        line = tail.stdout.readline()
        assert line, f"it ended after {printed}"
        printed.append(line)
    tail.send_signal(signal.SIGINT)
    printed += tail.stdout.readlines()
    assert tail.wait() == 0
    watchdog.cancel()
    for text in texts:
        assert "".join(printed).count(text) == 1, printed
    return [json.loads(line) for line in printed]


def write(aws, group, trace, text):
    """Writes two log events, one of them an OTLP line."""
    times = {"startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000001000000"}
    span = {"traceId": trace, "spanId": "b7ad6b7169203331", "name": "work", **times}
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    aws.write_lines(group, [line, text], time.time_ns() // 1_000_000)


def test_tail_shows_each_event_of_its_log_groups_once(aws):
    first, second, third, fourth = (f"{number:032x}" for number in range(1, 5))
    write(aws, "/aws/lambda/tail-a", first, "first words")
    write(aws, "/aws/lambda/tail-b", third, "other words")
    write(aws, "/aws/lambda/other-tail", fourth, "of another group")
    # The first polls are over by then.
    later = threading.Timer(3, write, [aws, "/aws/lambda/tail-a", second, "second words"])
    later.start()
    texts = ["first words", "second words", "other words"]
    shown = followed(aws, ["--log-group", "/aws/lambda/tail-*", "--since", "5m"], texts)
    traces = [each["trace"]["traceId"] for each in shown if "trace" in each]
    assert sorted(traces) == [first, second, third]
    for command in [["tail", "--log-group", "no-such"], ["replay", "no-such", "--from", "1h", "--dry-run"]]:
        assert re.search(f"there is no log group no-such {MISSING}", aws.refuses(*command))


def test_tail_follows_the_log_groups_of_a_stack(aws):
    group = "/of-a-stack/tail"
    properties = {"LogGroupName": group}
    aws.create_stack("shop", {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": properties}})
    write(aws, group, f"{5:032x}", "words of the stack")
    followed(aws, ["--stack", "shop", "--since", "5m"], ["words of the stack"])


def test_cost_reads_the_figures_of_the_account(aws):
    refused = aws.refuses("cost", "--account")
    assert re.search(f"CloudWatch has no invocations of the last 30 days {MISSING}", refused), refused
    for namespace, name, value in [
        ("AWS/Lambda", "Invocations", 2e6),
        ("AWS/Logs", "IncomingLogEvents", 1e7),
        ("AWS/Logs", "IncomingBytes", 5e9),
    ]:
        for days in [1, 20, 40]:
            data = {"MetricName": name, "Value": value, "Timestamp": time.time() - days * 86_400}
            aws.cloudwatch.put_metric_data(Namespace=namespace, MetricData=[data])
    code, printed = aws.run("cost", "--account")
    figures = [printed["account"][name] for name in ["invocations", "log_events", "log_gb", "ingestion_usd"]]
    assert (code, figures) == (0, [4e6, 2e7, 10, 5]), printed
