"""What SAM makes of a template, and AWS with it."""

import json

from samtranslator.translator.transform import transform


class NoManagedPolicies:
    """Names of managed policies are looked up in AWS; the template names none."""

    def load(self):
        return {}


def expanded(template):
    """The CloudFormation template that AWS makes of one for SAM."""
    return transform(json.loads(json.dumps(template)), {}, NoManagedPolicies())


def without_sam(template):
    """One to deploy as it is. A layer's logical id, which SAM makes anew for each version, is its name: the version before stays all the
    same."""
    plain = expanded(template)
    written = json.dumps(plain)
    for name, resource in plain["Resources"].items():
        if resource["Type"] == "AWS::Lambda::LayerVersion":
            layer = name[:-10]
            assert layer in template["Resources"], name
            written = written.replace(f'"{name}"', f'"{layer}"').replace("${" + name + "}", "${" + layer + "}")
    plain = json.loads(written)
    for resource in plain["Resources"].values():
        if resource["Type"] == "AWS::Lambda::LayerVersion":
            resource["UpdateReplacePolicy"] = "Retain"
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"].pop("Tags", None)
            resource.pop("Metadata", None)
    return plain
