"""Rows of a sweep written and read again: files, folders that a killed sweep goes on with, tables."""
