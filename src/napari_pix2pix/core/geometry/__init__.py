"""Where things lie: axes, tiles, fields and shifts; values without pixels; imports no torch."""
