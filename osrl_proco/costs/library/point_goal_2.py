# Written by hand against configs/tasks/PointGoal2.yaml.
# Rule: no nearer than 0.2 m to a hazard's centre, no touch of a vase, no moving vase.
# Conservative: 0.22 m to a hazard. A vase that was hit slides on ahead of the robot: 0.44 m to its centre finds all
# but one in a thousand (a touch begins at 0.2 to 0.3 m).
def cost(obs):
    hazard = 3 * (1 - obs["hazards_lidar"].amax(-1))
    vase = 3 * (1 - obs["vases_lidar"].amax(-1))
    return (hazard <= 0.22) | (vase <= 0.44)
