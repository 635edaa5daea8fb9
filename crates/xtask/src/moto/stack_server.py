"""Runs moto's server for stacks of functions without code, with a bucket `artifacts`: stack_server.py

Prints its own address, and exits when stdin ends.
"""

import sys

import boto3
import patches  # noqa: F401 - patches moto when imported
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

default_user_config["lambda"] = {"use_docker": False}
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
s3 = boto3.client("s3", endpoint_url=address, aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
print(address, flush=True)
sys.stdin.read()
