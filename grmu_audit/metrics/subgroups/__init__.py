"""Parts of the test rows: gaps between attribute values within strata of control attributes."""
