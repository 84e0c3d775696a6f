"""Several server processes behind one pair of ports, and the supervisor that starts and replaces them."""
