"""How a call travels: over gRPC, over REST, or through a function in memory."""
