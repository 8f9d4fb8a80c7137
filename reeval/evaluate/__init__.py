"""Pairs to verdicts to figures."""
