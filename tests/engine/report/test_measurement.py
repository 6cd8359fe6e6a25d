"""What trials are compared by is said, and is one for all trials of a study."""

import pytest

from engine.errors import InputError
from engine.report.measurement import Measurement, check_comparable, planned_measurement, recorded_measurement

NOISE = Measurement(("gaussian_noise", "shot_noise"), ("gaussian_noise", "contrast", "mine"), (1, 2, 3), 240, 599)


def test_the_sentences_name_what_decides_on_how_many_images_and_what_does_not() -> None:
    assert NOISE.sentences() == [
        "trials are compared by their mean error on 240 validation images under gaussian_noise and shot_noise, "
        "severities 1 to 3; they are tested on 599 test images under gaussian_noise, contrast and mine",
        "digital and mine have no part in the comparison of trials (`evaluate.objective` names what has)",
    ]
    (alone,) = Measurement(("fog",), ("frost",), (1, 5)).sentences()
    assert alone == (
        "trials are compared by their mean error on validation images under fog, severities 1 and 5; they are tested "
        "on test images under frost"
    )
    many = Measurement(("fog",), ("fog", "frost", "snow", "contrast", "pixelate", "mine", "spatter"), (3,), 2, 3)
    assert "under fog, severity 3; they are" in many.sentences()[0]
    assert many.sentences()[0].endswith("under 7 corruptions (4 weather, 2 digital, 1 mine)")


def test_a_record_has_the_yardstick_of_its_plan() -> None:
    rows = [{"corruption": "contrast", "severity": severity, "error": 0.3} for severity in (1, 3)]
    errors = {
        "validation": {"n_images": 240, "corrupted": rows},
        "test": {"n_images": 599, "corrupted": [*rows, *({**row, "corruption": "fog"} for row in rows)]},
    }
    settings = {"objective": ["contrast"], "corruptions": ["fog", "contrast"], "severities": [1, 3], "table": "digits"}
    planned = planned_measurement(settings, n_validation=240, n_test=599)
    assert recorded_measurement(errors).agrees(planned)
    assert recorded_measurement(errors).n_validation == planned.n_validation == 240
    check_comparable("study", [recorded_measurement(errors)], planned)
    asked = {"names": ["tilt"], "table": "cifar-p", "difficulty": 2}
    along = planned_measurement({**settings, "sequences": asked}, n_validation=240, n_test=599)
    test = {**errors["test"], "sequences": [{"sequence": "tilt", "difficulty": 2, "flip_probability": 0.1}]}
    for found in (along, recorded_measurement({**errors, "test": test})):
        assert found.sentences()[0].endswith(", and along 1 perturbation sequence (tilt) of these, difficulty 2")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Measurement(("contrast",), NOISE.tested, NOISE.severities), "compared by contrast"),
        (Measurement(NOISE.objective, ("fog",), NOISE.severities), "tested on fog"),
        (Measurement(NOISE.objective, NOISE.tested, (1,)), "severity 1"),
    ],
)
def test_trials_that_cannot_be_compared_are_not_added_to_a_study(other, words) -> None:
    with pytest.raises(
        InputError, match=rf"study 'x' has trials .*{words}.* cannot be compared; choose another --study"
    ):
        check_comparable("x", [NOISE, other], NOISE)
