"""Models that share the cores take turns."""

import asyncio

from el4ner.engines.scheduler import RoundRobinScheduler


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def work(scheduler, model, log, clock, seconds=1.0):
    async with scheduler.slot(model):
        log.append(("begin", model))
        await asyncio.sleep(0)
        clock.now += seconds
        log.append(("end", model))


def run(jobs, at_once=2, slice_s=10.0, seconds=1.0):
    async def all_of_them():
        clock, log = Clock(), []
        scheduler = RoundRobinScheduler(at_once, slice_s, clock)
        await asyncio.gather(*(work(scheduler, model, log, clock, seconds) for model in jobs))
        return log

    return asyncio.run(all_of_them())


def under_way(log):
    """The models under way after each event, and the most requests at once."""
    running, seen, most = [], [], 0
    for event, model in log:
        if event == "begin":
            running.append(model)
        else:
            running.remove(model)
        seen.append(set(running))
        most = max(most, len(running))
    return seen, most


def test_one_model_computes_at_a_time_with_several_requests():
    seen, most = under_way(run("aabbaabbcc"))
    assert all(len(models) <= 1 for models in seen)
    assert most == 2


def test_a_turn_lasts_while_the_model_has_requests_and_time():
    begun = [model for event, model in run("abababab") if event == "begin"]
    assert begun == list("aaaabbbb")


def test_a_turn_ends_when_its_time_is_over_and_others_wait():
    begun = [model for event, model in run("abcabcabcabc", at_once=1, slice_s=2.0) if event == "begin"]
    assert begun == list("aabbccaabbcc")


def test_a_model_alone_goes_on_beyond_its_time():
    assert len(run("aaaaaa", at_once=1, slice_s=2.0)) == 12


def test_a_request_that_is_given_up_leaves_its_place():
    async def give_up():
        scheduler, log, clock = RoundRobinScheduler(1), [], Clock()
        holding = asyncio.Event()

        async def hold():
            async with scheduler.slot("a"):
                await holding.wait()

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(work(scheduler, model, log, clock)) for model in "ab"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        holder.cancel()
        await asyncio.gather(holder, *waiting, return_exceptions=True)
        return log

    assert asyncio.run(give_up()) == [("begin", "b"), ("end", "b")]


def test_turns_serve_one_event_loop_after_another():
    scheduler = RoundRobinScheduler(2)

    async def once():
        async with scheduler.slot("a"):
            return True

    assert asyncio.run(once()) and asyncio.run(once())
