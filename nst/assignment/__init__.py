"""The assignment: its functions, blanks and public tests, and the judging of answers."""
