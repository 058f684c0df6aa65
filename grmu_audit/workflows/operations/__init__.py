"""What who runs the tool needs beside audits: whether this machine is fit for it, and the registry's calls."""
