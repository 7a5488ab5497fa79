"""Pairs on their way into a study: archives, tables, folders, and the import itself."""
