"""The Python function of the matrix of endings. Its event names the ending: `{"ends": "ok"}`."""

import asyncio
import logging
import os
import signal
import threading
import time


class Declined(Exception):
    pass


def fail_with_cause():
    try:
        int("x")
    except ValueError as error:
        raise Declined("declined") from error


async def fail_later():
    await asyncio.sleep(0.02)
    raise ValueError("no stock")


def fail_in_thread():
    thread = threading.Thread(target=lambda: int("x"))
    thread.start()
    thread.join()


def printed_error():
    print('[ERROR] KeyError: printed\rTraceback (most recent call last):\r  File "a", line 5, in f\r', flush=True)


def handler(event, context):
    ends = event["ends"]
    request_id = context.aws_request_id
    print(f"ending {ends} {request_id}", flush=True)
    match ends:
        case "null":
            return None
        case "text":
            return "done"
        case "status 404":
            return {"statusCode": 404}
        case "status 500":
            return {"statusCode": 500}
        case "failed messages":
            return {"batchItemFailures": [{"itemIdentifier": "1"}]}
        case "error":
            raise ValueError("no stock")
        case "error without text":
            raise ValueError
        case "error of two lines":
            raise ValueError("no stock\nfor order 7")
        case "error of its own type":
            raise Declined("declined")
        case "error with a cause":
            fail_with_cause()
        case "error in a task" | "error after a wait":
            asyncio.run(fail_later())
        case "error after a logged one":
            logging.error("logged")
            raise ValueError("no stock")
        case "logged error":
            logging.error("logged")
        case "printed error of a runtime":
            printed_error()
        case "printed and failed":
            printed_error()
            raise ValueError("no stock")
        case "printed timeout":
            print(f"2026-09-21T14:13:21.000Z {request_id} Task timed out after 3.00 seconds\n\n", flush=True)
        case "printed exit":
            print(f"RequestId: {request_id} Error: Runtime exited with error: exit status 1\nRuntime.ExitError", flush=True)
        case "panic":
            # Not an `Exception`, so that the runtime client ends.
            raise KeyboardInterrupt
        case "panic in a task":
            fail_in_thread()
        case "caught error":
            try:
                int("x")
            except ValueError:
                pass
        case "unserializable":
            return {"at": object()}
        case "too large":
            return "x" * (7 * 1024 * 1024)
        case "exit 0":
            os._exit(0)
        case "exit 1":
            os._exit(1)
        case "abort":
            os.abort()
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "waits for ever":
            time.sleep(60)
        case "computes for ever":
            while True:
                pass
    return {"statusCode": 200}
