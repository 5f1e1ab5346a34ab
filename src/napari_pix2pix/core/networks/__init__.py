"""Generators and discriminators: tensors (N, C, Y, X) in, tensors out."""
