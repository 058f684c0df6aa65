"""What of an audit can be given away without its tables: the external form, and counts that can still be checked."""
