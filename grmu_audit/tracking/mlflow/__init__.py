"""The tracking store on MLflow: the only package that imports it."""
