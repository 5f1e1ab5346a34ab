"""How networks are trained: one method a file, one training step a screen."""
