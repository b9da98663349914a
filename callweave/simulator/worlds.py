"""What may have arrived, given what became of each push: one world when all is certain, more when answers were lost."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations, product

from callweave.simulator.pushes import Outcome

UNCERTAIN_MAX = 6


def possible_arrivals(
    history: Iterable[tuple[str, Outcome]], *, receipts_keep_order: bool = True
) -> list[tuple[str, ...]] | None:
    """Give each possible order of first receipts, for pushes (content, outcome) in the order they were settled in.

    The first world is the one in which nothing uncertain arrived. None: there are too many to tell apart.
    A CDR that was given up may still lie in a socket, and be received after one that was pushed later; and a receiver
    whose clock was moved (`receipts_keep_order` False) may date CDRs in any order.
    """
    tried = [(content, outcome) for content, outcome in history if outcome in {"answered", "uncertain"}]
    worth_asking = _uncertain_places(tried)
    if len(worth_asking) > UNCERTAIN_MAX:
        return None
    worlds: dict[tuple[str, ...], None] = {}
    for choices in product((False, True), repeat=len(worth_asking)):
        arrived = dict(zip(worth_asking, choices, strict=True))
        contents = [
            content
            for place, (content, outcome) in enumerate(tried)
            if outcome == "answered" or arrived.get(place, False)
        ]
        order = tuple(dict.fromkeys(contents))
        worlds[order] = None
        uncertain = {tried[place][0] for place, has_arrived in arrived.items() if has_arrived}
        movable = {content for content in order if not receipts_keep_order or content in uncertain}
        worlds |= dict.fromkeys(_with_cdrs_moved(order, movable))
    return list(worlds)


def _with_cdrs_moved(order: Sequence[str], movable: set[str]) -> Iterator[tuple[str, ...]]:
    """Give the orders of the CDRs in which those that cannot move keep theirs."""
    cdrs = [content for content in order if content.startswith("cdr:")]
    others = [content for content in order if not content.startswith("cdr:")]
    if len(cdrs) < 2 or not movable & set(cdrs):
        return
    fixed = [content for content in cdrs if content not in movable]
    for moved in permutations(cdrs):
        if [content for content in moved if content not in movable] == fixed:
            yield (*moved, *others)


def _uncertain_places(tried: Sequence[tuple[str, Outcome]]) -> list[int]:
    """Leave out what cannot matter: a content that is certain anyway, unless its place among CDRs decides."""
    cdrs_contradict = len({content for content, _ in tried if content.startswith("cdr:")}) > 1
    certain_from: dict[str, int] = {}
    for place, (content, outcome) in enumerate(tried):
        if outcome == "answered":
            certain_from.setdefault(content, place)
    places = []
    for place, (content, outcome) in enumerate(tried):
        order_decides = cdrs_contradict and content.startswith("cdr:")
        settled = content in certain_from and (not order_decides or certain_from[content] < place)
        if outcome == "uncertain" and not settled:
            places.append(place)
    return places
