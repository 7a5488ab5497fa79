"""The files of an export, one module for each kind; `user_study.exporting` puts them together."""
