"""The Agent Client Protocol on raw frames: framing, translation of updates, and the runtime's state machine. No I/O."""
