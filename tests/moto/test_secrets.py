"""Credentials of the backend in Secrets Manager and in the parameter store."""

import json

import pytest
from aws import FORWARDER, functions
from batches import ROOT

BASIC = "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz"
OBJECT = json.dumps({"o2": BASIC, "other": "x"})
USER = json.dumps({"username": "root@example.com", "password": "pass"})


def secret(aws, name, value):
    return aws.secretsmanager.create_secret(Name=name, SecretString=value)["ARN"]


def parameter(aws, name, value):
    aws.ssm.put_parameter(Name=f"/o2/{name}", Value=value, Type="SecureString")
    return f"ssm:/o2/{name}"


@pytest.mark.parametrize(
    ("name", "create", "value", "key"),
    [
        ("text", secret, BASIC, ""),
        ("object", secret, OBJECT, "#o2"),
        ("user", secret, USER, ""),
        ("text", parameter, BASIC, ""),
        ("object", parameter, OBJECT, "#o2"),
    ],
)
def test_the_forwarder_reads_its_credentials(aws, backend, name, create, value, key):
    variables = {
        "LAMBDA_OTLP_ENDPOINT": backend.base,
        "LAMBDA_OTLP_SECRET": create(aws, name, value) + key,
        "LAMBDA_OTLP_INGEST_WINDOW": "1000000h",
        "AWS_ENDPOINT_URL": aws.endpoint,
    }
    forwarder = functions.start(f"forwarder-{create.__name__}-{name}", FORWARDER, variables)
    forwarder.invoke((ROOT / "tests/fixtures/events/awslogs-otlp-only.json").read_bytes())
    assert forwarder.failures == []
    assert {request["authorization"] for request in backend.requests} == {BASIC}
