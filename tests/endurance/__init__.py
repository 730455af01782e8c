"""`python -m tests.endurance [NAME ...]`: what a run survives, tried on a small invented corpus.

`kills` ends runs at random moments and lets the same command go on; `damage` deletes, cuts and flips every file of a finished run;
`mutations` hands every reader bytes that nobody wrote; `small_disk` fills the disk under each phase (Linux, as root);
`long_run` watches the memory of as many steps as two hours hold.
"""
