"""From a corpus as its licence holder downloads it to arrays: layouts, faces, motion, shards, and a stand-in."""
