"""No worker at all: says that all is well, then runs the text, which speaks to the parent as it likes."""

import json
import os
import sys

request = json.loads(sys.stdin.buffer.readline())
states = sys.stdin.buffer.read()
os.write(1, b'{"no network": true}\n')
exec(request["source"], {"os": os, "count": len(states) // 4 // 60})
