"""Every setting, as frozen models to and from JSON; imports no torch."""
