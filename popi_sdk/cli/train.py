"""`popi train`: an inferrer and a generator of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.text import Text

from ..errors import ConfigurationError, UsageError, needs_extra
from .options import Quiet, Resume
from .output import clean, screen, write_text
from .train_view import watching

if TYPE_CHECKING:
    from ..train import PopiTrainer
    from ..train.processes import Processes

__all__ = ["train"]

Config: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG.yaml",
        help="Options of the training, and data, dev, limit, output, about; what is given as a flag goes before.",
        show_default=False,
    ),
]
Data: TypeAlias = Annotated[
    list[str],
    typer.Option(
        metavar="DATA",
        help="Users to learn from, as for popi eval; repeat it for several data sets. "
        "Of a file without splits one user in ten is kept out, to look at how well it goes.",
        show_default=False,
    ),
]
Dev: TypeAlias = Annotated[
    list[str],
    typer.Option(metavar="DATA", help="Other users to look at; may be repeated.", show_default="the split dev of DATA"),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="DIR", help="Where the trained model goes.", show_default=False),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="What both models start from: a hub id, a folder, a .gguf file.",
        show_default="SmolLM2-135M-Instruct",
    ),
]
Start: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="A trained model to go on from: what an earlier run wrote, a repository of the hub, popi-135m.",
        show_default="MODEL",
    ),
]
Preset: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Other defaults: paper, the released recipe (two networks, sequential, no extras).",
        show_default=False,
    ),
]
Schedule: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="joint, sequential, or a rival: population, raw-trained.",
        show_default="joint",
    ),
]
Steps: TypeAlias = Annotated[int | None, typer.Option(min=1, metavar="N", help="Optimizer steps.", show_default="200")]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Most users of each DATA, chosen by the seed.", show_default="all"),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Of all that is drawn.", show_default="0")
]
Set: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other option of the training, for example beta=0.05, or of the model card, about.licence=mit; "
        "may be repeated.",
        show_default=False,
    ),
]
Tensorboard: TypeAlias = Annotated[
    bool,
    typer.Option("--tensorboard", metavar="", help="Also write the figures for TensorBoard, into DIR/run/tensorboard."),
]
Svg: TypeAlias = Annotated[
    Path | None,
    typer.Option("--svg", hidden=True, help="Keep the screen of the last look before the end as a picture."),
]
Plot: TypeAlias = Annotated[
    list[str],
    typer.Option(
        metavar="RUN",
        help="Train nothing: draw the curves of a run, finished or not; repeat it to compare runs.",
        show_default=False,
    ),
]
_OWN = ("data", "dev", "limit", "output", "about")


def train(
    *,
    config: Config = None,
    data: Data = [],  # noqa: B006 - typer reads it, nobody writes it
    dev: Dev = [],  # noqa: B006 - typer reads it, nobody writes it
    output: Output = None,
    model: Model = None,
    start: Start = None,
    preset: Preset = None,
    schedule: Schedule = None,
    steps: Steps = None,
    limit: Limit = None,
    seed: Seed = None,
    set_: Set = [],  # noqa: B006 - typer reads it, nobody writes it
    resume: Resume = False,
    tensorboard: Tensorboard = False,
    plot: Plot = [],  # noqa: B006 - typer reads it, nobody writes it
    quiet: Quiet = False,
    svg: Svg = None,
) -> None:
    """Train an inferrer that writes summaries, and the generator that reads them.

    Both learn from pairs that users preferred: the summary is rewarded for what
    it helps the generator to prefer (arXiv 2510.17881). A GPU is used if there is
    one; several, with accelerate launch --multi_gpu -m popi_sdk train and the same
    arguments.

    Examples:
      popi train --data users.jsonl --output my-popi
      popi train --data styleworld --limit 500 -o my-popi --set budget=48
      popi train my-run.yaml
      popi train --data more-users.jsonl --start my-popi -o my-second
      popi train --plot my-popi
      popi infer --inferrer trained:my-popi --signals examples/data/short.jsonl

    The folder then holds inferrer/, generator/, popi.json and README.md, a model
    card; run/history.jsonl has the curves.
    """
    flags: dict[str, Any] = {"base_model": model, "start": start, "preset": preset}
    flags |= {"schedule": schedule, "steps": steps, "seed": seed}
    own = {"data": data or None, "dev": dev or None, "limit": limit, "output": output}
    if plot:
        if config or resume or tensorboard or set_ or any(value is not None for value in (flags | own).values()):
            raise UsageError(
                "--plot trains nothing: leave out all but the runs, for example: popi train --plot my-popi"
            )
        _plot(plot, quiet=quiet)
        return
    options, where = _asked(config, set_, flags | own)
    with needs_extra("train"):
        import trl  # noqa: F401 - what this extra alone brings: else it would be missed after minutes of reading

        from ..train.processes import join, one_voice
    with one_voice():
        processes = join(str(options.get("device", "auto")))
        processes.from_main(lambda: _check_output(Path(where["output"]), resume=resume))
        show = {"quiet": quiet, "picture": svg} if processes.main else {"quiet": True}
        _train(processes, options, where, resume=resume, tensorboard=tensorboard, show=show)


def _asked(config: str | None, assigned: list[str], flags: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the training, and what belongs to the command alone; flags go before the file."""
    options = _from_file(config) if config else {}
    options = _merged(options, _assigned(assigned))
    options |= {name: value for name, value in flags.items() if value is not None}
    where = {name: options.pop(name, None) for name in _OWN}
    where |= {name: _names(name, where[name]) for name in ("data", "dev")}
    if not isinstance(where["limit"], int | None) or isinstance(where["limit"], bool):
        raise ConfigurationError(f"limit: {where['limit']!r} is no number of users. Use one, for example limit: 500.")
    if not isinstance(where["output"], str | None):
        raise ConfigurationError(
            f"output: {where['output']!r} is no folder. Use its name, for example output: my-popi."
        )
    where["about"] = _about(where["about"])
    if where["output"] is not None:
        try:
            where["output"] = str(Path(where["output"]).expanduser())
        except RuntimeError as error:
            raise ConfigurationError(f"output: {where['output']!r}: there is no such user. Name a folder.") from error
    if where["data"] is None or where["output"] is None:
        raise UsageError(
            "Name the users and where the model goes, for example: popi train --data users.jsonl -o my-popi"
        )
    return options, where


def _about(given: Any) -> dict[str, Any]:
    """What the card is told, checked now and not after hours of training."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigurationError(f"about: {given!r} is no group of options. Use some, for example about.licence=mit.")
    with needs_extra("train"):
        from ..train.facts import as_about
    as_about(given)
    return given


def _plot(runs: list[str], *, quiet: bool) -> None:
    with needs_extra("train"):
        from ..train import plot_run
    path = plot_run(*runs)
    if quiet:
        write_text(str(path))
    else:
        screen().print(Text.assemble("Look at ", (str(path), "bold")), soft_wrap=True)


def _check_output(output: Path, *, resume: bool) -> None:
    """Now, and not after hours of training."""
    from ..models.trained import MANIFEST
    from ..train.export import RUN, check_target

    check_target(output)
    if (output / RUN).exists() and not resume:
        raise ConfigurationError(f"{output} holds a run already. Give --resume to go on with it, or a new folder.")
    if (output / MANIFEST).exists() and not (output / RUN).exists():
        raise ConfigurationError(
            f"{output} holds a trained model already, and no run to go on with. Give a new folder."
        )
    if resume and not (output / RUN).exists():
        screen(stderr=True).print(Text(f"Note: there is no run in {output} to go on with: it begins anew."))


def _train(
    processes: Processes,
    options: dict[str, Any],
    where: dict[str, Any],
    *,
    resume: bool,
    tensorboard: bool,
    show: dict[str, Any],
) -> None:
    from .. import train as training

    settings = training.as_train_config(**options)
    with watching(settings.phases, **show) as watch:
        watch.doing("reading the users")
        users, others = processes.main_first(
            lambda: training.training_users(where["data"], where["dev"], limit=where["limit"], seed=settings.seed)
        )
        watch.doing("loading the model")
        trainer = training.PopiTrainer(
            settings,
            users,
            others,
            output=where["output"],
            progress=watch.entry,
            began=watch.began,
            tensorboard=tensorboard,
        )
        if processes.main and not resume and (unread := _descriptions(trainer)):
            watch.note(unread)
        try:
            trainer.train(resume=resume)
        except KeyboardInterrupt:
            screen(stderr=True).print(Text("Stopped. The same command with --resume goes on from the last checkpoint."))
            raise
        watch.doing("writing the model")
        named = {name: tuple(where[name]) for name in ("data", "dev") if where[name]}
        folder = trainer.save_pretrained(where["output"], about=named | where["about"])
    if processes.main:
        _show(trainer, folder)


def _descriptions(trainer: PopiTrainer) -> str | None:
    """What to say where users are described and nothing is learnt from it."""
    config = trainer.config
    count = sum(one.gold is not None for one in trainer.train_examples)
    if not count or config.warm_start or config.warm_start_generator or config.start or config.reads != "summary":
        return None
    return (
        f"{count} of {len(trainer.train_examples)} users have a gold description, and no step learns from it. "
        "Supervised steps helped most where they were measured: --set warm_start=200 --set warm_start_generator=100."
    )


def _show(trainer: PopiTrainer, folder: Path) -> None:
    console = screen()
    left = ", ".join(f"{count} {what}" for what, count in trainer.encoder.left_out.items())
    if left:
        console.print(Text(f"Left out: {left}.", style="dim"))
    if (kept := trainer.kept) is not None:
        accuracy = f"accuracy {kept['dev/own']:.2f}, of another's summary {kept['dev/shuffled']:.2f}"
        console.print(Text(f"Kept: {kept['phase']}, step {kept['step']}: {accuracy}."))
    summarised = trainer.config.reads == "summary"
    shown = trainer.dev_examples[:3] if summarised else []
    for example, text in zip(shown, trainer.summaries(shown), strict=True):
        console.print(Text.assemble((f"{clean(example.user_id)}: ", "dim"), clean(text) or "(no summary)"))
    console.print(Text.assemble("Curves: ", (f"popi train --plot {folder}", "bold")), soft_wrap=True)
    use = f"Personalizer.from_pretrained({str(folder)!r})"
    if not summarised:
        use = f"popi eval DATA --method {trainer.config.schedule}={folder}"
    console.print(Text.assemble("Use it: ", (use, "bold")), soft_wrap=True)


def _from_file(path: str) -> dict[str, Any]:
    with needs_extra("train"):
        import yaml
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
        twice = _twice(yaml.compose(text, yaml.SafeLoader))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read {path}: {error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigurationError(f"{path} must hold options, one a line, for example: steps: 100")
    if twice is not None:
        raise ConfigurationError(f"{path} has {twice.value!r} twice, in line {twice.start_mark.line + 1} again.")
    return found


def _twice(node: Any) -> Any:
    """The first name that a group of YAML has twice, of which the first value would be lost."""
    names = set()
    for name, value in node.value if node is not None and node.id == "mapping" else ():
        if name.value in names:
            return name
        names.add(name.value)
        if (found := _twice(value)) is not None:
            return found
    return None


def _names(option: str, given: Any) -> list[str] | None:
    """One name or several, as a file may have it."""
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) and name for name in names):
        if not given:
            return None
        raise ConfigurationError(f"{option}: name the data, or several as a list, for example {option}: [a.jsonl, b].")
    return names or None


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both; where they differ the other goes before, inside of groups too."""
    found = one | other
    for name, value in other.items():
        before = one.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            found[name] = _merged(before, value)
    return found


def _assigned(pairs: list[str]) -> dict[str, Any]:
    """Values as YAML reads them: 0.05 is a number, null is None; `adapters.rank=4` is one of a group."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise UsageError(f"--set {pair}: write NAME=VALUE, for example --set beta=0.05.")
        with needs_extra("train"):
            import yaml
        try:
            read = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"--set {pair}: the value is not YAML.") from error
        *groups, last = name.strip().split(".")
        inside = found
        for group in groups:
            if not isinstance(inside.setdefault(group, {}), dict):
                raise UsageError(f"--set {pair}: {group} has a value of its own already.")
            inside = inside[group]
        inside[last] = read
    return found
