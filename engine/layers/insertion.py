"""Push–pull layers in the place of an existing network's convolutions."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from engine.errors import InputError, LackingPartError, unknown_name
from engine.layers.layer_names import layers_named
from engine.layers.push_pull import PushPull2d
from engine.layers.push_pull_conv import PushPullConv2d

VARIANTS = ("2020", "2024")


def insert_push_pull(
    model: nn.Module,
    where: str | Iterable[str] = "first",
    *,
    h: float = 2.0,
    alpha: float = 1.0,
    learn_alpha: str | None = None,
    variant: str = "2020",
    average: int = 3,
) -> nn.Module:
    """Replace convolutions of a network by push–pull layers, in place, and return the network.

    The new layers take over the very parameters of the old ones, so this works before and after training, draws no
    random number, and leaves an optimiser's references valid. A push–pull layer that is there already takes the new
    settings.

    Args:
        model: any network with ``nn.Conv2d`` layers.
        where: "first", the convolution that was registered first; "first_block", the convolutions larger than 1×1 in
            the modules that the model names in its attribute ``first_block``; "all", every convolution larger than
            1×1; or one or more names of convolutions as in ``model.named_modules()``, of modules that they are in, or
            patterns of such (``layers_named``): of these the convolutions larger than 1×1.
        h, alpha, learn_alpha: as in :class:`PushPull2d`; of the variant of 2024 ``h`` says nothing, and a strength is
            learned by each "kernel", if at all.
        variant: the paper whose layer it is: "2020", :class:`PushPull2d`, or "2024", :class:`PushPullConv2d`.
        average: as in :class:`PushPullConv2d`; of the variant of 2020 it says nothing.

    Raises:
        InputError: a bad setting, an unknown name, a model without such layers, or a layer whose kernel cannot be
            upsampled (it is named); the network is unchanged then.
    """
    if variant not in VARIANTS:
        raise unknown_name("push–pull variant", variant, VARIANTS)
    replacements: dict[nn.Module, nn.Conv2d] = {}
    for name in _find_convolutions(model, where):
        convolution = model.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)  # what _find_convolutions returns, for the type checker
        try:
            if variant == "2024":
                replacements[convolution] = PushPullConv2d.from_convolution(
                    convolution, average=average, alpha=alpha, learn_alpha=_is_learned(learn_alpha)
                )
            else:
                kept = {"activation": convolution.activation} if isinstance(convolution, PushPull2d) else {}
                replacements[convolution] = PushPull2d.from_convolution(
                    convolution, h=h, alpha=alpha, learn_alpha=learn_alpha, **kept
                )
        except InputError as error:
            raise InputError(f"layer {name!r} cannot become a push–pull layer: {error}") from None
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in replacements:
                parent._modules[name] = replacements[child]
    return model


def _is_learned(learn_alpha: str | None) -> bool:
    """Return whether the filters of a layer of 2024 learn their strengths; raises ``InputError`` for another way."""
    if learn_alpha not in (None, "kernel"):
        raise InputError(
            f"the push–pull layer of 2024 learns a strength for each kernel: `learn_alpha` must be None or 'kernel', "
            f"got {learn_alpha!r}"
        )
    return learn_alpha is not None


def _find_convolutions(model: nn.Module, where: str | Iterable[str]) -> list[str]:
    """Return the names of the convolutions that ``where`` means, in the order of their registration, or as given."""
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    if "" in convolutions:
        raise InputError(
            "the model is itself one convolution; make a PushPull2d of it with PushPull2d.from_convolution"
        )
    if not convolutions:
        raise InputError(f"{type(model).__name__} has no nn.Conv2d layer that could become a push–pull layer")
    larger = [name for name, module in convolutions.items() if module.kernel_size != (1, 1)]
    if where == "first":
        return [next(iter(convolutions))]
    if where == "all":
        chosen = larger
    elif where == "first_block":
        prefixes = _first_block(model)
        chosen = [name for name in larger if any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)]
    else:
        return _named(where, convolutions, larger)
    if not chosen:
        raise InputError(f"{type(model).__name__} has no convolution larger than 1×1 in {where!r}")
    return chosen


def _first_block(model: nn.Module) -> tuple[str, ...]:
    names = getattr(model, "first_block", ())
    if not names:
        raise LackingPartError(
            f"{type(model).__name__} declares no first block (an attribute `first_block` with names of modules); "
            "use 'first', 'all' or names of convolutions"
        )
    return tuple(names)


def _named(where: str | Iterable[str], convolutions: dict[str, nn.Conv2d], larger: list[str]) -> list[str]:
    """Return the convolutions of some names; of blocks and patterns those larger than 1×1."""
    if not isinstance(where, Iterable):
        raise InputError(f"`where` must be 'first', 'first_block', 'all' or names of convolutions, got {where!r}")
    names = [where] if isinstance(where, str) else list(dict.fromkeys(where))
    if not names:
        raise InputError("`where` names no layer; it must be 'first', 'first_block', 'all' or names of convolutions")
    found: list[str] = []
    for name in names:
        meant = [name] if name in convolutions else layers_named(name, larger)
        if not meant:
            known = [*convolutions, "first", "first_block", "all"] if isinstance(where, str) else convolutions
            raise unknown_name("convolution", name, known)
        found += meant
    return list(dict.fromkeys(found))
