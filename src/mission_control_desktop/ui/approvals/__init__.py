"""Permission questions, answered where they are asked."""
