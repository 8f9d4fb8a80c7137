"""From prompt tokens to answer tokens."""
