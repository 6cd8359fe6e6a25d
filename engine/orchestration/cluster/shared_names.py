"""Names that the processes of a sweep find each other by."""

BROKER_NAMESPACE = "robustune"
REPORT = "report"
"""The key of what a trial reports: a list with one value, because Tune flattens what is nested in dictionaries."""
TRIAL_SEAT = "trial_slot"
"""The custom resource of a cluster whose amount bounds how many trials a sweep has in flight."""
