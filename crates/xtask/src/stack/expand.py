"""Prints the CloudFormation template of a SAM template as JSON: expand.py TEMPLATE CASES

CASES is a list of parameters and pseudo parameters, as {"LogGroups": "*", "AWS::Region": "eu-west-1"}. The output has the CloudFormation
`template`, and in `folded` the template of each case, with its values and the other parameters' defaults.
"""

import json
import sys

from fold import fold, values
from sam import expanded
from samcli.yamlhelper import yaml_parse

with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
# `sam package` replaces folders by these objects.
for properties in [template["Globals"]["Function"], *(resource["Properties"] for resource in template["Resources"].values())]:
    for name in ("CodeUri", "ContentUri", "Location"):
        if isinstance(properties.get(name), str):
            properties[name] = "https://artifacts.s3.amazonaws.com/template.yaml" if name == "Location" else "s3://artifacts/code.zip"
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Lambda::Function" and isinstance(resource["Properties"]["Code"], str):
        resource["Properties"]["Code"] = {"S3Bucket": "artifacts", "S3Key": "code.zip"}
plain = expanded(template)
folded = [fold(plain, values(plain, case)) for case in json.loads(sys.argv[2])]
json.dump({"template": plain, "folded": folded}, sys.stdout)
