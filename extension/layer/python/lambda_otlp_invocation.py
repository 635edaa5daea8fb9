"""The parent and the attributes of an invocation that do not come from its event.

Source: OpenTelemetry's semantic conventions 1.44, "AWS Lambda"; Lambda API Reference, "Invoke"; awslambdaric 4.2,
`LambdaContext`.
"""

import os

from lambda_otlp_load import layer_module
from opentelemetry import trace


class Headers(dict):
    """Headers with lower-case keys and a case-insensitive `get`. X-Ray's propagator asks for `X-Amzn-Trace-Id`."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)


def parent_of(carrier, lambda_context, reads_environment):
    """Returns the context with the invocation's parent, or `None`.

    The event's headers precede the caller's client context, in which Lambda's own context comes last. If `reads_environment` is
    `True`, a propagator may find a parent in the environment, which comes after all of these.
    """
    carriers = [each for each in (carrier, *carriers_of_client(lambda_context)) if each]
    if not carriers and not reads_environment:
        return None
    from opentelemetry.propagate import get_global_textmap

    extract = get_global_textmap().extract
    of_environment = extract(Headers()) if reads_environment else None
    ambient = of_environment and span_context(of_environment)
    found = [extract(Headers(each)) for each in carriers]
    own = [each for each in found if span_context(each).is_valid and span_context(each) != ambient]
    return (own or found or [of_environment])[0]


def carriers_of_client(lambda_context):
    headers_at = layer_module("lambda_otlp_events").headers_at
    client = getattr(lambda_context, "client_context", None)
    w3c = getattr(lambda_context, "w3c", None)
    found = {"custom": getattr(client, "custom", None), "w3c": w3c() if callable(w3c) else getattr(client, "w3c", None)}
    return headers_at(found, ["/custom"]), headers_at(found, ["/w3c"])


def span_context(context):
    return trace.get_current_span(context).get_span_context()


def attributes_of(lambda_context, parent):
    """Returns the attributes of an invocation whose span has this parent."""
    found = {"faas.invocation_id": lambda_context.aws_request_id, **of_function(lambda_context.invoked_function_arn)}
    if tenant := getattr(lambda_context, "tenant_id", None):
        found["aws.lambda.tenant_id"] = tenant
    of_xray = layer_module("lambda_otlp_events").xray(os.environ.get("_X_AMZN_TRACE_ID", "")).parent_id
    if of_xray is not None and of_xray != parent.span_id:
        found["aws.xray.parent_id"] = trace.format_span_id(of_xray)
    return found


def of_function(arn):
    # arn:{partition}:lambda:{region}:{account}:function:{name}[:{version or alias}]
    parts = arn.split(":") if isinstance(arn, str) else []
    if len(parts) < 6 or parts[0] != "arn":
        return {}
    account = parts[4]
    # An alias may later point to another version, so the running version replaces it.
    if len(parts) > 7:
        parts[7] = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION") or parts[7]
    found = {"aws.lambda.invoked_arn": arn, "cloud.resource_id": ":".join(parts)}
    if len(account) == 12 and account.isascii() and account.isdigit():
        found["cloud.account.id"] = account
    return found
