"""Wrong numbers -> the known mistakes that give exactly these."""
