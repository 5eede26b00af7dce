"""One run: its settings, its data, its loop, its folder."""
