"""Parts of the test rows: gaps within strata of control attributes, and segments that a model serves worse."""
