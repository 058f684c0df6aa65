"""Use cases that make registered versions: pretraining, registration of checkpoints, retraining, unlearning."""
