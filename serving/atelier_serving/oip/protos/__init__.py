"""The protocol's messages, generated from the .proto beside them."""
