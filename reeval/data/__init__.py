"""From pairs to the token batches that training and judging read."""
