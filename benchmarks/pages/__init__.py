"""Commands that write documents under docs/ from measurements."""
