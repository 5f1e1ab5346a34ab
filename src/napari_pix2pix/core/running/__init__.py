"""A trained model at work: predictions, bands of rows, patch scores."""
