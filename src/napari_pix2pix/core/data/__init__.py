"""What is learned from: pairs of frames, how they are divided, patches drawn from them."""
