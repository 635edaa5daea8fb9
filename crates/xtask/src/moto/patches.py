"""Corrects differences of moto from CloudFormation, for stacks of functions without code."""

from moto import settings
from moto.awslambda.models import LambdaFunction
from moto.cloudformation import parsing
from moto.cloudformation.custom_model import CustomModel
from moto.cloudformation.models import Stack

moto_clean_json = parsing.clean_json
moto_parse_and_update_resource = parsing.parse_and_update_resource


def clean_json(*arguments):
    """CloudFormation drops AWS::NoValue from lists; moto leaves a null there."""
    cleaned = moto_clean_json(*arguments)
    return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned


def parse_and_update_resource(logical_id, resource_json, resources_map, **arguments):
    """CloudFormation skips a resource whose condition is false. moto evaluates its properties, which may refer to absent resources."""
    condition = resource_json.get("Condition")
    if condition and not resources_map.lazy_condition_map[condition]:
        return None
    return moto_parse_and_update_resource(logical_id, resource_json, resources_map, **arguments)


def parameter_list(stack):
    """CloudFormation returns a list as the given text; moto returns a list."""
    as_text = lambda value: ",".join(value) if isinstance(value, list) else value  # noqa: E731
    return [{**parameter, "ParameterValue": as_text(parameter["ParameterValue"])} for parameter in moto_parameter_list(stack)]


parsing.clean_json = clean_json
parsing.parse_and_update_resource = parse_and_update_resource
moto_parameter_list = Stack.parameter_list.fget
Stack.parameter_list = property(parameter_list)
# Custom resources count as created without a response.
LambdaFunction.invoke = lambda *arguments: None
CustomModel.is_created = lambda resource: True
# Otherwise moto looks for Docker, and prints that it is missing.
settings.moto_server_host = lambda: "http://localhost"
