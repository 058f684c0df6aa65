"""What a report says: one flat view of an audit for the templates."""
