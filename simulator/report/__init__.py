"""What people see: pages of text for the terminal, tables for the commands, HTML for notebooks.

Everything here turns plain data into text; nothing computes.
"""
