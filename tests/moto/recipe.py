"""The recipe of docs/backends.md for several backends from one stack: its rules and commands."""

import re
import shlex

from aws import ROOT

SECTION = (ROOT / "docs/backends.md").read_text().split("### Several backends from one stack\n")[1].split("\n### ")[0]


def block(language):
    return re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[1]


RULES = block("toml")
COMMANDS = [shlex.split(line) for line in block("sh").replace("\\\n", " ").splitlines()]


def flag(command, name):
    return command[command.index(name) + 1]


# Type and value of each parameter of Systems Manager. The shell reads the rules from a file.
PARAMETERS = {
    flag(command, "--name"): (flag(command, "--type"), flag(command, "--value").replace("$(cat rules.toml)", RULES))
    for command in COMMANDS
    if "put-parameter" in command
}
# The stack's parameters.
STACK = dict(
    word.split("=", 1)
    for command in COMMANDS
    if "--parameter-overrides" in command
    for word in command[command.index("--parameter-overrides") + 1 :]
)


def put_parameters(aws, change=lambda text: text):
    for name, (kind, value) in PARAMETERS.items():
        aws.ssm.put_parameter(Name=name, Type=kind, Value=change(value), Overwrite=True)
