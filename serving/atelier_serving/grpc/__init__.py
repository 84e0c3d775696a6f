"""The gRPC transport: its services, and its protection against large messages and slow clients."""
