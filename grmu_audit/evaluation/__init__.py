"""What a network answers: predictions, adversarial predictions, layers, shadow models."""
