"""Reproduces the fast start of AWS's layer, since its wrapper is in no package."""

from amazon.opentelemetry.distro.opentelemetry_lite_sdk import configure_lite_mode
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor

configure_lite_mode()
AwsLambdaInstrumentor().instrument(skip_dep_check=True)
