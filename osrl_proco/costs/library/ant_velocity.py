# Written by hand against configs/tasks/AntVelocity.yaml.
# Rule: mean speed in the plane over the step at most 2.6222 m/s. Conservative: 2.36 m/s at its end.
def cost(obs):
    return torch.norm(obs["velocity"][..., :2], dim=-1) >= 2.36
