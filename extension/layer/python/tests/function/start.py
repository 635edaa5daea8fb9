"""Starts everything.py as Lambda's runtime does, with the layer, and invokes it. Prints each result, and whether the SDK is
loaded.

The arguments are the layer's folder, the folder that Lambda mounts, and the events.
"""

import json
import os
import sys
import time
from types import ModuleType, SimpleNamespace


class Hooks(ModuleType):
    """The module of AWS's runtime for functions with SnapStart."""

    def __init__(self, name):
        super().__init__(name)
        self.before = []
        self.after = []

    def register_before_snapshot(self, hook):
        self.before.append(hook)

    def register_after_restore(self, hook):
        self.after.append(hook)


def main(layer, opt, events):
    sys.path.insert(0, layer)
    import lambda_otlp_handler

    sys.path.remove(layer)
    lambda_otlp_handler.wait_for_the_handler(opt)
    hooks = sys.modules["snapshot_restore_py"] = Hooks("snapshot_restore_py")
    try:
        import everything
    except Exception as error:
        return print(f"cannot be imported: {error}")
    lambda_context = SimpleNamespace(
        function_name="shop",
        aws_request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:shop:alias",
        get_remaining_time_in_millis=lambda: 60000,
    )
    # The runtime gets the handler once.
    handler = everything.handler
    for hook in reversed(hooks.before):
        hook()
    if not events:
        # The restored environments export nothing in this case.
        os._exit(0)
    restored = time.time_ns()
    for hook in hooks.after:
        hook()
    meters = sys.modules["opentelemetry.metrics"].get_meter_provider()
    if hooks.after and hasattr(meters, "meters"):
        instruments = [each for meter in meters.meters.values() for each in meter.instruments.values()]
        print(f"intervals begin at the restore: {all(each.begun >= restored for each in instruments)}")
    for event in events:
        print(handler(event, lambda_context))
    print(f"the SDK is loaded: {any(name.endswith('opentelemetry.sdk.trace') for name in sys.modules)}")


main(*sys.argv[1:3], json.loads(sys.argv[3]))
