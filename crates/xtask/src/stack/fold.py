"""Replaces known values in a CloudFormation template: evaluates references, functions and conditions that depend only on them, and removes
excluded resources and properties. Unknown values remain.

Source: CloudFormation User Guide, "Intrinsic function reference".
"""

import json
import re

NO_VALUE = {"Ref": "AWS::NoValue"}
ABSENT = object()
VARIABLE = re.compile(r"\$\{([^!}]+)\}")


def fold(template, known):
    """Returns the template with the values of `known`: parameters, as lists if they are lists, and pseudo parameters such as AWS::Region."""
    return _Fold(template, known).template()


def defaults(template, asked=()):
    """The defaults of all parameters that are not in `asked`."""
    return {name: _typed(parameter, parameter["Default"]) for name, parameter in template["Parameters"].items() if name not in asked}


def values(template, case):
    """The values of all parameters in a case, which may include pseudo parameters."""
    given = {name: _typed(template["Parameters"][name], value) if name in template["Parameters"] else value for name, value in case.items()}
    return {**defaults(template, [name for name, parameter in template["Parameters"].items() if "Default" not in parameter]), **given}


def _typed(parameter, value):
    if parameter["Type"] == "CommaDelimitedList":
        # CloudFormation makes an empty value a list with one empty item.
        return [item.strip() for item in value.split(",")]
    return value


def references(node):
    """The names in all `Ref`, `Fn::GetAtt` and `Fn::Sub`, and in all `Fn::If` and `Condition`."""
    names, conditions = set(), set()
    if isinstance(node, list):
        parts = node
    elif isinstance(node, dict):
        parts = node.values()
        if isinstance(node.get("Ref"), str):
            names.add(node["Ref"])
        if "Fn::GetAtt" in node:
            names.add(node["Fn::GetAtt"][0])
        if "Fn::Sub" in node:
            text, own = node["Fn::Sub"] if isinstance(node["Fn::Sub"], list) else (node["Fn::Sub"], {})
            names |= {name.split(".")[0] for name in VARIABLE.findall(text)} - set(own)
        if "Fn::If" in node:
            conditions.add(node["Fn::If"][0])
        if isinstance(node.get("Condition"), str):
            conditions.add(node["Condition"])
    else:
        return names, conditions
    for part in parts:
        below = references(part)
        names |= below[0]
        conditions |= below[1]
    return names, conditions


class _Fold:
    def __init__(self, template, known):
        self.source, self.known = template, known
        self.conditions = {}

    def template(self):
        folded = {key: value for key, value in self.source.items() if key not in ("Conditions", "Rules")}
        folded["Parameters"] = {name: value for name, value in self.source["Parameters"].items() if name not in self.known}
        folded["Metadata"] = self.metadata()
        for part in ("Globals", "Mappings"):
            if part in self.source:
                folded[part] = self.value(self.source[part])
        for part in ("Resources", "Outputs"):
            kept = {name: self.conditional(value) for name, value in self.source[part].items()}
            folded[part] = {name: value for name, value in kept.items() if value is not ABSENT}
        for resource in folded["Resources"].values():
            awaited = resource.get("DependsOn", [])
            awaited = [name for name in ([awaited] if isinstance(awaited, str) else awaited) if name in folded["Resources"]]
            resource.pop("DependsOn", None)
            if awaited:
                resource["DependsOn"] = awaited
        folded["Rules"] = self.rules()
        folded["Conditions"] = self.used_conditions(folded)
        if '"Fn::FindInMap"' not in json.dumps(folded):
            folded.pop("Mappings", None)
        order = [key for key in self.source if folded.get(key)]
        return {key: folded[key] for key in order}

    def metadata(self):
        metadata = dict(self.source.get("Metadata", {}))
        interface = metadata.get("AWS::CloudFormation::Interface")
        if interface:
            groups = []
            for group in interface["ParameterGroups"]:
                asked = [name for name in group["Parameters"] if name not in self.known]
                if asked:
                    groups.append({**group, "Parameters": asked})
            metadata["AWS::CloudFormation::Interface"] = {**interface, "ParameterGroups": groups}
        return metadata

    def rules(self):
        rules = {}
        for name, rule in self.source.get("Rules", {}).items():
            condition = self.value(rule["RuleCondition"])
            if condition is not False:
                rules[name] = {**self.value(rule), "RuleCondition": condition}
        return rules

    def used_conditions(self, folded):
        wanted, used = references([folded["Resources"], folded["Outputs"], folded.get("Globals")])[1], {}
        while wanted:
            name = wanted.pop()
            used[name] = self.condition(name)
            wanted |= references(used[name])[1] - set(used)
        return {name: used[name] for name in self.source.get("Conditions", {}) if name in used}

    def conditional(self, item):
        condition = self.condition(item["Condition"]) if "Condition" in item else True
        if condition is False:
            return ABSENT
        folded = self.value({key: value for key, value in item.items() if key != "Condition"})
        return folded if condition is True else {"Condition": self.undecided(item["Condition"]), **folded}

    def condition(self, name):
        if name not in self.conditions:
            self.conditions[name] = self.value(self.source["Conditions"][name])
        return self.conditions[name]

    def undecided(self, name):
        """The condition of this name, or its simplification."""
        condition = self.condition(name)
        is_another = isinstance(condition, dict) and isinstance(condition.get("Condition"), str)
        return self.undecided(condition["Condition"]) if is_another else name

    def value(self, node):
        """The node with known values; ABSENT if a known condition excludes it."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), = node.items()
            if function == "Ref":
                return ABSENT if argument == "AWS::NoValue" else self.known.get(argument, node)
            if function == "Condition" and isinstance(argument, str):
                condition = self.condition(argument)
                return condition if isinstance(condition, bool) else node
            if function == "Fn::If":
                return self.choice(argument)
            if function.startswith("Fn::") and function != "Fn::GetAtt":
                made = getattr(self, function[4:].lower(), lambda _: None)(argument)
                return {function: self.value(argument)} if made is None else made
        folded = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in folded.items() if value is not ABSENT}

    def choice(self, argument):
        name, when_true, when_false = argument
        condition = self.condition(name)
        if isinstance(condition, bool):
            return self.value(when_true if condition else when_false)
        branches = (self.value(when_true), self.value(when_false))
        return {"Fn::If": [self.undecided(name), *(NO_VALUE if branch is ABSENT else branch for branch in branches)]}

    def equals(self, argument):
        one, other = self.value(argument)
        return str(one) == str(other) if _is_known(one) and _is_known(other) else None

    def contains(self, argument):
        items, text = self.value(argument)
        return text in items if isinstance(items, list) and all(map(_is_known, [*items, text])) else None

    def not_(self, argument):
        (condition,) = self.value(argument)
        return not condition if isinstance(condition, bool) else None

    def both(self, argument, decides):
        parts = [part for part in self.value(argument) if part is not (not decides)]
        if decides in parts:
            return decides
        if len(parts) < 2:
            return parts[0] if parts else not decides
        return {"Fn::Or" if decides else "Fn::And": parts}

    def sub(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = {name: self.value(value) for name, value in own.items()}
        values = {**self.known, **own}

        def known(match):
            value = values.get(match[1])
            return match[0] if value is None or isinstance(value, (dict, list)) else str(value)

        text = VARIABLE.sub(known, text)
        # A reference can be inlined in the text.
        for name, value in own.items():
            if isinstance(value, dict) and set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
                text = text.replace("${" + name + "}", value["Fn::Sub"])
            elif isinstance(value, dict) and set(value) == {"Ref"}:
                text = text.replace("${" + name + "}", "${" + value["Ref"] + "}")
            elif isinstance(value, dict) and set(value) == {"Fn::GetAtt"}:
                text = text.replace("${" + name + "}", "${" + ".".join(value["Fn::GetAtt"]) + "}")
        names = VARIABLE.findall(text)
        left = {name: value for name, value in own.items() if name in names}
        if not names and "${" not in text:
            return text
        return {"Fn::Sub": [text, left] if left else text}

    def join(self, argument):
        delimiter, items = argument[0], self.value(argument[1])
        if isinstance(items, list) and all(map(_is_known, items)):
            return delimiter.join(map(str, items))
        # With an empty separator, empty texts have no effect.
        if isinstance(items, list) and delimiter == "":
            items = [item for item in items if item != ""]
            if len(items) == 1:
                return items[0]
        return {"Fn::Join": [delimiter, items]}

    def split(self, argument):
        delimiter, text = argument[0], self.value(argument[1])
        return text.split(delimiter) if _is_known(text) else None

    def select(self, argument):
        index, items = argument[0], self.value(argument[1])
        return items[int(index)] if isinstance(items, list) and all(map(_is_known, items)) else None

    def findinmap(self, argument):
        keys = [self.value(key) for key in argument]
        if not all(map(_is_known, keys)):
            return None
        return self.source["Mappings"][keys[0]][keys[1]][keys[2]]


setattr(_Fold, "not", _Fold.not_)
setattr(_Fold, "and", lambda self, argument: self.both(argument, False))
setattr(_Fold, "or", lambda self, argument: self.both(argument, True))


def _is_known(value):
    return isinstance(value, (str, int, float, bool))
