"""Answers `sam deploy --guided` on a terminal as a user does who presses Enter wherever a default stands, up to the point where AWS is
needed. Prints the questions; fails where a question comes again, or nothing more is asked and AWS is not reached.

Arguments: the program sam, the template. Standard input is not used.
"""

import os
import pty
import re
import select
import sys
import tempfile
import time

ANSWERS = {"Parameter Endpoint": "https://o2.example.com/api/default", "Parameter ArtifactBucket": "artifacts"}
QUESTION = re.compile(r"(?:^|\n)\s*([^\n]*?)(?: \[([^\n]*)\])?: $")
REACHED = "Looking for resources needed for deployment"
LONGEST_S = 120


def main(sam, template):
    with tempfile.TemporaryDirectory(prefix="lambda-otlp-guided-") as folder:
        answer(sam, template, folder)


def answer(sam, template, folder):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "AKIDTEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
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
            if REACHED in text:
                print("\n".join(asked))
                os.kill(pid, 9)
                return
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
    sys.exit(f"AWS was not reached after {len(asked)} questions, the last output is: {text[-500:]}")


main(*sys.argv[1:])
