"""What a search tries next: settings of a sequence that the seed fixes, or of a sampler that learns from what ended."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from engine.orchestration.search.planned_trials import PlannedTrial, PlannedTrials
from engine.orchestration.search.repeats import Identities, Repeats
from engine.orchestration.search.sampler_study import Draft, SamplerStudy
from engine.orchestration.search.samplers import SAMPLERS
from engine.orchestration.search.sequences import ProposalSequence, make_sequence
from engine.result_names import OfTrial
from engine.seeds import derive_seed

N_RANDOM_ASKS = 50
"""How many random proposals are tried once a sampler repeats itself, before the space counts as exhausted."""


class Proposals:
    """Gives planned trials their settings.

    Args:
        planned: which trials there are.
        sampler: one of ``SAMPLERS``.
        identities: which configurations are the same trial.
        repeats: those that trials have had; whoever runs them keeps it up to date.
        n_known: trials that the study has already, interrupted ones too: a resumed sampler draws anew.
        n_objectives: how many values a trial ends with.
    """

    def __init__(
        self,
        planned: PlannedTrials,
        sampler: str,
        *,
        identities: Identities,
        repeats: Repeats,
        n_known: int,
        n_objectives: int,
    ) -> None:
        self._repeats = repeats
        self._n_asks = SAMPLERS[sampler].n_asks
        self._sequence: ProposalSequence | None = None
        self.sampler_study: SamplerStudy | None = None
        if SAMPLERS[sampler].source == "drawn":
            self._sequence = make_sequence(sampler, planned, identities)
        else:
            self.sampler_study = SamplerStudy(
                planned.space,
                sampler,
                seed=derive_seed(planned.study_seed, "sampler", n_known),
                n_proposals=planned.n_proposals,
                n_objectives=n_objectives,
            )

    def draft(self, entry: PlannedTrial) -> Draft:
        """Return the settings of a planned trial, proposed now where nothing else says them."""
        if entry.settings is not None:
            return Draft(dict(entry.settings))
        if self._sequence is not None:
            return Draft(dict(self._sequence[int(entry.name.removeprefix("proposal/"))]))
        assert self.sampler_study is not None
        return self._propose(self.sampler_study, entry.seed)

    def begin(self, entry: PlannedTrial, draft: Draft, trial: FrozenTrial) -> None:
        """Note that what was drafted for a planned trial has become a trial of the study."""
        if self.sampler_study is not None and draft.number is not None:
            self.sampler_study.accept(draft, trial.number)
        elif entry.purpose == "proposal":
            self.remember(trial)

    def remember(self, trial: FrozenTrial) -> None:
        """Take over a trial from before: the sampler learns from those that were proposed."""
        if self.sampler_study is not None and trial.user_attrs[OfTrial.SLOT].startswith("proposal/"):
            self.sampler_study.add(trial)

    def end(self, trial: FrozenTrial) -> None:
        """Learn from a trial that has ended."""
        if self.sampler_study is not None:
            self.sampler_study.end(trial)

    def _propose(self, sampler_study: SamplerStudy, seed: int) -> Draft:
        """Return a proposal that no trial has had; where none is found, the sampler's first one, a repeat."""
        refused: list[Draft] = []
        for attempt in range(self._n_asks + N_RANDOM_ASKS):
            draft = sampler_study.propose(at_random=attempt >= self._n_asks)
            if self._repeats.find(draft.settings, seed) is None:
                break
            refused.append(draft)
        else:
            draft = refused.pop(0)
        sampler_study.refuse(refused)
        return draft
