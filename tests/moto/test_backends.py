"""Several backends from one stack, with the rules and secrets of docs/backends.md. `test_stack` deploys its parameters."""

import recipe
from aws import FORWARDER, functions
from batches import FUNCTION, ROOT


def test_each_backend_gets_its_signal_with_its_own_credentials(aws, backends):
    honeycomb, grafana, collector = [backends() for _ in range(3)]
    endpoints = {
        "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp": grafana.base,
        "http://collector.example.internal:4318/": collector.base,
    }

    def on_this_machine(text):
        for endpoint, own in endpoints.items():
            text = text.replace(endpoint, own)
        return text

    recipe.put_parameters(aws, on_this_machine)
    assert set(recipe.STACK) >= {"Backend", "Endpoint", "Secret", "Signals", "Rules", "DestinationSecretArns"}
    variables = {
        "LAMBDA_OTLP_ENDPOINT": honeycomb.base,
        "LAMBDA_OTLP_BACKEND": recipe.STACK["Backend"],
        "LAMBDA_OTLP_SECRET": f"ssm:{recipe.STACK['Secret']}",
        "LAMBDA_OTLP_SIGNALS": recipe.STACK["Signals"],
        "LAMBDA_OTLP_RULES": f"ssm:{recipe.STACK['Rules']}",
        "LAMBDA_OTLP_VITALS": recipe.STACK["Vitals"],
    }
    forwarder = functions.start("three-backends", FORWARDER, {**variables, "AWS_ENDPOINT_URL": aws.endpoint})
    forwarder.invoke((ROOT / "tests/fixtures/events/awslogs-text-mixed.json").read_bytes())
    assert forwarder.failures == []

    def seen(header):
        servers = [honeycomb, grafana, collector]
        return [{(path.split("/v1/")[1], headers[header]) for path, headers in server.asked} for server in servers]

    grafanas = "Basic SU5TVEFOQ0VfSUQ6VE9LRU4="
    assert seen("x-honeycomb-team") == [{("traces", "API_KEY")}, {("logs", None)}, {("metrics", None)}]
    assert seen("authorization") == [{("traces", None)}, {("logs", grafanas)}, {("metrics", None)}]

    # doctor checks each of them, and misses nothing.
    aws.create_function(FUNCTION)
    aws.lambda_.update_function_configuration(FunctionName=FUNCTION, Environment={"Variables": variables})
    _, checks = aws.run("doctor", "--function", FUNCTION, "--canary", LAMBDA_OTLP_ENDPOINT="")
    canaries = [check["text"].split(" accepted")[0] for check in checks if check["name"] == "canary"]
    assert canaries == ["traces:", "collector: metrics:", "grafana: logs:"], checks
    assert not [check for check in checks if check["name"] in ("signals", "rules", "secret") and check["verdict"] != "ok"]
    # Without the route, metrics and log records would go nowhere.
    aws.ssm.put_parameter(
        Name=recipe.STACK["Rules"], Value=on_this_machine(recipe.RULES).split("[[route]]")[0], Type="String", Overwrite=True
    )
    _, checks = aws.run("doctor", "--function", FUNCTION, "--canary", LAMBDA_OTLP_ENDPOINT="")
    [warning] = [check for check in checks if check["name"] == "signals"]
    assert warning["text"].startswith("metrics, logs: not sent from log groups that go to default"), warning
