"""Can these pairs be trained on; how good is a prediction."""
