"""`python -m tests.fault_injection [NAME ...]`: fault injection into small runs on a synthetic corpus.

`kills` ends runs at random moments and restarts the same command; `corruption` deletes, truncates and flips bits of every file of a
finished run; `mutations` gives every reader randomly changed files; `small_disk` fills the disk in each phase (Linux, as root);
`long_run` measures the memory of one process over two million steps.
"""
