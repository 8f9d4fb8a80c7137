"""A side of a benchmark for tests. It stands here so that another process can import it."""

import os


class Counter:
    def __init__(self, start: int):
        if start < 0:
            raise ValueError("a start below 0")
        self.count = start

    def add(self, n: int) -> int:
        self.count += n
        return self.count

    def process(self) -> tuple[int, str]:
        return os.getpid(), os.environ.get("REEVAL_TEST", "")

    def stumble(self, kind: type[Exception]) -> None:
        raise kind("said\nhere")

    def die(self) -> None:
        os._exit(1)
