"""The wire messages: serving.proto and what is generated from it."""
