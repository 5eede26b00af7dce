# Written by hand against configs/tasks/PointButton1.yaml.
# Rule: no nearer than 0.2 m to a hazard's centre, no touch of a gremlin or of a button that is not the goal.
# A wrong button is what buttons_lidar sees nearer than goal_lidar does in the same sector. The robot's body reaches
# 0.1 m, ahead (sectors 0, 1 and 13 to 15) 0.15 m. Conservative: 1 to 2 cm more than the farthest touch.
def cost(obs):
    hazard = 3 * (1 - obs["hazards_lidar"].amax(-1))
    gremlins = 3 * (1 - obs["gremlins_lidar"])
    wrong = obs["buttons_lidar"] > obs["goal_lidar"] + 1e-6
    buttons = torch.where(wrong, 3 * (1 - obs["buttons_lidar"]), 3.0)
    ahead = (gremlins <= 0.31) | (buttons <= 0.27)
    beside = (gremlins <= 0.25) | (buttons <= 0.22)
    touch = ahead[..., :2].any(-1) | ahead[..., 13:].any(-1) | beside[..., 2:13].any(-1)
    return (hazard <= 0.22) | touch
