"""Search, scheduling and tracking: the only rooms that import Optuna, Ray and MLflow."""
