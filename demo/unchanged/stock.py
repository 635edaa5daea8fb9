"""The demo's function without OpenTelemetry code: asks the warehouse for the stock of an item.

The layer's wrapper instruments it with the packages in requirements.txt. The event is `{"item": 24000}`.
"""

import os
import urllib.request


def handler(event, context):
    with urllib.request.urlopen(f"{os.environ['WAREHOUSE']}/stock/{event['item']}") as response:
        count = int(response.read())
    if count == 0:
        raise LookupError(f"nothing is left of item {event['item']}")
    return {"count": count}
