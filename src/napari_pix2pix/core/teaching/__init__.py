"""How the second discriminator learns to judge the match and to expect errors."""
