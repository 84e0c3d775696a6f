"""Several server processes that share their ports, and the supervisor that starts and replaces them."""
