"""What unlearning methods are built from: passes over the data, gradients, estimators."""
