"""What the lock files say to others: bills of materials, and known vulnerabilities."""
