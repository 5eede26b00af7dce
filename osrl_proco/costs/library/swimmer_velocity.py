# Written by hand against configs/tasks/SwimmerVelocity.yaml.
# Rule: mean velocity over the step at most 0.2282 m/s. Conservative: 0.08 m/s at its end. The front sways, and may have
# turned back by the end of a step: about 1 in 150 violations is missed.
def cost(obs):
    return obs["x_velocity"][..., 0] >= 0.08
