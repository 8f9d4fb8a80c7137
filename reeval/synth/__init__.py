"""Labelled pairs from free-text reports: errors whose severity is known by rule, amid variation that means nothing."""
