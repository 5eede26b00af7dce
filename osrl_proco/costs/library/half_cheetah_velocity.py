# Written by hand against configs/tasks/HalfCheetahVelocity.yaml.
# Rule: mean velocity over the step at most 3.2096 m/s. Conservative: 2.5 m/s at its end, since a stride brakes by up
# to 0.7 m/s within a step.
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 2.5
