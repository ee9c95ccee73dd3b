"""Records: their fields, their text and what they say."""
