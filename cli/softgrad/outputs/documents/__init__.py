"""Pages for other programs to draw: Markdown, LaTeX, HTML."""
