"""Work in threads, a little ahead of whoever needs its results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def in_background(work: Callable[[T], U], items: Iterable[T], ahead: int) -> Iterator[U]:
    """What a function makes of each item, in order.

    Args:
        work: called in threads, as many as there are cores.
        items: its arguments, one for each call.
        ahead: how many results are prepared before they are asked for; memory does not grow with the number of items.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # what a caller who stops early, such as by Ctrl+C, has not begun is left out
