"""The program that does the work of one attempt, in a process of its own."""
