"""Data sets as uint8 tensors: readers, splits, augmentation."""

from engine.data.augment import alternate_flips, apply_crop_flips, draw_crop_flips
from engine.data.corruption_files import CorruptionFiles, write_corruption_files
from engine.data.dataset import (
    READERS,
    DataInfo,
    DataSet,
    RawData,
    Split,
    register_dataset,
    split_data,
    split_key,
)
from engine.data.digits import Digits
from engine.data.folder import ImageFolder
from engine.data.image_net_folder import ImageNetFolder
from engine.data.official import Cifar, Cifar100, Mnist
from engine.data.reading import load_dataset, open_reader, outline_data

__all__ = [
    "READERS",
    "Cifar",
    "Cifar100",
    "CorruptionFiles",
    "DataInfo",
    "DataSet",
    "Digits",
    "ImageFolder",
    "ImageNetFolder",
    "Mnist",
    "RawData",
    "Split",
    "alternate_flips",
    "apply_crop_flips",
    "draw_crop_flips",
    "load_dataset",
    "open_reader",
    "outline_data",
    "register_dataset",
    "split_data",
    "split_key",
    "write_corruption_files",
]
