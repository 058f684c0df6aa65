"""Tasks of an operator beside audits: checks of this machine, signatures of models, and the registry's webhook."""
