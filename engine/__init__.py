"""The computing core: layers, models, data, corruptions, ranking, training, metrics, stages and spaces.

Every public name is importable from here and needs torch, numpy and safetensors only; a name is loaded when it is
first used. Ray, Optuna and MLflow are met in ``engine.orchestration`` alone.
"""

from engine._lazy import lazy_names

_ROOMS = {
    "engine.corruptions": (
        "CORRUPTIONS",
        "DISTORTIONS",
        "corrupt",
        "distort",
        "register_corruption",
        "register_distortion",
        "register_severity_table",
    ),
    "engine.data": ("DataSet", "RawData", "Split", "load_dataset", "register_dataset"),
    "engine.errors": ("InputError",),
    "engine.exporting": ("load_exported",),
    "engine.layers": ("PushPull2d", "PushPullConv2d", "insert_push_pull"),
    "engine.metrics": (
        "Baseline",
        "Scores",
        "corruption_scores",
        "error_table",
        "load_baseline",
        "paired_difference",
        "response_stability",
    ),
    "engine.models": ("build_model", "load_reference_checkpoint", "register_model"),
    "engine.ranking": (
        "DISTANCES",
        "FilterRanking",
        "activation_disparity",
        "activation_maps",
        "borda_count",
        "compare_rankings",
        "filter_distances",
        "filter_layers",
        "find_exemplar",
        "rank_filters",
        "register_distance",
        "select_filters",
    ),
    "engine.settings": (
        "DataSettings",
        "DistortionSettings",
        "EvaluateSettings",
        "FinetuneSettings",
        "ModelSettings",
        "PushPullSettings",
        "RankSettings",
        "TrainingSettings",
        "TrialConfig",
    ),
    "engine.spaces": (
        "Arm",
        "Choice",
        "Comparison",
        "Factor",
        "Factorial",
        "Float",
        "Int",
        "LeaveOneOut",
        "OneAtATime",
        "Part",
        "Space",
        "load_space",
    ),
    "engine.stages": (
        "StageSpec",
        "plan_trial",
        "prepare_data",
        "prepare_weights",
        "register_stage",
        "run_chain",
        "run_stage",
    ),
    "engine.store": ("Store", "open_store"),
    "engine.training": (
        "RECIPES",
        "CorrectedFilters",
        "SelectiveFilters",
        "Trainer",
        "WholeNetwork",
        "apply_changes",
        "recipe_settings",
        "register_recipe",
    ),
}
_MODULES = {name: room for room, names in _ROOMS.items() for name in names}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
