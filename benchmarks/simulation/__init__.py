"""Queues of requests, simulated: replicas behind round robin, and an autoscaler that watches the requests waiting."""
