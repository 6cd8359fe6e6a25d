"""Search spaces, one file each: a module that defines ``SPACE``."""
