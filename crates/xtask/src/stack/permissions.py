"""Prints the permissions that CloudFormation needs for a template, but a page does not list: permissions.py TEMPLATE PAGE

TEMPLATE is CloudFormation as JSON. The permissions are those of the resource types' handlers in cfn-lint's copy of CloudFormation's schemas.
"""

import fnmatch
import json
import re
import sys
from pathlib import Path

import cfnlint

# Actions for tags, for properties that the template does not use, and for keys of the user's own.
UNUSED = [
    "*:TagResource", "*:UntagResource", "*:TagQueue", "*:UntagQueue", "*:CreateLogDelivery", "firehose:*", "elasticfilesystem:*", "kms:*",
    "s3files:*", "s3tables:*", "s3:REST.PUT.OBJECT", "s3:DeleteObject", "s3:*MetadataTable*", "s3:*Metadata*TableConfiguration",
    "iam:*GroupPolicy", "iam:*UserPolicy", "iam:*PermissionsBoundary", "iam:UpdateRoleDescription", "lambda:AssociateRuntimeAlias",
    "lambda:GetCodeSigningConfig", "lambda:PassCapacityProvider", "lambda:PublishVersion", "lambda:PutRuntimeManagementConfig",
    "logs:*IndexPolicy", "logs:*MetricExtractionPolicy", "logs:*Transformer", "logs:*KmsKey", "logs:DeleteDataProtectionPolicy",
    "logs:DeleteResourcePolicy", "logs:PutBearerTokenAuthentication", "logs:PutDataProtectionPolicy", "logs:PutResourcePolicy",
]  # fmt: skip


def matches(action, patterns):
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


template, page = (Path(path).read_text(encoding="utf-8") for path in sys.argv[1:])
table = page.split("\n## Permissions\n")[1].split("\n## ")[0]
listed = re.findall(r"`([a-z0-9]+:[A-Za-z*]+)`", table)
types = {resource["Type"] for resource in json.loads(template)["Resources"].values() if resource["Type"].startswith("AWS::")}
needed, read = set(), set()
for file in (Path(cfnlint.__file__).parent / "data/schemas/resources").glob("*.json"):
    schema = json.loads(file.read_text(encoding="utf-8"))
    if schema.get("typeName") in types:
        read.add(schema["typeName"])
        for name, handler in schema.get("handlers", {}).items():
            needed |= set(handler.get("permissions", [])) if name != "list" else set()
missing = sorted(action for action in needed if not matches(action, [*listed, *UNUSED]))
unused = [pattern for pattern in UNUSED if not any(matches(action, [pattern]) for action in needed)]
json.dump({"missing": missing, "unused": unused, "needed": len(needed), "types": sorted(types - read)}, sys.stdout)
