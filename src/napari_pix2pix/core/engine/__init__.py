"""What the work runs on: devices, processes, files of tensors, and writing beside."""
