"""Data sets: from the files a job names, or a known data set's source, to labelled examples."""
