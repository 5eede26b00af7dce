"""Where a text from outside runs for the first time."""
