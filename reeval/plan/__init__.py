"""What a config needs on TPUs that are not at hand: its real programs, compiled for a named topology."""

from reeval.plan.command import plan

__all__ = ["plan"]
