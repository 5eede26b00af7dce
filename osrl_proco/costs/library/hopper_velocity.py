# Written by hand against configs/tasks/HopperVelocity.yaml.
# Rule: mean velocity over the step at most 0.7402 m/s. Conservative: 0.63 m/s at its end, since within one step the
# velocity changes as much (see the task file).
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 0.63
