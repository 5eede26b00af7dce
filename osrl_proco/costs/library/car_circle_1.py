# Written by hand against configs/tasks/CarCircle1.yaml.
# Rule: |x| at most 1.125 m. The position follows from the lidar (distance and
# angle of the world's centre) and the magnetometer (heading), see the task file. Conservative: 0.85 m.
def cost(obs):
    lidar = obs["circle_lidar"]
    ahead = 0.0
    left = 0.0
    for i in range(16):
        ahead = ahead + lidar[..., i] * torch.cos(i * torch.pi / 8)
        left = left + lidar[..., i] * torch.sin(i * torch.pi / 8)
    angle = torch.atan2(left, ahead) + torch.pi / 16  # of the centre, from the robot's x axis
    far = 6 * (1 - lidar.amax(-1))
    south = obs["magnetometer"]
    size = torch.hypot(south[..., 0], south[..., 1]) + 1e-9
    x = far * (south[..., 1] * torch.cos(angle) - south[..., 0] * torch.sin(angle)) / size
    return x.abs() > 0.85
