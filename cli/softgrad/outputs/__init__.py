"""What goes out: results -> text or arrays, and the one place that writes them."""
