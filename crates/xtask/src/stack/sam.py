"""Expands templates of SAM."""

import json

from samtranslator.translator.transform import transform


class NoManagedPolicies:
    """Prevents a request to AWS for names of managed policies, which the template does not use."""

    def load(self):
        return {}


def expanded(template):
    """The CloudFormation template for a template of SAM."""
    return transform(json.loads(json.dumps(template)), {}, NoManagedPolicies())


def without_sam(template):
    """A CloudFormation template with stable logical ids. SAM gives each version of a layer a new one; the previous version is retained
    anyway."""
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
