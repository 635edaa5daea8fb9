"""Prints the CloudFormation template, as JSON, that AWS makes of a SAM template: expand.py TEMPLATE"""

import json
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class NoManagedPolicies:
    """Names of managed policies are looked up in AWS; the template names none."""

    def load(self):
        return {}


with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
# What `sam package` puts there.
template["Globals"]["Function"]["CodeUri"] = "s3://artifacts/forwarder.zip"
for name, resource in template["Resources"].items():
    if resource["Type"] == "AWS::Serverless::LayerVersion":
        resource["Properties"]["ContentUri"] = f"s3://artifacts/{name}.zip"
json.dump(transform(template, {}, NoManagedPolicies()), sys.stdout)
