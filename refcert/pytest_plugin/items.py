"""Baselines as test items: one for each group of samples, so that a failure names its samples and xdist shares them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from refcert.app.errors import InputError
from refcert.pytest_plugin import settings

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

_BASELINES: Final = pytest.StashKey[tuple[Path, ...]]()


class BaselineFile(pytest.File):
    """A committed baseline."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its items; reading it takes neither torch nor the model."""
        from refcert.app.baseline.reading import load

        try:
            indices = [sample.index for sample in load(self.path).samples]
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for start in range(0, len(indices), settings.GROUP):
            group = tuple(indices[start : start + settings.GROUP])
            name = f"samples {group[0]}-{group[-1]}" if len(group) > 1 else f"sample {group[0]}"
            yield BaselineItem.from_parent(self, name=name, callobj=_check(group))


def _check(group: tuple[int, ...]) -> Callable[..., None]:
    def check_samples(request: pytest.FixtureRequest, refcert_baseline: Any) -> None:
        # Asked for here, not as arguments: what is wrong with them is then shown in one line, as every failure is.
        model, data = (request.getfixturevalue(name) for name in ("refcert_model", "refcert_data"))
        refcert_baseline.check(model, data, samples=group)

    return check_samples


class BaselineItem(pytest.Function):
    """A group of a baseline's samples. A function like any other, so that fixtures of a conftest.py reach it."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any, **__: Any) -> str | TerminalRepr:
        """What is worse, without a traceback through the plugin."""
        from refcert.pytest_plugin.guard import BaselineRegressionError

        if isinstance(excinfo.value, (BaselineRegressionError, InputError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, None, self.name


def add_to_arguments(config: pytest.Config) -> None:
    """Collect the baselines, too, where pytest was told nothing and takes its folders from `testpaths`.

    A call that names tests runs those, and one without `testpaths` finds the files in its folder.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    for path in baselines_of(config):
        if not _folders_above(config, path):
            config.args.append(str(path))


def require_baselines(config: pytest.Config) -> None:
    """Raise UsageError for a baseline that this call should collect and will not find: it would guard nothing."""
    for path in baselines_of(config):
        folders = _folders_above(config, path)
        if folders and not path.is_file():
            raise pytest.UsageError(
                f"refcert_baseline names {path}, which does not exist; record it with refcert baseline record, or take "
                "the name out of pytest's configuration"
            )
        if folders and not any(_enters(config, folder, path) for folder in folders):
            raise pytest.UsageError(
                f"refcert_baseline names {path}, in a folder that pytest does not enter; move it, or change "
                "norecursedirs"
            )


def _folders_above(config: pytest.Config, path: Path) -> list[Path]:
    """The arguments of this call, folders or the file itself, in which a baseline lies."""
    arguments = (_absolute(config, argument.split("::")[0]) for argument in config.args)
    return [argument for argument in arguments if path.is_relative_to(argument)]


def _enters(config: pytest.Config, folder: Path, path: Path) -> bool:
    """Whether pytest enters all folders between: by default not those whose names begin with a dot, among others."""
    between = path.relative_to(folder).parts[:-1]
    return not any(fnmatch(name, pattern) for name in between for pattern in config.getini("norecursedirs"))


def baselines_of(config: pytest.Config) -> tuple[Path, ...]:
    """The baselines that the configuration names, as absolute paths."""
    if _BASELINES not in config.stash:
        config.stash[_BASELINES] = tuple(_absolute(config, path) for path in config.getini("refcert_baseline"))
    return config.stash[_BASELINES]


def _absolute(config: pytest.Config, path: str | os.PathLike[str]) -> Path:
    """Without `..`, links kept: as pytest names what it collects."""
    return Path(os.path.normpath(config.invocation_params.dir / path))
