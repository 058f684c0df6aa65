"""Was the forget set forgotten?  Changes against the version before, set against those that retraining makes."""
