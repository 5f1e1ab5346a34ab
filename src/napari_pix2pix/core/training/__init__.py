"""The loop of a training, what it needs before its first step, and the files of a run."""
