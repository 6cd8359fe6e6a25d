"""Random kills: a sweep whose processes are killed ends with the trials and numbers of an undisturbed one."""
