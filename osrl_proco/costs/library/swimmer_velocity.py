# Written by hand against configs/tasks/SwimmerVelocity.yaml.
# Rule: mean velocity over the step at most 0.2282 m/s. Conservative: 0.175 m/s at its end, since within one step the
# velocity changes as much (see the task file).
def cost(obs):
    return obs["x_velocity"][..., 0] >= 0.175
