"""Prints, as JSON, what SAM makes of --parameter-overrides: parameters.py OVERRIDE…"""

import json
import sys

from samcli.cli.types import CfnParameterOverridesType

json.dump(CfnParameterOverridesType().convert(tuple(sys.argv[1:]), None, None), sys.stdout)
