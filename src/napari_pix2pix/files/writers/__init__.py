"""One module per file format, each writing a stack beside and renaming it."""
