"""Grey values and labels to network values in [-1, 1] and back; imports no torch."""
