"""Starts AWS's runtime client with the handler in _HANDLER, which wrappers change, as Lambda's runtime for Python does."""

import os
import sys

from awslambdaric.__main__ import main

main([sys.argv[0], os.environ["_HANDLER"]])
