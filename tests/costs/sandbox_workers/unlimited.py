"""The evil worker without any limit: what the probes must notice."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from evil import judge, sandbox_worker

from osrl_proco.costs.sandbox import limits

limits.leave_the_network = lambda: None
limits.lock = lambda seconds, memory_mb: None
limits.required = lambda: ()  # else no text is run
sandbox_worker.main(judge)
