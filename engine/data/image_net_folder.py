"""A folder as torchvision lays ImageNet out, as a data set: ``train/`` and ``val/``, in each a folder per class."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from engine.data.dataset import register_dataset
from engine.data.folder import ImageFolder
from engine.data.parts import Parts, train_and_val
from engine.data.pictures import fit_as_usual
from engine.data.survey import notes_on_fit

SIDE = 224


class ImageNetFolder(ImageFolder):
    """The reader of ``imagefolder:PATH``.

    ``val/`` has the test images; validation images are set apart from ``train/``. Pictures are brought to 224 pixels
    (or ``image_size``) as networks for ImageNet are tested on them: see ``fit_as_usual``. One that has that size
    already stays as it is. They are decoded once, into shards of the store that every process maps. Limits take equally
    many images of each class.

    Args:
        argument: the path.
        settings: image size, channels, the range of values, and which classes are used.

    Raises:
        InputError: no such folder, one of another form, an empty class, one class, a class of ``val/`` that ``train/``
            lacks.
    """

    kind: ClassVar = "imagefolder"
    own_settings: ClassVar = ("value_range", "classes")
    is_mapped: ClassVar = True
    _fit: ClassVar = staticmethod(fit_as_usual)
    _are_limits_balanced: ClassVar = True

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a person should know of the files, a sentence each."""
        side, channels = self._shape
        return (*self._parts.notes, *notes_on_fit(self._survey.headers, side, channels), *self._note_on_copies())

    def _find_parts(self) -> Parts:
        return train_and_val(self.root, self._settings.classes)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        return self._settings.image_size or SIDE, self._settings.channels or 3


register_dataset("imagefolder")(ImageNetFolder)
