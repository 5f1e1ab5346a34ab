"""A module per command, each a generator of events, and what runs and draws them."""
