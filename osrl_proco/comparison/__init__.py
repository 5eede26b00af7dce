"""Several runs side by side: the grid of algorithms, tasks and seeds, its raw rows, its tables."""
