# Written by hand against configs/tasks/AntVelocity.yaml.
# Rule: mean speed in the plane over the step at most 2.6222 m/s. Conservative: 1.3 m/s at its end, since within one
# step the speed changes as much (see the task file).
def cost(obs):
    return torch.norm(obs["velocity"][..., :2], dim=-1) >= 1.3
