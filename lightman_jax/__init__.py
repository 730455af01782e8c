"""LightmanNet in JAX: dual branches, primary and alignment losses, and an exact bi-level update, as pure functions.

An independent implementation of the method described in the abstract of arXiv 2404.12024.
"""

from lightman_jax.bilevel import BilevelConfig as BilevelConfig
from lightman_jax.bilevel import adapt as adapt
from lightman_jax.bilevel import make_update as make_update
from lightman_jax.bilevel import meta_gradient as meta_gradient
from lightman_jax.bilevel import outer_objective as outer_objective
from lightman_jax.branches import NetworkConfig as NetworkConfig
from lightman_jax.branches import apply_branches as apply_branches
from lightman_jax.branches import init_params as init_params
from lightman_jax.flow import magnify_flow as magnify_flow
from lightman_jax.flow import mirror_flow as mirror_flow
from lightman_jax.flow import scale_flow as scale_flow
from lightman_jax.folds import TrainConfig as TrainConfig
from lightman_jax.folds import TrainedFold as TrainedFold
from lightman_jax.folds import predict_folds as predict_folds
from lightman_jax.folds import train_folds as train_folds
from lightman_jax.losses import alignment_loss as alignment_loss
from lightman_jax.losses import alignment_where as alignment_where
from lightman_jax.losses import focal_loss as focal_loss
from lightman_jax.losses import mean_where as mean_where
from lightman_jax.losses import primary_loss as primary_loss
from lightman_jax.methods import METHODS as METHODS
from lightman_jax.methods import MethodConfig as MethodConfig
from lightman_jax.methods import method_config as method_config
from lightman_jax.methods import method_losses as method_losses
from lightman_jax.methods import method_update as method_update
from lightman_jax.metrics import accuracy as accuracy
from lightman_jax.metrics import bootstrap_interval as bootstrap_interval
from lightman_jax.metrics import confusion_matrix as confusion_matrix
from lightman_jax.metrics import uar as uar
from lightman_jax.metrics import uf1 as uf1
from lightman_jax.networks import Conv4 as Conv4
from lightman_jax.tasks import Fold as Fold
from lightman_jax.tasks import Pool as Pool
from lightman_jax.tasks import TaskConfig as TaskConfig
from lightman_jax.tasks import draw_task as draw_task
from lightman_jax.tasks import draw_task_batch as draw_task_batch
from lightman_jax.tasks import leave_one_subject_out as leave_one_subject_out
from lightman_jax.types import Clips as Clips
from lightman_jax.types import ClipSet as ClipSet
from lightman_jax.types import Outputs as Outputs
from lightman_jax.types import Task as Task
from lightman_jax.types import TrainState as TrainState
