"""Creating registered versions: pretraining, registration of checkpoints, retraining, unlearning."""
