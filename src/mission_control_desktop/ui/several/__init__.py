"""What is done to several sessions at once: each one is listed first, and told what became of it."""
