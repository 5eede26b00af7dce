# Written by hand against configs/tasks/PointButton2.yaml.
# Rule: no nearer than 0.2 m to a hazard's centre, no touch of a gremlin or of a button that is not the goal.
# A wrong button is what buttons_lidar sees nearer than goal_lidar does in the same sector. The farthest touch follows
# from the bodies: the robot reaches 0.1 m, ahead (sectors 0 to 2 and 13 to 15) 0.158 m with the corners of its arrow; a
# button 0.1 m, a gremlin 0.141 m at its edges. Conservative: 1 cm more, and 2 cm more at hazards.
def cost(obs):
    hazard = 3 * (1 - obs["hazards_lidar"].amax(-1))
    gremlins = 3 * (1 - obs["gremlins_lidar"])
    wrong = obs["buttons_lidar"] > obs["goal_lidar"] + 1e-6
    buttons = torch.where(wrong, 3 * (1 - obs["buttons_lidar"]), 3.0)
    body = (gremlins <= 0.25) | (buttons <= 0.21)
    arrow = (gremlins <= 0.31) | (buttons <= 0.27)
    touch = body.any(-1) | arrow[..., :3].any(-1) | arrow[..., 13:].any(-1)
    return (hazard <= 0.22) | touch
