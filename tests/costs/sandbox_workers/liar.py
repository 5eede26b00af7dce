"""No worker at all: says that all is well, then runs the text, which speaks to the parent as it likes."""

import json
import os
import sys

request = json.loads(sys.stdin.buffer.readline())
states = sys.stdin.buffer.read()
sys.path[:] = request["path"]
from osrl_proco.costs.sandbox.limits import MEASURES  # noqa: E402

os.write(1, json.dumps({**dict.fromkeys(MEASURES, True), "failed": ""}).encode() + b"\n")
exec(request["source"], {"os": os, "count": len(states) // 4 // 60})
