"""The engines that run the components: containers of a compose project, or plain processes from `.venv`."""
