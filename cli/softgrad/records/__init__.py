"""What a record is: its fields, its text, and what it says."""
