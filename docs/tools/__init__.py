"""What makes the documentation site besides its pages: command references, executed tutorials, recordings."""
