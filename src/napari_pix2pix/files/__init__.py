"""Image files and folders <-> lazily read stacks with their axes and pixel size."""
