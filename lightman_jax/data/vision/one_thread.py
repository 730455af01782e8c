"""One thread for linear algebra on small matrices, which more threads slow down."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def one_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function whose NumPy and SciPy calls run best in one thread.

    Choice: fits of head motion take 2 ms in one thread, and up to 500 ms in two that wait for each other on a busy computer.
    """

    @functools.wraps(function)
    def limited(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
