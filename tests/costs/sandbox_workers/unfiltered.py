"""The evil worker with resource limits only, as on a system without namespaces and system call filters."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from evil import judge, sandbox_worker

from osrl_proco.costs.sandbox import limits

limits.leave_the_network = lambda: None
limits._filter_system_calls = lambda: None
limits.required = lambda: ()  # else no text is run
sandbox_worker.main(judge)
