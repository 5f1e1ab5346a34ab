"""napari docks. They never compute: the work happens in the child process of `bridge`, so they never import torch."""
