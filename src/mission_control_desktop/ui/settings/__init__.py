"""Settings: appearance, the connection, launch profiles."""
