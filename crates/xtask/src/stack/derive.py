"""Generates files from deploy/stack/template.yaml: derive.py ROOT write | check

`check` fails if a file differs from its generated text, and prints the names of such files.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

import yaml
from fold import defaults, fold
from modules import cdk_settings, terraform_outputs, terraform_parameters, terraform_variables
from sam import without_sam
from samcli.yamlhelper import yaml_parse

SOURCE = "deploy/stack/template.yaml"
SETTINGS = "deploy/stack/settings.example.yaml"
DONE_BY = "Generated from deploy/stack/template.yaml by `cargo xtask stack --write`"

# The zips of `cargo xtask dist`, by the resource that has one.
ZIPS = {
    "LayerArm64": "lambda-otlp-layer-arm64.zip",
    "LayerX8664": "lambda-otlp-layer-x86_64.zip",
}
FUNCTIONS = "lambda-otlp-forwarder-${Architecture}.zip"
SUBSCRIBER = "lambda-otlp-subscriber-${Architecture}.zip"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
ARTIFACTS = {
    "ArtifactBucket": {
        "Type": "String",
        "Description": "The bucket that contains the zips, in the region of the stack.",
        "AllowedPattern": "^[a-z0-9.\\-]{3,63}$",
        "ConstraintDescription": "The name of a bucket.",
    },
    "ArtifactPrefix": {
        "Type": "String",
        "Default": "",
        "Description": "Prefix of the zips' names in the bucket, as in lambda-otlp/2026-11-21/. Use a new prefix for each version, because CloudFormation compares names and not contents.",
        "AllowedPattern": "^$|^.+/$",
        "ConstraintDescription": "A prefix that ends with /, or nothing.",
    },
}
LANGUAGES = {
    "PythonLayer": {
        "Type": "String",
        "Default": "none",
        "AllowedValues": ["none", *PYTHONS],
        "Description": "The version of Python to publish a layer of OpenTelemetry's packages for. Set it if your functions do not package them.",
    },
    "NodeLayer": {
        "Type": "String",
        "Default": "false",
        "AllowedValues": ["true", "false"],
        "Description": "Set true to publish a layer of OpenTelemetry's packages for Node functions that do not package them.",
    },
}


def main(root, mode):
    root = Path(root)
    stack = yaml_parse((root / SOURCE).read_text(encoding="utf-8"))
    made = derived(stack)
    differing = [name for name, text in made.items() if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text]
    if mode == "write":
        for name in differing:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(made[name], encoding="utf-8")
            print(f"wrote {name}")
    elif differing:
        sys.exit(f"{', '.join(differing)}: differs from the text generated from {SOURCE}; run `cargo xtask stack --write`")
    else:
        print(f"{', '.join(made)}")


def derived(stack):
    asked = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"][0]["Parameters"]
    full = with_zips(stack)
    plain = without_sam(full)
    head = f"# {DONE_BY}.\n"
    questions = "It has the usual settings. deploy/stack/template.yaml has all of them."
    return {
        "template.yaml": text(built_in(short(stack, asked), "deploy/stack"), f"# {DONE_BY}.\n# {questions}\n"),
        "deploy/template-dist.yaml": text(
            short(full, [*ARTIFACTS, *asked]), f"# {DONE_BY}.\n# It takes the code from zips that `cargo xtask dist` made, in a bucket. {questions}\n"
        ),
        "deploy/terraform/cloudformation.json": in_lines(plain),
        SETTINGS: settings(stack, asked),
        "deploy/terraform/variables.tf": terraform_variables(plain, head),
        "deploy/terraform/parameters.tf": terraform_parameters(plain, head),
        "deploy/terraform/outputs.tf": terraform_outputs(plain, head),
        "deploy/cdk/lib/settings.ts": cdk_settings(plain, head.replace("#", "//"), ARTIFACTS),
    }


def short(stack, asked):
    """The template with few parameters and without empty variables."""
    template = fold(stack, defaults(stack, asked))
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    for name in [name for name, value in variables.items() if value == ""]:
        del variables[name]
    return template


def built_in(template, folder):
    """The template with another path of the sources."""
    template["Globals"]["Function"]["CodeUri"] = folder
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = folder
        elif resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = folder
    return template


def with_zips(stack):
    """The stack with code from a bucket, and with the layers that `sam build` does not make."""
    template = json.loads(json.dumps(stack))
    template["Parameters"] = {**ARTIFACTS, **template["Parameters"], **LANGUAGES}
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.insert(0, {"Label": {"default": "Location of the zips"}, "Parameters": list(ARTIFACTS)})
    groups.append({"Label": {"default": "Layers of OpenTelemetry's packages"}, "Parameters": list(LANGUAGES)})
    for name in list(template["Resources"]):
        resource = template["Resources"][name]
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = zip_file(FUNCTIONS)
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = zip_file(ZIPS[name])
        elif resource["Type"] == "AWS::Lambda::Function":
            code = zip_file(SUBSCRIBER)
            resource["Properties"]["Code"] = {"S3Bucket": code["Bucket"], "S3Key": code["Key"]}
        else:
            continue
        del resource["Metadata"]
    del template["Globals"]["Function"]["CodeUri"]
    for version in PYTHONS:
        suffix = "Python" + version.replace(".", "")
        template["Conditions"][f"Has{suffix}"] = {"Fn::Equals": [{"Ref": "PythonLayer"}, version]}
        add_layer(template, suffix, f"lambda-otlp-python{version}-layer.zip", f"python{version}")
    template["Conditions"]["HasNode"] = {"Fn::Equals": [{"Ref": "NodeLayer"}, "true"]}
    add_layer(template, "Node", "lambda-otlp-node-layer.zip", None)
    return template


def add_layer(template, suffix, name, runtime):
    language = "Node" if runtime is None else "Python " + runtime.removeprefix("python")
    template["Resources"][f"Layer{suffix}"] = {
        "Type": "AWS::Serverless::LayerVersion",
        "Condition": f"Has{suffix}",
        "Properties": {
            "LayerName": {"Fn::Sub": "${AWS::StackName}-" + (runtime or "node").replace(".", "")},
            "Description": f"OpenTelemetry's packages for functions in {language}, to use with the layer of lambda-otlp",
            "ContentUri": zip_file(name),
            **({"CompatibleRuntimes": [runtime]} if runtime else {}),
            "LicenseInfo": "Apache-2.0",
            "RetentionPolicy": "Retain",
        },
    }
    template["Outputs"][f"Layer{suffix}Arn"] = {
        "Condition": f"Has{suffix}",
        "Description": f"The layer of OpenTelemetry's packages for functions in {language}, to add to the layer of their architecture.",
        "Value": {"Ref": f"Layer{suffix}"},
    }


def zip_file(name):
    return {"Bucket": {"Ref": "ArtifactBucket"}, "Key": {"Fn::Sub": "${ArtifactPrefix}" + name}}


def settings(stack, asked):
    """A file for SAM with every parameter and its default."""
    lines = [
        f"# {DONE_BY}.",
        "# All settings of the stack. Copy this file to settings.yaml beside the README, which git ignores, and remove the # before each",
        "# setting that you change. `sam deploy --parameter-overrides file://settings.yaml` reads it.",
    ]
    for group in stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        lines += ["", f"# ---- {group['Label']['default']} ----"]
        for name in group["Parameters"]:
            parameter = stack["Parameters"][name]
            lines += ["", *(f"# {line}" for line in textwrap.wrap(parameter["Description"], 118, break_long_words=False))]
            if "AllowedValues" in parameter:
                lines.append(f"# One of {', '.join(map(str, parameter['AllowedValues']))}.")
            value = parameter.get("Default")
            example = "https://o2.example.com/api/default"
            lines.append(f"{name}: {example}" if value is None else f"# {name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def in_lines(template):
    """The template as JSON with a line for each parameter, condition, resource and output."""
    metadata = {"Generated": DONE_BY, **template["Metadata"]}
    template = {"Metadata": metadata, **{part: value for part, value in template.items() if part != "Metadata"}}
    write = lambda value: json.dumps(value, ensure_ascii=False)
    parts = []
    for part, value in template.items():
        if isinstance(value, dict):
            value = "{\n" + ",\n".join(f"  {write(name)}: {write(one)}" for name, one in value.items()) + "\n}"
        else:
            value = write(value)
        parts.append(f"{write(part)}: {value}")
    return "{" + ",\n".join(parts) + "}\n"


class Dumper(yaml.SafeDumper):
    """Writes intrinsic functions by their short names, and no YAML references."""

    def ignore_aliases(self, data):
        return True

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def represent_mapping(dumper, data):
    if len(data) == 1:
        (name, value), = data.items()
        tag = "!" + name.removeprefix("Fn::")
        if name in ("Ref", "Condition") and isinstance(value, str) or name.startswith("Fn::"):
            if name == "Fn::GetAtt":
                value = ".".join(value)
            if isinstance(value, str):
                return dumper.represent_scalar(tag, value)
            if isinstance(value, list):
                is_short = len(json.dumps(value)) < 100 and not any(isinstance(item, dict) and len(item) > 1 for item in value)
                return dumper.represent_sequence(tag, value, flow_style=is_short)
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items())


def represent_list(dumper, data):
    is_short = len(json.dumps(data)) < 100 and not any(isinstance(item, (dict, list)) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=is_short)


Dumper.add_representer(dict, represent_mapping)
Dumper.add_representer(list, represent_list)


def text(template, head):
    # The copy has no shared objects, which YAML would write as references.
    dumped = yaml.dump(json.loads(json.dumps(template)), Dumper=Dumper, sort_keys=False, width=200, allow_unicode=True)
    return head + re.sub(r"(![A-Z]\w+) '([A-Z][\w:.]*)'", r"\1 \2", dumped)


main(*sys.argv[1:])
