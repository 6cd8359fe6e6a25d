"""What is known of a data set that is not there: digits, so that keys depend on the plan alone."""

from engine.data import DataInfo
from engine.settings import DataSettings

DIGITS = DataInfo(
    key="0" * 32,
    training_key="2" * 32,
    raw_key="1" * 32,
    settings=DataSettings(),
    n_classes=10,
    channels=1,
    image_size=16,
    severity_table="digits",
    n_train=958,
    n_validation=240,
    n_test=599,
)
