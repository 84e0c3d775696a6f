"""What the console tells Prometheus: of releases, trainings, versions that answer, and drift."""
