"""Training: the objective, the step, the loop, its checkpoints."""
