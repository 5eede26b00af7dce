"""Episodes, measures on held-out data, and the feasible set."""
