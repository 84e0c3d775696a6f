"""Load tests: how many requests a second a served model answers, and how fast."""
