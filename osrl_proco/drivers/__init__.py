"""Who collects data: scripted drivers and small policies."""
