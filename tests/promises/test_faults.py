"""Whatever a member answers, each document has a record or a reason; the benchmark at a small size."""

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from bench_faults import FAULTS, measured, report

SIZE = 62
REFUSED = ("401", "wrong-schema", "thinking-only", "50-MB", "redirect", "gzip-bomb")


def test_every_document_has_its_record_or_its_reason(capsys):
    outcomes, sent, speeds = measured(("faulty", "well"), SIZE)
    assert report(("faulty", "well"), outcomes, sent, speeds) == 0
    assert outcomes.total() == SIZE and set(sent) == set(FAULTS)
    assert all(outcomes[kind, "partial"] == 2 for kind in REFUSED)  # the other member's answer stands
    assert not any(outcomes[kind, "ok"] for kind in FAULTS)  # and nobody says that all was well
    assert outcomes["none", "ok"] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.5 * 2**20  # kilobytes
    assert "gzip-bomb" in capsys.readouterr().out
