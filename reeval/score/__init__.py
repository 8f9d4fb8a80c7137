"""Scores of report pairs: the command, and the metric for Python."""
