"""Errors that a report can carry: each module gives, for one group of aspects, all edits that are safe in it."""
