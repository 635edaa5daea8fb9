"""Prints the parameters that SAM reads from --parameter-overrides as JSON: parameters.py OVERRIDE…"""

import json
import sys

from samcli.cli.types import CfnParameterOverridesType

json.dump(CfnParameterOverridesType().convert(tuple(sys.argv[1:]), None, None), sys.stdout)
