"""One module per file format, each opening a stack that reads when it is sliced."""
