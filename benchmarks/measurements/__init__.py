"""What is computed and cached for the documents."""
