"""The words of the house. Plain Python, known to every room; imports nothing but the standard library."""
