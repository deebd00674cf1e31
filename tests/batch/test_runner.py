import asyncio
import gc
import tracemalloc

import pytest

from el4ner.batch.runner import Runner
from el4ner.errors import InputError
from el4ner.text.documents import Document
from el4ner.vote.entities import WindowResult

from .fakes import MEMBERS, FakePipeline, make_config

FLOW = {"windows_in_flight": 5}


def documents(count, text="Anna went to Rome. " * 8):
    for number in range(count):
        yield Document(f"d{number}", text)


def run(pipeline, source, *, max_failures=None, commit=None, **sections):
    committed = []

    async def work():
        runner = Runner(pipeline, make_config(batch=FLOW, **sections), grace_s=0.05)
        keep = commit or (lambda document, outcome: committed.append(outcome.prediction))
        return await runner.run(source, keep, max_failures=max_failures)

    return asyncio.run(work()), committed


def test_records_come_in_input_order_however_long_each_takes():
    ending, committed = run(FakePipeline(delay_s=0.01), documents(40))
    assert ending == "finished"
    assert [prediction.id for prediction in committed] == [f"d{number}" for number in range(40)]


def test_windows_and_documents_under_way_are_bounded():
    pipeline = FakePipeline(delay_s=0.003)
    read = committed = most_ahead = 0

    def counted():
        nonlocal read, most_ahead
        for document in documents(60):
            read += 1
            most_ahead = max(most_ahead, read - committed)
            yield document

    def commit(document, outcome):
        nonlocal committed
        committed += 1

    run(pipeline, counted(), commit=commit)
    assert pipeline.most_under_way == 5
    assert most_ahead == 5


def test_one_slow_document_does_not_keep_the_members_idle():
    class SlowFirst(FakePipeline):
        def __init__(self):
            self.others = 0
            self.others_done = asyncio.Event()

        async def find(self, window):
            if window.document_id == "d0":
                await asyncio.wait_for(self.others_done.wait(), 10)
            else:
                self.others += 1
                if self.others == FLOW["windows_in_flight"] - 1:
                    self.others_done.set()
            return WindowResult((), MEMBERS)

    ending, committed = run(SlowFirst(), documents(12, "Anna."))
    assert (ending, [prediction.status for prediction in committed]) == ("finished", ["ok"] * 12)


def peak_of(count):
    source = (Document(f"d{number}", f"Anna met {number} others. " * 40) for number in range(count))
    gc.collect()
    tracemalloc.start()
    run(FakePipeline(), source, commit=lambda document, outcome: None, windows={"max_columns": 10_000})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_corpus():
    grown = peak_of(100) - peak_of(40)
    assert grown < 60 * 4_000, "a document and its prediction take some 10,000 bytes"


def test_failures_beyond_the_bound_stop_the_run_at_the_same_document_each_time():
    source = (Document(f"d{n}", "#error" if n % 3 == 0 else "Anna.") for n in range(50))
    ending, committed = run(FakePipeline(delay_s=0.002), source, max_failures=2)
    assert ending == "max-failures"
    assert [prediction.id for prediction in committed] == [f"d{n}" for n in range(7)]


def test_as_many_failures_as_allowed_do_not_stop_it():
    source = (Document(f"d{n}", "#error" if n < 2 else "Anna.") for n in range(5))
    ending, committed = run(FakePipeline(), source, max_failures=2)
    assert (ending, len(committed)) == ("finished", 5)


def test_an_unexpected_error_is_a_reason_without_text():
    _, (prediction,) = run(FakePipeline(), iter([Document("d", "Secret Anna #crash")]))
    assert prediction.status == "failed"
    assert "unexpected ValueError at " in prediction.reason
    assert "Secret" not in prediction.reason


def test_an_input_that_cannot_be_read_on_is_said_after_all_before_it_is_done():
    def source():
        yield from documents(3)
        raise InputError("line 4 is no JSON")

    committed = []
    with pytest.raises(InputError, match="line 4"):
        run(FakePipeline(delay_s=0.01), source(), commit=lambda document, outcome: committed.append(document.id))
    assert committed == ["d0", "d1", "d2"]


def stopped(pipeline, times):
    committed = []

    async def work():
        runner = Runner(pipeline, make_config(batch=FLOW), grace_s=0.2 if times == 1 else 60)

        def commit(document, outcome):
            committed.append(document.id)
            if len(committed) == 3:
                for _ in range(times):
                    runner.stop()

        return await runner.run(documents(1000), commit)

    return asyncio.run(work()), committed


def test_a_stop_lets_documents_under_way_finish_and_begins_no_other():
    ending, committed = stopped(FakePipeline(delay_s=0.002), times=1)
    assert ending == "interrupted"
    assert committed == [f"d{n}" for n in range(len(committed))]
    assert 3 <= len(committed) <= 3 + FLOW["windows_in_flight"]


class Hanging(FakePipeline):
    async def find(self, window):
        if int(window.document_id[1:]) > 2:
            await asyncio.Event().wait()
        return WindowResult((), MEMBERS)


@pytest.mark.parametrize("times", [1, 2])
def test_documents_that_hang_are_given_up_after_the_grace_or_at_the_second_stop(times):
    ending, committed = stopped(Hanging(), times)
    assert (ending, committed) == ("interrupted", ["d0", "d1", "d2"])
