"""Lambda's API where moto falls short of it: revisions, updates in progress, pages, throttling, quotas, layer versions by ARN.

Sources: Lambda API Reference, "UpdateFunctionConfiguration", "ListFunctions", "GetLayerVersionByArn"; botocore's model of Lambda.
"""

import json
import uuid

from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

PAGE = 50
# The number of reads until an update has ended.
READS = 1


class LambdaError(JsonRESTError):
    def __init__(self, status, error_type, message):
        self.code = status
        super().__init__(error_type, message)


class LambdaApi:
    """The state that moto lacks, by function name, and faults that a test asks for."""

    def reset(self, is_strict=False):
        # Other modules change functions without revisions.
        self.is_strict = is_strict
        self.revisions = {}
        self.in_progress = {}
        self.calls = []
        # Every nth request is throttled; the next requests for these functions find a change of somebody else.
        self.throttled_of = None
        self.throttled = 0
        self.raced = set()
        self.races = 0
        # Called before and after an update.
        self.on_check = self.on_update = None

    def revise(self, name):
        self.revisions[name] = str(uuid.uuid4())

    def called(self, operation):
        self.calls.append(operation)
        if self.throttled_of and len(self.calls) % self.throttled_of == 0:
            self.throttled += 1
            raise LambdaError(429, "TooManyRequestsException", "Rate exceeded")

    def read(self, name, configuration):
        if name not in self.revisions:
            self.revise(name)
        configuration["RevisionId"] = self.revisions[name]
        left = self.in_progress.get(name, 0)
        if left:
            configuration["LastUpdateStatus"] = "InProgress"
            self.in_progress[name] = left - 1
            if left == 1:
                # The revision changes once more when an update ends.
                self.revise(name)
        return configuration

    def check_update(self, name, body):
        if not self.is_strict:
            return
        if self.in_progress.get(name):
            raise LambdaError(409, "ResourceConflictException", "An update is in progress for resource")
        if name in self.raced:
            # Somebody else is faster.
            self.raced.remove(name)
            self.races += 1
            self.revise(name)
        if body.get("RevisionId") != self.revisions.get(name):
            raise LambdaError(
                412, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id"
            )
        if self.on_check:
            self.on_check(body)
        variables = json.dumps(body.get("Environment", {}).get("Variables", {}), separators=(",", ":"))
        if len(variables) > 4096:
            message = f"the environment variables you have provided exceeded the 4KB limit. String measured: {variables}"
            raise LambdaError(400, "InvalidParameterValueException", message)


api = LambdaApi()
api.reset()


def name_of(response, index):
    return response.path.rstrip("/").split("/")[index]


def wrapped(operation, make):
    original = getattr(LambdaResponse, operation)

    def answered(response):
        api.called(operation)
        return make(original, response)

    setattr(LambdaResponse, operation, answered)


def get_function(original, response):
    answer = json.loads(original(response))
    name = answer["Configuration"]["FunctionName"]
    answer["Configuration"] = api.read(name, answer["Configuration"])
    return json.dumps(answer)


def list_functions(original, response):
    functions = json.loads(original(response))["Functions"]
    # A list has no state of updates.
    for function in functions:
        function.pop("LastUpdateStatus", None)
    start = int(response.querystring.get("Marker", ["0"])[0])
    answer = {"Functions": functions[start : start + PAGE]}
    if start + PAGE < len(functions):
        answer["NextMarker"] = str(start + PAGE)
    return json.dumps(answer)


def update_function_configuration(original, response):
    name = name_of(response, -2)
    api.check_update(name, response.json_body)
    answer = original(response)
    api.revise(name)
    api.in_progress[name] = READS if api.is_strict else 0
    if api.on_update:
        api.on_update(name)
    return answer


def get_layer_version_by_arn(response):
    arn = response.querystring["Arn"][0]
    return json.dumps(response.backend.layers_versions_by_arn(arn).get_layer_version())


def with_snap_start(make):
    def made(function, account_id, spec, *arguments, **named):
        function.applies_snap_start = spec.get("SnapStart", {}).get("ApplyOn", "None")
        make(function, account_id, spec, *arguments, **named)

    return made


def with_own_settings(get):
    def got(function, *arguments, **named):
        configuration = get(function, *arguments, **named)
        configuration["SnapStart"]["ApplyOn"] = function.applies_snap_start
        return configuration

    return got


for operation, make in [
    ("get_function", get_function),
    ("list_functions", list_functions),
    ("update_function_configuration", update_function_configuration),
    ("list_aliases", lambda original, response: original(response)),
    ("tag_resource", lambda original, response: original(response)),
    ("untag_resource", lambda original, response: original(response)),
]:
    wrapped(operation, make)
LambdaResponse.get_layer_version_by_arn = get_layer_version_by_arn
LambdaFunction.__init__ = with_snap_start(LambdaFunction.__init__)
LambdaFunction.get_configuration = with_own_settings(LambdaFunction.get_configuration)
