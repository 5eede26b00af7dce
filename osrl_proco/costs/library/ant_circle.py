# Written by hand against configs/tasks/AntCircle.yaml.
# Rule: |x| at most 6 m. Conservative: 5 m.
def cost(obs):
    return (10 * obs["position"][..., 0]).abs() >= 5
