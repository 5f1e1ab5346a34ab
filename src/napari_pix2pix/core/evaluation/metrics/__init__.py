"""Figures of one frame against the truth, and what is made of those of many."""
