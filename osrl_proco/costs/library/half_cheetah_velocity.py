# Written by hand against configs/tasks/HalfCheetahVelocity.yaml.
# Rule: mean velocity over the step at most 3.2096 m/s. Conservative: 2.2 m/s at its end, since within one step the
# velocity changes as much (see the task file).
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 2.2
