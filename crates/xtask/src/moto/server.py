"""Runs moto's server with Lambda functions that run elsewhere: server.py http://HOST:PORT

Prints its own address, and exits when stdin ends. Posts invocations to the given address, in the format of the Invoke API.
"""

import sys
import urllib.error
import urllib.request

import boto3
from moto.awslambda.models import LambdaFunction
from moto.logs.models import LogEvent
from moto.server import ThreadedMotoServer

ELSEWHERE = sys.argv[1]


def invoke(function, body, request_headers, response_headers):
    # Invocations by a subscription have no headers. CloudWatch Logs invokes asynchronously.
    kind = request_headers.get("x-amz-invocation-type", "RequestResponse") if request_headers else "Event"
    request = urllib.request.Request(
        f"{ELSEWHERE}/2015-03-31/functions/{function.function_name}/invocations",
        data=body.encode() if isinstance(body, str) else body,
        headers={"X-Amz-Invocation-Type": kind},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        if "X-Amz-Function-Error" in answer.headers:
            response_headers["x-amz-function-error"] = answer.headers["X-Amz-Function-Error"]
        return answer.read()


def with_aws_id(make):
    """Pads the ids of log events to 56 digits, as in AWS; moto's are small numbers."""

    def made(event, *arguments):
        make(event, *arguments)
        event.event_id = f"{event.event_id:056d}"

    return made


LambdaFunction.invoke = invoke
LogEvent.__init__ = with_aws_id(LogEvent.__init__)

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
# A function's role must exist.
iam = boto3.client("iam", endpoint_url=address, aws_access_key_id="x", aws_secret_access_key="x")
iam.create_role(RoleName="forwarder", AssumeRolePolicyDocument="{}")
print(address, flush=True)
sys.stdin.read()
