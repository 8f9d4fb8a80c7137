"""Preference pairs: of each labelled pair, verdicts that its gold verdict is better than."""
