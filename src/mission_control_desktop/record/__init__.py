"""The record: every change of every session gets a sequence number, is committed, and only then shown."""
