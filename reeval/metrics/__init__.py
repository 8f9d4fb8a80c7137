"""What a set of verdicts is worth: NumPy in, numbers out. Shares are in percent."""
