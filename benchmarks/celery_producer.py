"""`python -m benchmarks.celery_producer`: a user's program that submits, told what by its stdin."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
from pymongo.read_concern import ReadConcern

from benchmarks.celery_tasks import app, noop
from benchmarks.producing import await_document, parse, reply


def main() -> None:
    kept: pymongo.collection.Collection[dict[str, Any]] = app.backend.collection
    concern = kept.write_concern.document
    collection = kept.with_options(read_concern=ReadConcern("majority"))
    reply(ready=True, write_concern=concern)
    for line in sys.stdin:
        do, count = parse(line)
        began = time.monotonic()
        if do == "one by one":
            reply(seconds=[_one(collection) for _ in range(count)])
        else:
            threads = int(do)
            with ThreadPoolExecutor(threads) as pool:
                parts = [count // threads + (n < count % threads) for n in range(threads)]
                for done in [pool.submit(_send, part) for part in parts]:
                    done.result()
            reply(began=began, submitted=time.monotonic())


def _send(count: int) -> None:
    """Through one connection, each message confirmed before the next."""
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)


def _one(collection: pymongo.collection.Collection[dict[str, Any]]) -> float:
    began = time.monotonic()
    sent = noop.apply_async()
    await_document(collection, sent.id)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
