"""The whole loop on one host: set up, train, serve, evaluate, with containers or as plain processes.

Standard library only: it runs before anything is installed. `make help` lists its commands.
"""
