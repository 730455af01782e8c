"""LightmanNet in JAX: dual-branch networks, alignment losses and an exact bi-level update, as pure functions.

An independent implementation of the method described in the abstract of arXiv 2404.12024. This module exports what a first study
needs; everything else is imported from its submodule.
"""

from lightman_jax.losses import alignment as alignment_losses
from lightman_jax.losses.alignment import alignment_loss
from lightman_jax.losses.classification import entropy_loss, focal_loss, mean_where, primary_loss
from lightman_jax.losses.pairs import alignment_where
from lightman_jax.meta.adaptation import make_adapter
from lightman_jax.meta.bilevel import displacement_loss, make_update, meta_gradient, outer_objective
from lightman_jax.meta.inner_loop import BilevelConfig, LearnedLRParams, adapt, learn_inner_lr
from lightman_jax.meta.method_functions import make_method
from lightman_jax.meta.methods import METHODS, MethodConfig, method_config
from lightman_jax.metrics import accuracy, bootstrap_interval, confusion_matrix, paired_difference, uar, uf1
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.card import ModelCard
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import export_ensemble
from lightman_jax.model.saved_model import load_model
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches, init_params
from lightman_jax.preprocessing import mirror_flow, scale_flow, training_mean_square
from lightman_jax.training.augmentation import AugmentConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import Fold, leave_one_subject_out
from lightman_jax.training.leakage import check_leaks
from lightman_jax.training.prediction import predict_folds
from lightman_jax.types import Clips, ClipSet, Task, TrainState

__all__ = [  # noqa: RUF022
    # data
    "Clips",
    "ClipSet",
    "Task",
    "scale_flow",
    "mirror_flow",
    "training_mean_square",
    # losses, one value per clip
    "primary_loss",
    "focal_loss",
    "entropy_loss",
    "alignment_loss",
    "alignment_losses",
    "alignment_where",
    "mean_where",
    # bi-level update of any network
    "BilevelConfig",
    "LearnedLRParams",
    "TrainState",
    "adapt",
    "outer_objective",
    "meta_gradient",
    "make_update",
    "displacement_loss",
    "learn_inner_lr",
    # methods and networks for micro-expressions
    "METHODS",
    "MethodConfig",
    "method_config",
    "make_method",
    "NetworkConfig",
    "init_params",
    "apply_branches",
    # training and evaluation of folds
    "TaskConfig",
    "AugmentConfig",
    "TrainConfig",
    "Fold",
    "leave_one_subject_out",
    "check_leaks",
    "train_folds",
    "predict_folds",
    "confusion_matrix",
    "uf1",
    "uar",
    "accuracy",
    "bootstrap_interval",
    "paired_difference",
    # trained models
    "make_adapter",
    "Ensemble",
    "ensemble_programs",
    "ModelCard",
    "export_ensemble",
    "load_model",
    "DEFAULT_MODEL",
]
