"""Monitoring of the running server: metrics, logs of requests, and health."""
