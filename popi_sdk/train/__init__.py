"""12. Training: inferrer and generator under one preference objective. Needs `pip install 'popi-sdk[train]'`.

```python
from popi_sdk.data import open_data
from popi_sdk.train import PopiTrainer, TrainConfig

users = open_data("users.jsonl", split="train")
PopiTrainer(TrainConfig(steps=100), train=users).train().save_pretrained("my-popi")
```
"""

from ..models import _torch  # noqa: F401 - first: torch's threads are then set up to share busy cores
from .card import write_card
from .config import LoraSettings, TrainConfig, as_train_config
from .curves import plot_run
from .dev import DevScores
from .facts import About
from .hub import push_to_hub
from .per_user import PerUserScores, UserScore, train_per_user
from .stopping import StopSettings
from .trainer import PopiTrainer
from .users import training_users

__all__ = [
    "About",
    "DevScores",
    "LoraSettings",
    "PerUserScores",
    "PopiTrainer",
    "StopSettings",
    "TrainConfig",
    "UserScore",
    "as_train_config",
    "plot_run",
    "push_to_hub",
    "train_per_user",
    "training_users",
    "write_card",
]
