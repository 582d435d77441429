"""The internal provider: starts real agents on this host, supervises them, and keeps their tree."""
