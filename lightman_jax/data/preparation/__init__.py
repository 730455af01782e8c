"""From the files of a corpus to arrays: check, motion images, and prepared folders."""
