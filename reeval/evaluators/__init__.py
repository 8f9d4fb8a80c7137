"""Whoever judges pairs, behind one small interface: `reeval.evaluators.evaluator`."""
