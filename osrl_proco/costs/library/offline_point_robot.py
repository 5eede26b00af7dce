# Written by hand against configs/tasks/OfflinePointRobot.yaml.
# Rule: the gap to every hazard must stay positive. Conservative: 5 cm before it.
def cost(obs):
    return obs["hazard_gaps"].amin(-1) <= 0.05
