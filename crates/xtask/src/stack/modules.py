"""Generates the variables and outputs of the Terraform module and the properties of the CDK construct from the template. Each setting is a
parameter of the template, with its type, default and bounds, and its name in the case of the tool.
"""

import json
import re

BOOLEAN = ["true", "false"]
# Settings that may contain credentials. `terraform plan` hides them.
SENSITIVE = ("Headers", "HttpsProxy")
# Terraform's regular expressions have no lookaheads, so CloudFormation alone checks them. A lookahead may contain groups.
LOOKAHEAD = re.compile(r"\(\?!(?:[^()]|\([^()]*\))*\)")
# A parameter's name in a sentence. Names of one word do not match, because they may be ordinary words.
NAMED = re.compile(r"\b[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+\b")


def snake(name):
    """Turns LayerArm64Arn into layer_arm64_arn."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel(name):
    return name[0].lower() + name[1:]


def kind(parameter):
    """The type of a parameter: bool, number, list or text."""
    if parameter["Type"] == "CommaDelimitedList":
        return "list"
    if parameter["Type"] == "Number":
        return "number"
    return "bool" if parameter.get("AllowedValues") == BOOLEAN else "text"


def default(parameter):
    value = parameter["Default"]
    made = {"list": lambda: [item for item in value.split(",") if item], "bool": lambda: value == "true"}
    return made.get(kind(parameter), lambda: value)()


def sentence(text, parameters, spell):
    """A description, with the names of other settings in the case of the tool."""
    return NAMED.sub(lambda match: spell(match[0]) if match[0] in parameters else match[0], text)


def in_groups(template):
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        yield group["Label"]["default"], {name: template["Parameters"][name] for name in group["Parameters"]}


# ---- Terraform ----


def hcl(value):
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def terraform_variables(template, head):
    lines = [head]
    for label, parameters in in_groups(template):
        lines.append(f"# ---- {label} ----\n")
        for name, parameter in parameters.items():
            lines += [*terraform_variable(template, name, parameter), ""]
    return "\n".join(lines).rstrip() + "\n"


def terraform_variable(template, name, parameter):
    types = {"list": "list(string)", "text": "string"}
    lines = {"description": sentence(parameter["Description"], template["Parameters"], snake)}
    settings = [("description", hcl(lines["description"])), ("type", types.get(kind(parameter), kind(parameter)))]
    if "Default" in parameter:
        settings.append(("default", hcl(default(parameter))))
    settings.append(("nullable", "false"))
    if name in SENSITIVE:
        settings.append(("sensitive", "true"))
    width = max(len(key) for key, _ in settings)
    text = [f'variable "{snake(name)}" {{', *(f"  {key.ljust(width)} = {value}" for key, value in settings)]
    for condition, message in conditions(snake(name), parameter):
        text += ["", "  validation {", f"    condition     = {condition}", f"    error_message = {hcl(message)}", "  }"]
    return [*text, "}"]


def conditions(name, parameter):
    """Validations that Terraform runs before the deployment."""
    variable = f"var.{name}"
    if "AllowedValues" in parameter and kind(parameter) != "bool":
        allowed = parameter["AllowedValues"]
        yield f"contains({hcl(allowed)}, {variable})", f"One of {', '.join(map(str, allowed))}."
    if "AllowedPattern" in parameter:
        pattern = LOOKAHEAD.sub("", parameter["AllowedPattern"])
        re.compile(pattern)  # `can` is false for a pattern that does not compile, and Terraform would refuse every value.
        message = parameter.get("ConstraintDescription", f"It does not match {parameter['AllowedPattern']}.")
        yield f"can(regex({hcl(pattern)}, {variable}))", message
    for key, compares in (("MinValue", ">="), ("MaxValue", "<=")):
        if key in parameter:
            yield f"{variable} {compares} {parameter[key]}", f"{'At least' if key == 'MinValue' else 'At most'} {parameter[key]}."


def terraform_parameters(template, head):
    """All parameters of CloudFormation as texts."""
    made = {"list": 'join(",", var.{})', "text": "var.{}"}
    width = max(map(len, template["Parameters"]))
    lines = [
        f"    {name.ljust(width)} = {made.get(kind(parameter), 'tostring(var.{})').format(snake(name))}"
        for name, parameter in template["Parameters"].items()
    ]
    return "\n".join([head, "locals {", "  parameters = {", *lines, "  }", "}"]) + "\n"


def terraform_outputs(template, head):
    lines = [head]
    for name, output in template["Outputs"].items():
        found = f"aws_cloudformation_stack.lambda_otlp.outputs"
        value = f'lookup({found}, "{name}", null)' if "Condition" in output else f'{found}["{name}"]'
        lines += [f'output "{snake(name)}" {{', f"  description = {hcl(output['Description'])}", f"  value       = {value}", "}", ""]
    return "\n".join(lines).rstrip() + "\n"


# ---- CDK ----


def cdk_settings(template, head, without):
    """The settings as an interface of TypeScript, their patterns, and the template's outputs."""
    parameters = {name: parameter for name, parameter in template["Parameters"].items() if name not in without}
    lines = [head, "/** Every setting of the stack. An omitted setting has the template's default. */", "export interface Settings {"]
    for label, group in in_groups(template):
        group = {name: parameter for name, parameter in group.items() if name in parameters}
        if group:
            lines += [f"  // ---- {label} ----", ""]
        for name, parameter in group.items():
            optional = "?" if "Default" in parameter else ""
            lines += [*cdk_comment(template, parameter), f"  readonly {camel(name)}{optional}: {cdk_type(parameter)};", ""]
    lines[-1] = "}"
    lines += ["", "/** Pattern and error message of each restricted setting. */"]
    lines += ["export const PATTERNS: { readonly [setting: string]: readonly [RegExp, string] } = {"]
    for name, parameter in parameters.items():
        if "AllowedPattern" in parameter:
            wrong = parameter.get("ConstraintDescription", f"It does not match {parameter['AllowedPattern']}.")
            lines.append(f"  {camel(name)}: [new RegExp({json.dumps(parameter['AllowedPattern'])}), {json.dumps(wrong)}],")
    lines += ["};", "", "/** The template's outputs by their names in camel case. */", "export const OUTPUTS = {"]
    for name, output in template["Outputs"].items():
        lines += [f"  /** {output['Description']} */", f"  {camel(name)}: {json.dumps(name)},"]
    return "\n".join([*lines, "} as const;"]) + "\n"


def cdk_type(parameter):
    types = {"list": "readonly string[]", "bool": "boolean", "number": "number", "text": "string"}
    if "AllowedValues" in parameter and kind(parameter) != "bool":
        return " | ".join(json.dumps(value) for value in parameter["AllowedValues"])
    return types[kind(parameter)]


def cdk_comment(template, parameter):
    text = sentence(parameter["Description"], template["Parameters"], camel).replace("*/", "*\\/")
    if "Default" not in parameter:
        return [f"  /** {text} */"]
    bounds = [f"{word} {parameter[key]}" for word, key in (("at least", "MinValue"), ("at most", "MaxValue")) if key in parameter]
    text += f" A number, {', '.join(bounds)}." if bounds else ""
    return ["  /**", f"   * {text}", f"   * @default {json.dumps(default(parameter))}", "   */"]
