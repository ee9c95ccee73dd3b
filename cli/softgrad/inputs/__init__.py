"""What comes in: numbers, JSON records, arrays -> rows with a place."""
