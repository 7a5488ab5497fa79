"""The files of an export, one module for each kind; `user_study.exports.export` puts them together."""
