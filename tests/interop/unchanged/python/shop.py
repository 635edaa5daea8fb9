"""A function without OpenTelemetry imports: requests a price over HTTP, and lists the queues of SQS.

The wrapper must not take this mention of opentelemetry.sdk for an import.
"""

import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3

queues = boto3.client("sqs")


def price(_=None):
    with urllib.request.urlopen(os.environ["PRICES"] + "/price") as response:
        response.read()


def handler(event, context):
    if event["action"] == "fail":
        raise ValueError("the order cannot be fulfilled")
    price()
    queues.list_queues()
    if event["action"] == "libraries":
        import asyncio

        import aiohttp
        import httpx
        import httpx2
        import requests
        import urllib3

        url = os.environ["PRICES"] + "/price"
        for get in (httpx.get, httpx2.get, requests.get):
            get(url)
        urllib3.PoolManager().request("GET", url)

        async def get_by_aiohttp():
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                await response.read()

        asyncio.run(get_by_aiohttp())
    if event["action"] == "threads":
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(price, range(4)))
    if event["action"] == "wait":
        urllib.request.urlopen(os.environ["PRICES"] + "/never")
    if event["action"] == "compute":
        while True:
            pass
    if event["action"] == "leave":
        sys.exit(3)
    if event["action"] == "kill":
        # Leaves time to export the ended spans.
        time.sleep(0.5)
        os._exit(3)
    return {"done": event["number"]}
