"""Migrations, carried inside the package and run when the database is opened."""
