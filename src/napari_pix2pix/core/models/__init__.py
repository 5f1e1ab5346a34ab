"""The room of the model file: what it says, how it is written and read, and how older formats are."""
