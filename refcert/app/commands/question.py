"""The question that the options of `certify` and `compare` ask, as one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refcert.app.errors import InputError

if TYPE_CHECKING:
    from refcert.app.request import Request


def request_of(
    *,
    search: bool,
    radius: float | None,
    radius_db: float | None,
    input_set: str,
    norm: str,
    clip: tuple[str, str] | None,
    memory: str | None,
    **as_they_are: Any,
) -> Request:
    """The request for these options; those that are text in a form of their own (norm, clip, memory) are read here.

    Raises InputError where --search meets a radius or a set without one, and where neither is given.
    """
    from refcert.app.request import BALLS, Request, parse_clip, parse_memory, parse_norm

    for option, value in {"--radius": radius, "--radius-db": radius_db}.items():
        if value is not None and search:
            raise InputError(f"{option} {value!r} and --search exclude each other; give one of them")
    if search and input_set not in BALLS:
        raise InputError(
            f"--search does not go with --input-set {input_set}, which has no radius; leave it out, or choose "
            f"--input-set {' or '.join(BALLS)}"
        )
    request = Request(
        radius=radius,
        radius_db=radius_db,
        input_set=input_set,
        norm=parse_norm(norm),
        clip=None if clip is None else parse_clip(*clip),
        memory=None if memory is None else parse_memory(memory),
        **as_they_are,
    )
    if request.search and not search:
        raise InputError("neither --radius nor --search is given; give --radius R, --radius-db D or --search")
    return request
