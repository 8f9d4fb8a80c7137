"""Synthetic labelled pairs: reports written from templates, and edits whose severity is known by rule."""
