"""The method: dynamics model, branched rollouts, feasibility critic and what it learns from."""
