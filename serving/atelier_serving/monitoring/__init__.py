"""What is known of the running server: metrics, logs of requests, and health."""
