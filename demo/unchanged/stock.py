"""The demo's function without OpenTelemetry code: asks the warehouse for the stock of an item.

The layer's wrapper instruments it with OpenTelemetry's packages. Powertools' Tracer sends its subsegment to the
extension, in the place of X-Ray's daemon. The event is `{"item": 24000}`.
"""

import os
import urllib.request

from aws_lambda_powertools import Tracer

# Without X-Ray's patches, because the layer's packages trace the request.
tracer = Tracer(auto_patch=False)


@tracer.capture_method
def count_of(item):
    tracer.put_annotation("item", item)
    with urllib.request.urlopen(f"{os.environ['WAREHOUSE']}/stock/{item}") as response:
        return int(response.read())


def handler(event, context):
    count = count_of(event["item"])
    if count == 0:
        raise LookupError(f"nothing is left of item {event['item']}")
    return {"count": count}
