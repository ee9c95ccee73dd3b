"""How a run goes: records through the work, on one process or several, and what is said of it."""
