# Written by hand against configs/tasks/SwimmerVelocity.yaml.
# Rule: mean velocity over the step at most 0.2282 m/s. Conservative: 0.21 m/s at its end.
def cost(obs):
    return obs["x_velocity"][..., 0] >= 0.21
