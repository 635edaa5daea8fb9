"""Answers `sam deploy --guided` on a terminal as a user who presses Enter at every question with a default, until SAM has saved the
answers. Prints the questions and the saved file. Fails if a question comes twice, if SAM saves nothing, or if it changes samconfig.yaml.

Arguments: the program sam, the repository, the template in it, the URL of AWS.
"""

import os
import pty
import re
import select
import shutil
import sys
import tempfile
import time
from pathlib import Path

import boto3

ANSWERS = {"Parameter Endpoint": "https://o2.example.com/api/default", "Parameter ArtifactBucket": "artifacts"}
QUESTION = re.compile(r"(?:^|\n)\s*([^\n]*?)(?: \[([^\n]*)\])?: $")
SAVED = "Saved arguments to config file"
LONGEST_S = 120
SETTINGS = "samconfig.yaml"
REGION = "eu-central-1"
# The stack with SAM's bucket for code. SAM would create it with a change set, and moto loses the tags of such stacks.
MANAGED = """
Resources: {Bucket: {Type: AWS::S3::Bucket}}
Outputs: {SourceBucket: {Value: !Ref Bucket}}
"""


def main(sam, root, template, aws):
    cloudformation = boto3.client("cloudformation", endpoint_url=aws, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    tags = [{"Key": "ManagedStackSource", "Value": "AwsSamCli"}]
    cloudformation.create_stack(StackName="aws-sam-cli-managed-default", TemplateBody=MANAGED, Tags=tags)
    with tempfile.TemporaryDirectory(prefix="lambda-otlp-guided-") as folder:
        folder = Path(folder)
        for file in (template, SETTINGS):
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copy(Path(root) / file, folder / file)
        before = (folder / SETTINGS).read_bytes()
        for question in answer(sam, template, folder, aws):
            print(question)
        if (folder / SETTINGS).read_bytes() != before:
            sys.exit(f"SAM changed {SETTINGS}")
        # SAM looks for its settings beside the template.
        print((folder / template).with_name("samconfig.toml").read_text())


def answer(sam, template, folder, aws):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "AKIDTEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": aws,
            "SAM_CLI_TELEMETRY": "0",
        }
        os.execvpe(sam, [sam, "deploy", "--guided", "--template-file", template], environment)
    text, asked, deadline = "", [], time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if ready:
            try:
                text += os.read(terminal, 65536).decode(errors="replace").replace("\r", "")
            except OSError:
                break
            if SAVED in text:
                os.kill(pid, 9)
                return asked
            continue
        question = QUESTION.search(re.sub(r"\x1b\[[0-9;]*m", "", text))
        if question is None:
            continue
        name = question.group(1).strip()
        if name in asked:
            sys.exit(f"asked again: {name}")
        asked.append(name)
        os.write(terminal, (ANSWERS.get(name, "") + "\n").encode())
        text = ""
    sys.exit(f"SAM saved nothing after {len(asked)} questions, the last output is: {text[-500:]}")


main(*sys.argv[1:])
