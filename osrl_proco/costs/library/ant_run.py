# Written by hand against configs/tasks/AntRun.yaml.
# Rule: |y| at most 2 m, speed in the plane at most 1.5 m/s. Conservative: 1.7 m, 1.3 m/s.
def cost(obs):
    y = 10 * obs["position"][..., 1]
    speed = torch.norm(obs["velocity"][..., :2], dim=-1) / 0.3
    return (y.abs() >= 1.7) | (speed >= 1.3)
