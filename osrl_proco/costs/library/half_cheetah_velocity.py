# Written by hand against configs/tasks/HalfCheetahVelocity.yaml.
# Rule: mean velocity over the step at most 3.2096 m/s. Conservative: 2.89 m/s at its end.
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 2.89
