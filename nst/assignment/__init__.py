"""What the assignment asks for, and how an answer is judged."""
