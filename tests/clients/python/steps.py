"""The steps every client goes through, and how their results are told to the runner: one JSON object a line."""

import json
import os
import ssl
import time
import traceback
import urllib.request

CLIENT_ID = "sim-client"
SECRET = "sim-secret"
TENANT = os.environ["SUITE_TENANT"]
SITE_HOST = "contoso.sharepoint.com"
SITE_PATH = "/sites/demo"
STEPS = ["token", "site", "list", "columns", "create", "read", "patch", "filter", "page", "delete",
         "delta", "delta again", "batch", "412", "429"]


class Differs(AssertionError):
    """Something came otherwise than the step says."""


def same(what, got, wanted):
    if got != wanted:
        raise Differs(f"{what}: expected {wanted!r}, got {got!r}")


def control(method, path, body=None):
    """Asks the simulator's own controls."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"https://graph.microsoft.com/_sim/{path}", data=data, method=method)
    context = ssl.create_default_context(cafile=os.environ["SUITE_CA"])
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def begin():
    """Nothing that an earlier client left behind may strike this one."""
    control("DELETE", "faults")


def throttle_once(operation):
    rule = {"kind": "throttle", "on": [operation], "times": 1, "retry_after": "1"}
    control("PUT", "faults", {"faults": [rule]})
    return time.monotonic()


def throttled_once(begun):
    """The client waited as told and asked again, once."""
    hits = control("GET", "faults")["faults"][0]["hits"]
    control("DELETE", "faults")
    same("throttled requests", hits, 1)
    if time.monotonic() - begun < 1:
        raise Differs("the client did not wait for the second of Retry-After")


def report(step, error=None):
    line = {"step": step, "ok": error is None}
    if error is not None:
        line["why"] = "".join(traceback.format_exception_only(error)).strip()[:2000]
        line["where"] = "".join(traceback.format_tb(error.__traceback__)[-3:])
    print(json.dumps(line), flush=True)
