"""Desktop notifications: what is worth one, when, in which words, and how it reaches the desktop."""
