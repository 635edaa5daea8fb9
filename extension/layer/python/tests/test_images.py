"""Functions in container images are instrumented. An image needs no docker here: its command runs in a folder as AWS's
documentation lays it out.

Source: Lambda Developer Guide, "Deploy Python Lambda functions with container images", "Using a non-AWS base image".
"""

import shutil
import sys

import pytest
from local_lambda import CACHE, LAYER, run

APP = """
import os, urllib.request
def handler(event, context):
    return urllib.request.urlopen(os.environ["TARGET"]).status
"""
# Chooses between the local emulator and Lambda.
SCRIPT = """#!/bin/sh
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  exec /usr/local/bin/aws-lambda-rie python3 -m awslambdaric $@
else
  exec python3 -m awslambdaric $@
fi
"""
# Entry points and commands of images.
IMAGES = {
    "the script": "./entry_script.sh app.handler",
    "the script by a shell": "sh ./entry_script.sh app.handler",
    "the client": "python3 -m awslambdaric app.handler",
    "env": "env A=1 python3 -m awslambdaric app.handler",
    "options": "python3 -u -W ignore -m awslambdaric app.handler",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Returns the layer's folder, and the folder of AWS's runtime client."""
    # The first run installs the client and the packages.
    first = tmp_path_factory.mktemp("first")
    run(first, [{}], files={"app.py": "def handler(event, context): pass"})
    installed = CACHE.parent / "dev" / "python-{}-{}".format(*sys.version_info)
    opt = tmp_path_factory.mktemp("opt")
    shutil.copy(LAYER.parent / "lambda-otlp-handler", opt)
    shutil.copytree(LAYER, opt / "lambda-otlp/python", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for name in ("calls.json", "events.json"):
        shutil.copy(LAYER.parent / name, opt / "lambda-otlp")
    (opt / "lambda-otlp/python-packages").symlink_to(f"{installed}-layer/lambda-otlp/python-packages")
    return opt, f"{installed}-awslambdaric"


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_is_instrumented(tmp_path, target, image, kind):
    opt, client = image
    (tmp_path / "entry_script.sh").write_text(SCRIPT)
    (tmp_path / "entry_script.sh").chmod(0o755)
    # Lambda sets no variable with the handler or the runtime in an image.
    start = f"unset AWS_EXECUTION_ENV _HANDLER; export LAMBDA_TASK_ROOT=/var/task; exec {opt}/lambda-otlp-handler {IMAGES[kind]}"
    env = {"TARGET": target.url, "PYTHONPATH": client}
    ran = run(tmp_path, [{}, {}], files={"app.py": APP}, wrapper=False, env=env, command=["sh", "-c", start])
    assert ran.results == [200, 200], ran.text
    assert [span["scope"] for span in ran.kind("SERVER")] == ["lambda-otlp/handler"] * 2, ran.text
    assert len(ran.kind("CLIENT")) == 2, ran.text
    assert "lambda-otlp-handler:" not in ran.text
