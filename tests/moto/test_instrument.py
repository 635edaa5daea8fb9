"""The command line's `instrument` and `uninstrument` on an account of 200 functions.

moto answers as Lambda, with the differences in lambda_api.py.
"""

import json
import os
import pty
import signal
import subprocess

import pytest
from aws import ACCOUNT, COMMAND_LINE, REGION, ROLE, function_arn
from lambda_api import api

CODE = {"ZipFile": b"PK\x05\x06" + bytes(18)}
STACK = "telemetry"
WRAPPER = "/opt/lambda-otlp-handler"
SECRET = "hunter2-of-the-shop"


def publish(aws, version_of):
    """Publishes the stack's layers in the next version, and sets the stack's outputs."""
    layers = {
        "LayerArn": (f"{STACK}-arm64", {"CompatibleArchitectures": ["arm64"]}),
        "LayerArnX8664": (f"{STACK}-x86_64", {"CompatibleArchitectures": ["x86_64"]}),
        "PackagesArnPython313": (f"{STACK}-python313", {"CompatibleRuntimes": ["python3.13"]}),
        "PackagesArnNode": (f"{STACK}-node", {"CompatibleRuntimes": ["nodejs20.x", "nodejs22.x"]}),
    }
    outputs = {"DeadLetterQueueUrl": {"Value": "https://sqs.example.com/dead"}}
    for output, (name, compatible) in layers.items():
        arn = aws.lambda_.publish_layer_version(LayerName=name, Content=CODE, **compatible)["LayerVersionArn"]
        outputs[output] = {"Value": arn}
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
    change = aws.cloudformation.create_stack if version_of == 1 else aws.cloudformation.update_stack
    change(StackName=STACK, TemplateBody=json.dumps(template))
    return {output["Value"] for output in outputs.values()}


def create(aws, name, **properties):
    properties = {"Runtime": "python3.13", "Handler": "app.handler", "Code": CODE, **properties}
    aws.lambda_.create_function(FunctionName=name, Role=ROLE, **properties)


def create_fleet(aws, count=200):
    """Creates functions of mixed runtimes, architectures, wrappers and layers; some are images."""
    other = aws.lambda_.publish_layer_version(LayerName="insights", Content=CODE)["LayerVersionArn"]
    runtimes = ["python3.13", "nodejs22.x", "java21", "provided.al2023", "python3.12", "python3.9"]

    def create_one(number):
        properties = {
            "Runtime": runtimes[number % len(runtimes)],
            "Architectures": [["arm64", "x86_64"][number // 2 % 2]],
            "Tags": {"team": ["shop", "search"][number % 4 == 0]},
        }
        variables = {"TOKEN": SECRET} if number % 2 else {}
        if number % 7 == 0:
            variables["AWS_LAMBDA_EXEC_WRAPPER"] = "/opt/otel-handler"
        if number % 11 == 0:
            variables["OTEL_SERVICE_NAME"] = "shop"
        if variables:
            properties["Environment"] = {"Variables": variables}
        if number % 3 == 0:
            properties["Layers"] = [other]
        if number % 25 == 0:
            image = {"PackageType": "Image", "Code": {"ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:1"}}
            properties = {"Tags": properties["Tags"], "Handler": "", "Runtime": "", **image}
        create(aws, f"shop-{number:03}", **properties)

    for number in range(count):
        create_one(number)


def configurations(aws):
    """Returns the configuration and tags of each function, as far as nobody else's requests change them."""
    found = {}
    for page in aws.lambda_.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            for changing in ["RevisionId", "LastModified"]:
                function.pop(changing, None)
            found[name] = function, aws.lambda_.list_tags(Resource=function["FunctionArn"])["Tags"]
    return found


def counts(printed):
    return {step: count for step, count in printed["counts"].items() if count}


def of(printed, name):
    return next(function for function in printed["functions"] if function["function"] == name)


@pytest.fixture
def account(moto):
    moto.reset()
    api.reset(is_strict=True)
    publish(moto, 1)
    yield moto
    api.reset()


INSTRUMENT = ["instrument", "--function", "shop-*", "--stack", STACK]
UNINSTRUMENT = ["uninstrument", "--function", "shop-*"]


def test_a_fleet_is_instrumented_updated_and_restored(account):
    aws = account
    create_fleet(aws)
    before = configurations(aws)
    code, printed = aws.run(*INSTRUMENT)
    assert (code, counts(printed)) == (0, {"change": 160, "refuse": 40})
    assert configurations(aws) == before, "a plan changes nothing"
    assert SECRET not in json.dumps(printed)

    # Some functions are changed by somebody else at the same time, and some requests are throttled.
    api.throttled_of = 97
    api.raced = {f"shop-{number:03}" for number in range(1, 200, 20)}
    code, printed = aws.run(*INSTRUMENT, "--yes")
    assert (code, counts(printed)) == (0, {"changed": 160, "refuse": 40}), printed
    assert (api.races > 5, api.throttled > 5) == (True, True)
    api.throttled_of = None
    after = configurations(aws)
    function, tags = after["shop-007"]
    assert [layer["Arn"].split(":", 6)[6] for layer in function["Layers"]] == ["telemetry-x86_64:1", "telemetry-node:1"]
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "LAMBDA_OTLP_NEXT_WRAPPER": "/opt/otel-handler"}
    assert function["Environment"]["Variables"] == {"TOKEN": SECRET, **variables}
    assert tags["team"] == "shop"
    assert not any(SECRET in value for value in tags.values())

    code, printed = aws.run(*INSTRUMENT, "--yes")
    assert (code, counts(printed)) == (0, {"keep": 160, "refuse": 40}), "the second run has nothing to do"
    assert configurations(aws) == after

    second = publish(aws, 2)
    code, printed = aws.run(*INSTRUMENT, "--line", "compact", "--yes")
    assert (code, counts(printed)) == (0, {"changed": 160, "refuse": 40}), printed
    for function, _ in configurations(aws).values():
        ours = [layer["Arn"] for layer in function.get("Layers", []) if STACK in layer["Arn"]]
        assert set(ours) <= second and len(ours) <= 2
        assert function.get("Environment", {}).get("Variables", {}).get("LAMBDA_OTLP_LINE") == ("compact" if ours else None)

    api.throttled_of = 97
    code, printed = aws.run(*UNINSTRUMENT, "--yes")
    assert (code, counts(printed)) == (0, {"changed": 160, "keep": 40}), printed
    api.throttled_of = None
    assert configurations(aws) == before
    code, printed = aws.run(*UNINSTRUMENT, "--yes")
    assert (code, counts(printed)) == (0, {"keep": 200})


def test_a_stopped_command_continues(account):
    aws = account
    create_fleet(aws, 60)
    before = configurations(aws)
    for command in [INSTRUMENT, UNINSTRUMENT]:
        arguments = [COMMAND_LINE, *command, "--yes", "--json"]
        process = subprocess.Popen(arguments, env=aws.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        changed = []

        def stop_after_some(name, changed=changed, process=process):
            changed.append(name)
            if len(changed) == 12:
                process.send_signal(signal.SIGINT)

        api.on_update = stop_after_some
        printed, said = process.communicate(timeout=120)
        api.on_update = None
        printed = json.loads(printed)
        assert process.returncode == 1, said
        assert printed["counts"]["waits"] > 5 and printed["counts"]["changed"] == len(changed) >= 12, (printed["counts"], said)
        assert "finishing the changes under way" in said
        code, printed = aws.run(*command, "--yes")
        assert code == 0 and printed["counts"]["changed"] > 5, printed["counts"]
    assert configurations(aws) == before


def test_a_killed_command_continues(account):
    aws = account
    create_fleet(aws, 40)
    before = configurations(aws)
    for command in [INSTRUMENT, UNINSTRUMENT]:
        process = subprocess.Popen([COMMAND_LINE, *command, "--yes"], env=aws.variables, stdout=subprocess.DEVNULL)
        api.on_update = lambda name, process=process: process.kill()
        assert process.wait(timeout=120) == -signal.SIGKILL
        api.on_update = None
        code, printed = aws.run(*command, "--yes")
        assert code == 0 and printed["counts"]["changed"] > 5, printed["counts"]
    assert configurations(aws) == before


FOREIGN = "999999999999"


def layer(name, account=ACCOUNT, region=REGION):
    return f"arn:aws:lambda:{region}:{account}:layer:{name}"


# A tag of an instrumented function, and what it may lead to: a refusal with its text, or the undoing.
TAGS = [
    *[
        (f"lambda-otlp:{kind}-before", value)
        for kind in ["extension", "packages"]
        for value in [
            layer("lambda-otlp-arm64:3", FOREIGN),
            layer("lambda-otlp-python313:3", FOREIGN),
            layer(f"{STACK}-arm64:1", FOREIGN),
            layer(f"{STACK}-x86_64:1", region="us-east-1"),
            layer("insights:1"),
            layer("insights-arm64:1"),
            layer("lambda-otlp-tools:1"),
            layer("lambda-otlp-arm64"),
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:lambda-otlp-arm64:3",
            "arn:aws:iam::123456789012:role/admin",
            "/opt/evil",
            "x",
        ]
    ],
    *[
        (f"lambda-otlp:{kind}", value)
        for kind in ["extension", "packages"]
        for value in [
            layer("insights:1"),
            layer("insights-x86_64:1"),
            layer("insights-python313:1"),
            layer("lambda-otlp-arm64"),
            "x",
        ]
    ],
    ("lambda-otlp:wrapper", "/opt/evil"),
    ("lambda-otlp:wrapper", ""),
    ("lambda-otlp:line", "compact"),
]


def test_a_tag_of_somebody_else_attaches_and_removes_nothing(account):
    """Whoever may tag a function must not make the command run foreign code in it, nor remove other layers."""
    aws = account
    others = [
        aws.lambda_.publish_layer_version(LayerName=name, Content=CODE)["LayerVersionArn"]
        for name in ["insights", "insights-x86_64", "insights-python313"]
    ]
    for number in range(len(TAGS)):
        create(aws, f"shop-{number:03}", Layers=others)
    code, printed = aws.run(*INSTRUMENT, "--yes")
    assert code == 0, printed
    for number, (key, value) in enumerate(TAGS):
        aws.lambda_.tag_resource(Resource=function_arn(f"shop-{number:03}"), Tags={key: value})
    for command in [UNINSTRUMENT, INSTRUMENT]:
        before = configurations(aws)
        if command == INSTRUMENT:
            publish(aws, 2)
        code, printed = aws.run(*command, "--yes")
        after = configurations(aws)
        for number, (key, value) in enumerate(TAGS):
            name = f"shop-{number:03}"
            layers = [layer["Arn"] for layer in after[name][0].get("Layers", [])]
            assert set(others) <= set(layers), (key, value, layers)
            assert not any(FOREIGN in arn or "us-east-1" in arn for arn in layers), (key, value, layers)
            if of(printed, name)["step"] == "refuse":
                assert value in of(printed, name)["reason"] and key in of(printed, name)["reason"], printed
                assert after[name] == before[name], (key, value)
        refused = sum(function["step"] == "refuse" for function in printed["functions"])
        # A record of a layer that is not attached says nothing about the others.
        assert refused == printed["counts"]["refuse"] >= 25, printed["counts"]
    code, printed = aws.run(*UNINSTRUMENT, "--yes", "--layer", layer("insights:1"))
    assert of(printed, "shop-004")["step"] == "changed", "a layer that the user names is attached again"


def test_the_plan_shows_foreign_accounts_in_full(account):
    aws = account
    create(aws, "shop-cart")
    code, _ = aws.run(*INSTRUMENT, "--yes")
    assert code == 0
    foreign = layer("lambda-otlp-x86_64:3", FOREIGN)
    aws.lambda_.tag_resource(Resource=function_arn("shop-cart"), Tags={"lambda-otlp:extension-before": foreign})
    plan = [COMMAND_LINE, *UNINSTRUMENT, "--layer", foreign]
    ended = subprocess.run(plan, env=aws.variables, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert f"layers {STACK}-x86_64:1, {STACK}-python313:1 -> {foreign}" in ended.stdout, ended


@pytest.mark.parametrize("command", ["instrument", "uninstrument", "fleet"])
def test_an_arn_of_another_account_or_region_is_refused(account, command):
    """The function of the same name here is another one."""
    aws = account
    create(aws, "shop-cart")
    before = configurations(aws)
    stack = [] if command == "uninstrument" else ["--stack", STACK]
    yes = [] if command == "fleet" else ["--yes"]
    for foreign in [
        f"arn:aws:lambda:{REGION}:{FOREIGN}:function:shop-cart",
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:shop-cart",
        f"{FOREIGN}:function:shop-cart",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:function:shop-cart",
        "x:function:shop-cart",
    ]:
        for argument in ["--function", "--exclude"]:
            named = [argument, foreign] if argument == "--function" else ["--function", "shop-*", argument, foreign]
            said = aws.refuses(command, *named, *stack, *yes)
            assert foreign in said, said
    assert configurations(aws) == before
    code, printed = aws.run(command, "--function", function_arn("shop-cart"), *stack)
    assert code == 0, printed


def test_functions_are_selected_by_tag_and_name(account):
    aws = account
    for name, team in [("cart", "shop"), ("cart-dev", "shop"), ("index", "search")]:
        create(aws, name, Tags={"team": team})
    _, printed = aws.run("instrument", "--tag", "team=shop", "--exclude", "*-dev", "--stack", STACK)
    assert [function["function"] for function in printed["functions"]] == ["cart"]
    said = aws.refuses("instrument", "--function", "no-such", "--stack", STACK)
    assert (
        said
        == f"lambda-otlp: no function matches in region {REGION}, account {ACCOUNT}: check --function, --tag, --region and --profile\n"
    )
    said = aws.refuses("instrument", "--function", "cart")
    assert f"no stack lambda-otlp in region {REGION}, account {ACCOUNT}" in said


def test_published_versions_managed_functions_and_snap_start_need_a_flag(account):
    aws = account
    create(aws, "shop-snap", SnapStart={"ApplyOn": "PublishedVersions"})
    create(aws, "shop-live", Publish=True)
    aws.lambda_.create_alias(FunctionName="shop-live", Name="live", FunctionVersion="1")
    create(aws, "shop-managed", Tags={"aws:cloudformation:stack-name": "shop"})
    code, printed = aws.run(*INSTRUMENT, "--yes")
    assert (code, counts(printed)) == (1, {"refuse": 3}), printed
    assert "live -> 1" in of(printed, "shop-live")["reason"]
    code, printed = aws.run(*INSTRUMENT, "--yes", "--managed", "--versions")
    assert (code, counts(printed)) == (0, {"changed": 3}), printed
    assert "aws lambda publish-version --function-name shop-snap" in of(printed, "shop-snap")["notes"][0]


def test_the_plan_shows_rows_and_texts_for_templates(account):
    aws = account
    other = aws.lambda_.publish_layer_version(LayerName="insights", Content=CODE)["LayerVersionArn"]
    create(aws, "shop-cart", Layers=[other], Environment={"Variables": {"TOKEN": SECRET, "OTEL_SERVICE_NAME": "cart"}})
    create(aws, "shop-managed", Architectures=["arm64"], Tags={"aws:cloudformation:stack-name": "shop"})
    image = {"PackageType": "Image", "Code": {"ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:1"}}
    create(aws, "shop-image", Handler="", Runtime="", **image)

    def run(*options):
        command = [COMMAND_LINE, *INSTRUMENT, *options]
        return subprocess.run(command, env=aws.variables, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    ended = run()
    assert ended.returncode == 0, ended
    assert SECRET not in ended.stdout
    rows = ended.stdout.splitlines()
    assert rows[0] == (
        "change  shop-cart     python3.13  x86_64  layers insights:1 -> insights:1, telemetry-x86_64:1, telemetry-python313:1; "
        "sets AWS_LAMBDA_EXEC_WRAPPER; keeps OTEL_SERVICE_NAME"
    )
    assert rows[1].startswith("refuse  shop-image    -           x86_64  a container image has no layers: ")
    assert rows[3] == "3 functions: 1 change, 2 refuse"
    layers = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{STACK}"
    assert f"  python3.13 arm64: {layers}-arm64:1 {layers}-python313:1" in rows
    for word in ["SAM", "CDK", "Terraform", "Serverless Framework", "Dockerfile"]:
        assert word in ended.stdout, word
    assert ended.stdout.count("# after existing layers") == 3
    assert ended.stderr == "nothing was changed; use --yes to make the changes\n"
    new = set(run("--line", "compact").stdout.splitlines()) - set(rows)
    assert new == {
        rows[0].replace("WRAPPER;", "WRAPPER, LAMBDA_OTLP_LINE;"),
        "  Environment: {Variables: {AWS_LAMBDA_EXEC_WRAPPER: /opt/lambda-otlp-handler, LAMBDA_OTLP_LINE: compact}}",
        '  fn.addEnvironment("LAMBDA_OTLP_LINE", "compact");',
        '  environment { variables = { AWS_LAMBDA_EXEC_WRAPPER = "/opt/lambda-otlp-handler", LAMBDA_OTLP_LINE = "compact" } }',
        "  environment: {AWS_LAMBDA_EXEC_WRAPPER: /opt/lambda-otlp-handler, LAMBDA_OTLP_LINE: compact}",
        "  ENV AWS_LAMBDA_EXEC_WRAPPER=/opt/lambda-otlp-handler LAMBDA_OTLP_LINE=compact",
    }


@pytest.mark.parametrize(("answer", "is_changed"), [(b"n\n", False), (b"\n", False), (b"y\n", True)])
def test_a_person_at_a_terminal_is_asked(account, answer, is_changed):
    aws = account
    create(aws, "shop-cart")
    before = configurations(aws)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND_LINE, *INSTRUMENT], env=aws.variables, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 1000)
    os.write(ours, answer)
    assert process.wait(timeout=60) == 0
    assert b"change 1 function? [y/N]" in said
    assert (configurations(aws) != before) == is_changed


def test_an_error_of_aws_shows_no_variables(account):
    """AWS's message about the quota contains all variables."""
    aws = account
    create(aws, "shop-cart", Environment={"Variables": {"TOKEN": SECRET}})
    api.on_check = lambda body: body["Environment"]["Variables"].update(LATER="x" * 5000)
    ended = subprocess.run([COMMAND_LINE, *INSTRUMENT, "--yes"], env=aws.variables, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "exceeded the 4KB limit" in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr


def test_the_fleet_is_listed_with_layers_subscriptions_and_telemetry(account, now_ms):
    aws = account
    for name in ["shop-cart", "shop-index"]:
        create(aws, name, Architectures=["arm64"])
    code, _ = aws.run("instrument", "--function", "shop-cart", "--stack", STACK, "--yes")
    assert code == 0
    publish(aws, 2)
    aws.create_function("forwarder")
    lines = ["REPORT RequestId: 7", json.dumps({"__otel_otlp_stdout": "0.1", "payload": ""}), "an order"]
    aws.write_lines("/aws/lambda/shop-cart", lines, now_ms)
    aws.logs.put_subscription_filter(
        logGroupName="/aws/lambda/shop-cart", filterName="f", filterPattern="", destinationArn=function_arn("forwarder")
    )
    code, rows = aws.run("fleet", "--function", "shop-*", "--stack", STACK)
    assert code == 0, rows
    cart, index = rows
    assert (cart["extension"].rsplit(":", 2)[1:], cart["is_outdated"]) == ([f"{STACK}-arm64", "1"], True)
    assert cart["packages"].rsplit(":", 2)[1:] == [f"{STACK}-python313", "1"]
    assert cart["subscriptions"] == ["forwarder"]
    assert cart["newest_telemetry"].startswith("20")
    assert (index["extension"], index["subscriptions"], index["newest_telemetry"]) == (None, [], None)
    ended = subprocess.run([COMMAND_LINE, "fleet", "--tag", "none"], env=aws.variables, capture_output=True, text=True)
    assert ended.returncode == 64 and "no function matches" in ended.stderr
