"""The part of Celery: `peer.py KIND URL JOBS MILLIS`, one process for each measurement, and two that it forks."""

import multiprocessing
import os
import signal
import sys
import threading
import time

from celery import Celery

kind, url, jobs, millis = sys.argv[1:]
most, seconds = int(jobs), int(millis) / 1000
tuned = kind == "celery-tuned"
server, prefix = url.split("#")
# what the worker prints is no figure
figures = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

app = Celery("peer", broker=server)
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {"global_keyprefix": prefix}
if tuned:
    app.conf.worker_prefetch_multiplier = 128
    app.conf.worker_disable_rate_limits = True

# before the fork, so that the processes of the pool share it
counted = multiprocessing.Value("i", 0)


@app.task
def nothing(number):
    with counted.get_lock():
        counted.value += 1


def batch():
    """Celery has none: a group is sent message by message."""
    if tuned:
        with app.producer_or_acquire() as producer:
            for _ in range(100):
                nothing.apply_async((0,), producer=producer)
    else:
        for _ in range(100):
            nothing.delay(0)


def rate(name, amount, began):
    print(name, amount / (time.perf_counter() - began), file=figures, flush=True)


def watch(waiting):
    """Waits for the first job and for the last, and stops the worker."""
    while counted.value == 0:
        time.sleep(0.001)
    first, began = counted.value, time.perf_counter()
    while counted.value < waiting and time.perf_counter() - began < seconds:
        time.sleep(0.001)
    rate("drain", counted.value - first, began)
    os.kill(os.getpid(), signal.SIGTERM)


began = time.perf_counter()
single = 0
while single < most // 10 and time.perf_counter() - began < seconds:
    nothing.delay(0)
    single += 1
rate("single", single, began)

began = time.perf_counter()
batched = 0
while batched < most and time.perf_counter() - began < seconds:
    batch()
    batched += 100
rate("batch", batched, began)

threading.Thread(target=watch, args=(single + batched,), daemon=True).start()
arguments = ["worker", "--pool=prefork", "--concurrency=2", "--loglevel=ERROR"]
if tuned:
    arguments += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
app.worker_main(arguments)
