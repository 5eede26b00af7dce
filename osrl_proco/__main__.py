"""`python -m osrl_proco`."""

import sys

from .cli import main

sys.exit(main())
