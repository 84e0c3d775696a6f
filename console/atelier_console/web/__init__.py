"""Internal: what every page and answer has: templates, errors, limits, who may ask."""
