"""Measuring a served model: labelled examples are sent, and their answers become metrics."""
