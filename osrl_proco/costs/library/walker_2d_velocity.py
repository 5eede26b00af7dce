# Written by hand against configs/tasks/Walker2dVelocity.yaml.
# Rule: mean velocity over the step at most 2.3415 m/s. Conservative: 2.1 m/s at its end, since within one step the
# velocity changes as much (see the task file).
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 2.1
